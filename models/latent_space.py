"""Operations on latent codes: interpolation, traversal of a dimension, and resampling weights for rare examples.

Codes are `[..., latent]`. No decoder is involved.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from models.errors import UserError

BINS = 10  # of a dimension's histogram (Amini et al. 2019)
RULES = ("largest", "product")  # how the rarities of all dimensions are combined
MIN_ANGLE = 1e-6  # radians; below, spherical interpolation is replaced by linear


def linear(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    """Linear interpolation between codes `a` and `b`, including the ends.

    Args:
      a: `[..., latent]`.
      b: the same shape.
      points: number of points, at least 2.

    Returns:
      `[points, ..., latent]`.

    >>> linear(np.zeros(2), np.ones(2), 3).tolist()
    [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    """
    weight = _weights(a, b, points)
    return (1 - weight) * a + weight * b


def spherical(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    """Spherical interpolation between codes `a` and `b` (Shoemake 1985; for codes Sec. 2.1 of arXiv:1609.04468).

    A line between standard normal codes passes nearer to the origin than such codes lie; an arc does not. The
    direction rotates at a constant rate, and the norm changes linearly. Between opposite directions, where the arc is
    not unique, a fixed one is chosen.

    Args:
      a: `[..., latent]`.
      b: the same shape.
      points: number of points, at least 2.

    Returns:
      `[points, ..., latent]`.

    >>> path = spherical(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 5)
    >>> np.linalg.norm(path, axis=1).round(9).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    weight = _weights(a, b, points)
    norms = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    u, v = (x / np.maximum(norm, 1e-12) for x, norm in zip((a, b), norms, strict=True))
    angle = np.arccos(np.clip(np.sum(u * v, axis=-1, keepdims=True), -1.0, 1.0))
    orthogonal = v - np.sum(u * v, axis=-1, keepdims=True) * u
    opposite = angle > np.pi - MIN_ANGLE
    orthogonal = np.where(opposite, _orthogonal(u), orthogonal)
    orthogonal = orthogonal / np.maximum(np.linalg.norm(orthogonal, axis=-1, keepdims=True), 1e-12)
    directions = np.cos(weight * angle) * u + np.sin(weight * angle) * orthogonal
    path = ((1 - weight) * norms[0] + weight * norms[1]) * directions
    is_linear = (angle < MIN_ANGLE) | (np.minimum(*norms) < 1e-12)
    return np.where(is_linear, linear(a, b, points), path)


def _weights(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    if np.shape(a) != np.shape(b):
        raise UserError(f"codes of shapes {np.shape(a)} and {np.shape(b)}; wanted the same")
    if points < 2:
        raise UserError(f"points={points}; wanted at least 2")
    return np.linspace(0.0, 1.0, points).reshape(points, *[1] * np.ndim(a))


def _orthogonal(u: np.ndarray) -> np.ndarray:
    """A direction orthogonal to each of `u`."""
    axis = np.eye(u.shape[-1])[np.argmin(np.abs(u), axis=-1)]
    return axis - np.sum(axis * u, axis=-1, keepdims=True) * u


def traverse(code: np.ndarray, dimension: int, values: np.ndarray) -> np.ndarray:
    """Copies of a code with one dimension set to each of the values, `[values, ..., latent]`.

    >>> traverse(np.zeros(3), 1, np.array([-1.0, 1.0])).tolist()
    [[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    path = np.repeat(np.asarray(code, np.float64)[None], len(values), axis=0)
    path[..., dimension] = np.reshape(values, [-1, *[1] * (np.ndim(code) - 1)])
    return path


# ------------------------------------------------------------------ resampling by rarity


@dataclasses.dataclass(frozen=True, eq=False)
class Histograms:
    """Histogram of codes for each dimension.

    Attributes:
      low: `[latent]`, lower edge of the first bin, which also counts lower values.
      high: `[latent]`, upper edge of the last bin, which also counts higher values.
      counts: `[latent, bins]`.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, *, bins: int = BINS, span: tuple[np.ndarray, np.ndarray] | None = None):
        """Histograms of codes `[n, latent]` over a span, by default from the lowest to the highest value."""
        low, high = (codes.min(axis=0), codes.max(axis=0)) if span is None else span
        empty = cls(np.asarray(low, np.float64), np.asarray(high, np.float64), np.zeros((codes.shape[1], bins)))
        counts = [np.bincount(column, minlength=bins) for column in empty.bin_indices(codes).T]
        return dataclasses.replace(empty, counts=np.stack(counts).astype(np.float64))

    def bin_indices(self, codes: np.ndarray) -> np.ndarray:
        """Bin index of each code and dimension, `[n, latent]`."""
        bins = self.counts.shape[1]
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        return np.clip((bins * (codes - self.low) / width).astype(int), 0, bins - 1)

    def rarity(self, codes: np.ndarray, alpha: float, rule: str = "largest") -> np.ndarray:
        """Sampling probability of each code by its rarity, `[n]`, with sum one.

        The rarity in a dimension is ``1 / (share of examples in the code's bin + alpha)``, normalised to sum one.
        "product" multiplies the dimensions (Amini et al. 2019, Sec. 3.3): slightly unusual values in many dimensions
        make a code rare. "largest" takes the maximum, as in the authors' course: dimensions without rare values have
        no effect, and with many dimensions the weight does not concentrate on a few examples.

        Args:
          codes: `[n, latent]`.
          alpha: smoothing, at least 0; larger values make the weights more uniform.
          rule: one of `RULES`.

        Raises:
          UserError: `rule` is unknown.
        """
        if rule not in RULES:
            raise UserError(f"rule {rule!r}; wanted {' or '.join(RULES)}")
        shares = self.counts / self.counts.sum(axis=1, keepdims=True)
        columns = zip(shares, self.bin_indices(codes).T, strict=True)
        density = np.stack([row[indices] for row, indices in columns], axis=1)
        if rule == "product":
            logs = -np.log(density + max(alpha, 1e-12)).sum(axis=1)
            weights = np.exp(logs - logs.max())
        else:
            inverse = 1 / (density + max(alpha, 1e-12))
            weights = np.max(inverse / inverse.sum(axis=0), axis=1)
        return weights / weights.sum()


def merge(a: Histograms, b: Histograms) -> Histograms:
    """Histograms of the union of two sets of codes.

    Raises:
      UserError: the bins differ.
    """
    same_bins = a.counts.shape == b.counts.shape and np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)
    if not same_bins:
        raise UserError("histograms of different bins; wanted the same span and number of bins")
    return dataclasses.replace(a, counts=a.counts + b.counts)


def resampling_weights(codes: np.ndarray, alpha: float = 1e-3, *, rule: str = "largest", bins: int = BINS):
    """Resampling weights of examples by the rarity of their codes, `[n]`, see :meth:`Histograms.rarity`.

    >>> resampling_weights(np.array([[0.0], [0.0], [0.0], [1.0]]), alpha=0.0).round(3).tolist()
    [0.167, 0.167, 0.167, 0.5]
    """
    if alpha < 0:
        raise UserError(f"alpha={alpha}; wanted 0 or more")
    return Histograms.of(codes, bins=bins).rarity(codes, alpha, rule)


def effective_share(weights: np.ndarray) -> float:
    """Effective sample size of a weighted draw (Kish 1965), as a share of all examples: 1 for equal weights.

    >>> effective_share(np.array([0.5, 0.5, 0.0, 0.0]))
    0.5
    """
    return float(np.square(weights.sum()) / np.square(weights).sum() / len(weights))
