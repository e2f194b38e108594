"""Metrics of out-of-distribution detection, with confidence intervals.

Metrics are computed on histograms, `[draws, values]`: the numbers of in-distribution and of out-of-distribution (OOD)
examples at each distinct score, in ascending order. All bootstrap draws are evaluated in one call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats

from models.errors import UserError

DRAWS = 300  # of the bootstrap
INTERVAL = (0.025, 0.975)
ACCEPTED_SHARE = 0.95  # of in-distribution examples, at the threshold of FPR95


def _auroc(normal: np.ndarray, ood: np.ndarray) -> np.ndarray:
    below = np.cumsum(normal, axis=1) - normal / 2  # ties count half
    return (ood * below).sum(axis=1) / (normal.sum(axis=1) * ood.sum(axis=1))


def _aupr(normal: np.ndarray, ood: np.ndarray) -> np.ndarray:
    true_positives, positives = (np.cumsum(x[:, ::-1], axis=1) for x in (ood, ood + normal))  # from the highest score
    precision = true_positives / np.maximum(positives, 1)
    return (ood[:, ::-1] * precision).sum(axis=1) / ood.sum(axis=1)


def _fpr95(normal: np.ndarray, ood: np.ndarray) -> np.ndarray:
    accepted = np.cumsum(normal, axis=1) >= ACCEPTED_SHARE * normal.sum(axis=1, keepdims=True) - 1e-9
    limit = accepted.argmax(axis=1)
    return np.cumsum(ood, axis=1)[np.arange(len(limit)), limit] / ood.sum(axis=1)


METRICS: dict[str, Callable] = {"auroc": _auroc, "aupr": _aupr, "fpr95": _fpr95}


def detection_metrics(normal: np.ndarray, ood: np.ndarray, *, seed: int = 0) -> dict[str, list[float]]:
    """Each metric with a 95 % confidence interval: `[value, low, high]`.

    * "auroc": probability that an OOD example scores higher than an in-distribution one; ties count half.
    * "aupr": area under the precision-recall curve of OOD examples, by steps (average precision).
    * "fpr95": share of OOD examples that are accepted at the lowest threshold that accepts 95 % of the
      in-distribution examples.

    Intervals are by the percentile bootstrap over the examples of both sets (Efron & Tibshirani 1993, Ch. 13), but
    not narrower than :func:`binomial_interval`: if the sets are fully separated, every draw gives the same value, for
    any number of examples.

    Args:
      normal: `[n]` scores of in-distribution examples.
      ood: `[m]` scores of OOD examples, higher if detection works.
      seed: random seed of the bootstrap.

    Raises:
      UserError: one of the sets is empty.

    >>> detection_metrics(np.array([0.0, 1.0]), np.array([2.0, 3.0]))["auroc"]
    [1.0, 0.158..., 1.0]
    """
    if not len(normal) or not len(ood):
        raise UserError(
            f"{len(normal)} in-distribution and {len(ood)} out-of-distribution examples; wanted at least one of each"
        )
    values, indices = np.unique(np.concatenate([normal, ood]), return_inverse=True)
    groups = indices[: len(normal)], indices[len(normal) :]
    rng = np.random.default_rng(seed)
    resamples = [group[rng.integers(len(group), size=(DRAWS, len(group)))] for group in groups]
    observed = [_histograms(group[None], len(values)) for group in groups]
    resampled = [_histograms(group, len(values)) for group in resamples]
    metrics = {}
    for name, metric in METRICS.items():
        value, trials = float(metric(*observed)[0]), len(ood) if name == "fpr95" else min(len(normal), len(ood))
        (low, high), exact = np.quantile(metric(*resampled), INTERVAL), binomial_interval(value, trials)
        metrics[name] = [value, min(float(low), exact[0]), max(float(high), exact[1])]
    return metrics


def binomial_interval(share: float, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a binomial proportion (Clopper & Pearson 1934), by quantiles of beta distributions.

    The number of trials is the number of examples in the smaller set, because that is the largest number of disjoint
    pairs of an in-distribution and an OOD example. For a share of 1 or 0, the other end of the interval is
    1 - 0.025^(1 / trials) away, about 3.7 / trials.

    >>> binomial_interval(1.0, 2)
    (0.158..., 1.0)
    """
    hits, misses = share * trials, (1 - share) * trials
    low = scipy.stats.beta.ppf(INTERVAL[0], hits, misses + 1) if hits else 0.0
    high = scipy.stats.beta.ppf(INTERVAL[1], hits + 1, misses) if misses else 1.0
    return float(low), float(high)


def _histograms(indices: np.ndarray, values: int) -> np.ndarray:
    """Count each index in each draw: `[draws, n]` to `[draws, values]`."""
    shifted = indices + values * np.arange(len(indices))[:, None]
    return (
        np.bincount(shifted.ravel(), minlength=values * len(indices)).reshape(len(indices), values).astype(np.float64)
    )
