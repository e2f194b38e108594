"""How well a score tells what is strange from what is usual, with intervals of confidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sklearn.metrics

DRAWS = 300  # of the bootstrap
INTERVAL = (0.025, 0.975)


def auroc(usual: np.ndarray, strange: np.ndarray) -> float:
    """Chance that a strange example scores higher than a usual one, ties half: area under the ROC curve.

    >>> auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    1.0
    """
    return float(sklearn.metrics.roc_auc_score(*_labelled(usual, strange)))


def aupr(usual: np.ndarray, strange: np.ndarray) -> float:
    """Area under the curve of precision over recall of the strange, by steps; chance is their share."""
    return float(sklearn.metrics.average_precision_score(*_labelled(usual, strange)))


def fpr95(usual: np.ndarray, strange: np.ndarray) -> float:
    """Share of strange examples taken for usual at the threshold that accepts 95 % of the usual ones.

    >>> fpr95(np.arange(100.0), np.full(10, 98.5))
    0.0
    """
    return float(np.mean(strange <= np.quantile(usual, 0.95, method="inverted_cdf")))


def _labelled(usual: np.ndarray, strange: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([0, 1], [len(usual), len(strange)]), np.concatenate([usual, strange])


MEASURES: dict[str, Callable] = {"auroc": auroc, "aupr": aupr, "fpr95": fpr95}


def detection(usual: np.ndarray, strange: np.ndarray, *, seed: int = 0) -> dict[str, list[float]]:
    """Each measure with a 95 % interval: `[value, low, high]`.

    The percentile bootstrap over examples of either kind (Efron & Tibshirani 1993, Ch. 13).

    Args:
      usual: `[n]` scores.
      strange: `[m]` scores, high where detection works.
      seed: of the bootstrap.

    Raises:
      ValueError: nothing on one of the sides.
    """
    usual, strange = (np.asarray(x, np.float64) for x in (usual, strange))
    if not len(usual) or not len(strange):
        raise ValueError(f"{len(usual)} usual and {len(strange)} strange examples; wanted some of either")
    rng = np.random.default_rng(seed)
    drawn = [(rng.choice(usual, len(usual)), rng.choice(strange, len(strange))) for _ in range(DRAWS)]
    made = {}
    for name, measure in MEASURES.items():
        low, high = np.quantile([measure(*pair) for pair in drawn], INTERVAL)
        made[name] = [measure(usual, strange), float(low), float(high)]
    return made
