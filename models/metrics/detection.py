"""How well a score tells what is strange from what is usual, with intervals of confidence.

Measures are computed on counts, `[draws, values]`: how many usual and how many strange examples have each of the
values that scores take, in rising order. A bootstrap of many draws is then one call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats

from models.errors import UserError

DRAWS = 300  # of the bootstrap
INTERVAL = (0.025, 0.975)
ACCEPTED = 0.95  # share of usual examples below the threshold of FPR95


def _auroc(usual: np.ndarray, strange: np.ndarray) -> np.ndarray:
    below = np.cumsum(usual, axis=1) - usual / 2  # half of the ties
    return (strange * below).sum(axis=1) / (usual.sum(axis=1) * strange.sum(axis=1))


def _aupr(usual: np.ndarray, strange: np.ndarray) -> np.ndarray:
    found, called = (np.cumsum(x[:, ::-1], axis=1) for x in (strange, strange + usual))  # from the strangest down
    precision = found / np.maximum(called, 1)
    return (strange[:, ::-1] * precision).sum(axis=1) / strange.sum(axis=1)


def _fpr95(usual: np.ndarray, strange: np.ndarray) -> np.ndarray:
    accepted = np.cumsum(usual, axis=1) >= ACCEPTED * usual.sum(axis=1, keepdims=True) - 1e-9
    limit = accepted.argmax(axis=1)
    return np.cumsum(strange, axis=1)[np.arange(len(limit)), limit] / strange.sum(axis=1)


MEASURES: dict[str, Callable] = {"auroc": _auroc, "aupr": _aupr, "fpr95": _fpr95}


def detection(usual: np.ndarray, strange: np.ndarray, *, seed: int = 0) -> dict[str, list[float]]:
    """Each measure with a 95 % interval: `[value, low, high]`.

    * "auroc": chance that a strange example scores higher than a usual one, ties half.
    * "aupr": area under precision over recall of the strange, by steps (average precision).
    * "fpr95": share of strange examples taken for usual at the lowest threshold that accepts 95 % of the usual ones.

    Intervals by the percentile bootstrap over examples of either kind (Efron & Tibshirani 1993, Ch. 13), but never
    narrower than :func:`exact_interval`: where the two kinds do not overlap every draw gives the same value, however
    few examples there are.

    Args:
      usual: `[n]` scores.
      strange: `[m]` scores, high where detection works.
      seed: of the bootstrap.

    Raises:
      UserError: nothing on one of the sides.

    >>> detection(np.array([0.0, 1.0]), np.array([2.0, 3.0]))["auroc"]
    [1.0, 0.158..., 1.0]
    """
    if not len(usual) or not len(strange):
        raise UserError(f"{len(usual)} usual and {len(strange)} strange examples; wanted some of either")
    values, places = np.unique(np.concatenate([usual, strange]), return_inverse=True)
    sides = places[: len(usual)], places[len(usual) :]
    rng = np.random.default_rng(seed)
    drawn = [side[rng.integers(len(side), size=(DRAWS, len(side)))] for side in sides]
    whole = [_counts(side[None], len(values)) for side in sides]
    resampled = [_counts(side, len(values)) for side in drawn]
    measures = {}
    for name, measure in MEASURES.items():
        value, trials = float(measure(*whole)[0]), len(strange) if name == "fpr95" else min(len(usual), len(strange))
        (low, high), (least, most) = np.quantile(measure(*resampled), INTERVAL), exact_interval(value, trials)
        measures[name] = [value, min(float(low), least), max(float(high), most)]
    return measures


def exact_interval(share: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share of independent trials (Clopper & Pearson 1934), by quantiles of beta distributions.

    As many trials as there are examples of the rarer kind: that many pairs of a usual and a strange example have none
    in common. A share of 1 or 0 has an end at 0.025^(1 / trials) from the other end, about 3.7 / trials away.

    >>> exact_interval(1.0, 2)
    (0.158..., 1.0)
    """
    hits, misses = share * trials, (1 - share) * trials
    low = scipy.stats.beta.ppf(INTERVAL[0], hits, misses + 1) if hits else 0.0
    high = scipy.stats.beta.ppf(INTERVAL[1], hits + 1, misses) if misses else 1.0
    return float(low), float(high)


def _counts(places: np.ndarray, values: int) -> np.ndarray:
    """How often each place is drawn: `[draws, n]` to `[draws, values]`."""
    shifted = places + values * np.arange(len(places))[:, None]
    return np.bincount(shifted.ravel(), minlength=values * len(places)).reshape(len(places), values).astype(np.float64)
