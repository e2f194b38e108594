"""Confidence intervals by the percentile bootstrap, with a fixed random seed.

Rows are resampled with replacement, so they must be independent of each other: one row for each source file or
speaker, not for each frame. Resampled sets contain copies of rows, so the bootstrap does not apply to metrics of pairs
of rows (KID, density, coverage, pairwise distance), in which copies are neighbours at distance 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.errors import UserError

CONFIDENCE = 0.95
DRAWS = 2000
MAX_BATCH_VALUES = 1 << 22  # values that are resampled at once: 32 MiB

Statistic = Callable[..., np.ndarray]  # statistic(x, axis=1): [draws, n, ...] to [draws], as np.mean and np.median


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    rows: np.ndarray, statistic: Statistic = np.mean, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """95 % confidence interval of a statistic over rows, by the percentile bootstrap (Efron & Tibshirani 1993, Ch. 13).

    The ends are the 2.5 % and 97.5 % quantiles of the statistic over resampled sets of rows. For few rows the interval
    is too narrow: the coverage for the mean of ten normal values is about 90 %.

    Args:
      rows: `[n, ...]`, at least two independent rows.
      statistic: called as ``statistic(x, axis=1)`` with `[draws, n, ...]`; returns `[draws]`.
      draws: number of resampled sets.
      seed: random seed.

    Raises:
      UserError: there are fewer than two rows, or some values are not finite.

    >>> bootstrap_interval(np.array([1.0, 1.0, 1.0]))
    Interval(value=1.0, low=1.0, high=1.0)
    >>> value, low, high = bootstrap_interval(np.arange(101.0), np.median)
    >>> value, 30 < low < 50 < high < 70
    (50.0, True)
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim == 0 or len(rows) < 2:
        raise UserError(f"values of shape {rows.shape} for a confidence interval; wanted two rows or more")
    if not np.isfinite(rows).all():
        raise UserError("values that are infinite or NaN for a confidence interval; wanted finite values")
    rng, batch = np.random.default_rng(seed), max(1, MAX_BATCH_VALUES // rows.size)
    sizes = [min(batch, draws - start) for start in range(0, draws, batch)]
    values = [statistic(rows[rng.integers(len(rows), size=(size, len(rows)))], axis=1) for size in sizes]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(values), (tail, 1 - tail))
    return Interval(float(statistic(rows[None], axis=1)[0]), float(low), float(high))


def paired_bootstrap_interval(
    x: np.ndarray, y: np.ndarray, statistic: Statistic = np.mean, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """95 % confidence interval of ``statistic(x) - statistic(y)`` for values of two systems on the same examples.

    Both systems are resampled with the same rows, so the variation between examples cancels. The difference is
    significant at the 5 % level if the interval does not contain 0. Arguments as in :func:`bootstrap_interval`.

    Args:
      x: `[n]` or `[n, ...]`, values of the first system.
      y: values of the second system for the same examples, of the same shape.
      statistic: as in :func:`bootstrap_interval`.
      draws: number of resampled sets.
      seed: random seed.

    Raises:
      UserError: the shapes differ; also the errors of :func:`bootstrap_interval`.

    >>> x = np.random.default_rng(0).normal(size=50)
    >>> [round(number, 9) for number in paired_bootstrap_interval(x + 1, x)]
    [1.0, 1.0, 1.0]
    """
    if np.shape(x) != np.shape(y):
        raise UserError(f"paired values of shapes {np.shape(x)} and {np.shape(y)}; wanted the same examples in both")
    pairs = np.stack([x, y], axis=1) if np.ndim(x) else np.asarray(x)

    def difference(resampled: np.ndarray, axis: int) -> np.ndarray:
        return statistic(resampled[:, :, 0], axis=axis) - statistic(resampled[:, :, 1], axis=axis)

    return bootstrap_interval(pairs, difference, draws=draws, seed=seed)
