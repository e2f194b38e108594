"""Distances between sets: how like the data are the samples of a model, all of them together."""

from __future__ import annotations

import numpy as np

from models.errors import UserError


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of features: the KID of arXiv:1801.01401, Sec. 4.

    Kernel ``(<x, y> / d + 1)^3``; the unbiased estimate, which is zero in the mean for sets of one
    distribution and may be a little below. Numbers compare only where the features are the same.

    Args:
      x: `[n, d]`, two examples or more.
      y: `[m, d]`, two examples or more.

    Raises:
      UserError: too few examples, or features of other lengths.

    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> abs(kernel_distance(x[:250], x[250:])) < 0.1 < kernel_distance(x[:250], x[250:] + 1)
    True
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape[1:] != y.shape[1:] or min(len(x), len(y)) < 2:
        raise UserError(f"features {x.shape} and {y.shape}; wanted two or more of one length on either side")
    within = sum(_means(each, each, without_self=True).mean() for each in (x, y))
    return float(within - 2 * _means(x, y).mean())


def nearer(x: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """By how much `x` is nearer to `wanted` than `y` is, in kernel distance, and the standard error of that.

    The test of relative similarity of arXiv:1511.04581: both distances are taken to the same examples, so
    their difference is known better than either. It is asymptotically normal; its variance is that of the
    examples' own parts of it.

    Args:
      x: `[n, d]`, two examples or more.
      y: `[m, d]`, two examples or more.
      wanted: `[k, d]`, two examples or more.

    >>> x = np.random.default_rng(0).normal(size=(300, 3))
    >>> gain, error = nearer(x[:100], x[100:200] + 1, x[200:])
    >>> gain > 3 * error
    True
    """
    x, y, wanted = (np.asarray(each, np.float64) for each in (x, y, wanted))
    gain = kernel_distance(y, wanted) - kernel_distance(x, wanted)
    own = [2 * (_means(each, each, without_self=True) - _means(each, wanted)) for each in (x, y)]
    own.append(2 * (_means(wanted, x) - _means(wanted, y)))
    return gain, float(np.sqrt(sum(part.var() / len(part) for part in own)))


def _means(x: np.ndarray, y: np.ndarray, *, without_self: bool = False) -> np.ndarray:
    """Of each of `x`, the mean of the kernel over `y`, or over the others where both are one set: `[n]`."""
    values = (x @ y.T / x.shape[1] + 1) ** 3
    if without_self:
        return (values.sum(axis=1) - np.diag(values)) / (len(x) - 1)
    return values.mean(axis=1)


class Components:
    """The main directions of some examples, scaled to variance one: features that need no trained network.

    Args:
      examples: `[n, ...]`.
      most: how many directions.

    Raises:
      UserError: they are all one.
    """

    def __init__(self, examples: np.ndarray, most: int = 64):
        flat = np.reshape(examples, [len(examples), -1]).astype(np.float64)
        self.mean = flat.mean(axis=0)
        _, spread, directions = np.linalg.svd(flat - self.mean, full_matrices=False)
        if not spread[0] > 1e-9 * (1 + np.abs(self.mean).max()):
            raise UserError(f"{len(flat)} examples that are all one, or not finite; wanted some that differ")
        kept = max(1, min(most, int(np.sum(spread > 1e-6 * spread[0]))))
        self.directions = directions[:kept]
        self.scaled = directions[:kept] / (spread[:kept, None] / np.sqrt(len(flat)))

    def of(self, examples: np.ndarray) -> np.ndarray:
        """`[n, ...]` to `[n, directions]`."""
        return (np.reshape(examples, [len(examples), -1]) - self.mean) @ self.scaled.T

    def outside(self, examples: np.ndarray) -> np.ndarray:
        """Mean square of what of `[n, ...]` lies in none of the directions, `[n]`."""
        flat = np.reshape(examples, [len(examples), -1]) - self.mean
        inside = flat @ self.directions.T
        return np.maximum(np.square(flat).sum(axis=1) - np.square(inside).sum(axis=1), 0.0) / flat.shape[1]
