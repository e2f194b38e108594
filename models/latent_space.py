"""What can be done with codes: paths between them, walks along one dimension, weights for what is rare.

Codes are `[..., latent]`; nothing here knows what they decode to.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from models.errors import UserError

BINS = 10  # of a dimension's histogram (Amini et al. 2019)
RULES = ("largest", "product")  # what of many dimensions' rarities makes one
PARALLEL = 1e-6  # radians between directions, below which an arc is a line


def linear(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    """Codes on the line from `a` to `b`, ends included.

    Args:
      a: `[..., latent]`.
      b: the same shape.
      points: how many, two or more.

    Returns:
      `[points, ..., latent]`.

    >>> linear(np.zeros(2), np.ones(2), 3).tolist()
    [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    """
    share = _shares(a, b, points)
    return (1 - share) * a + share * b


def spherical(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    """Codes on the arc from `a` to `b` (Shoemake 1985; for codes Sec. 2.1 of arXiv:1609.04468).

    A line between standard normal codes runs nearer to the origin than such codes lie; an arc does not. The
    direction turns at a constant rate, the norm goes from one to the other in equal steps. Between opposite
    directions all arcs are as short; one of them is taken, the same each time.

    Args:
      a: `[..., latent]`.
      b: the same shape.
      points: how many, two or more.

    Returns:
      `[points, ..., latent]`.

    >>> path = spherical(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 5)
    >>> np.linalg.norm(path, axis=1).round(9).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    share = _shares(a, b, points)
    norms = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    u, v = (x / np.maximum(norm, 1e-12) for x, norm in zip((a, b), norms, strict=True))
    angle = np.arccos(np.clip(np.sum(u * v, axis=-1, keepdims=True), -1.0, 1.0))
    aside = v - np.sum(u * v, axis=-1, keepdims=True) * u
    opposite = angle > np.pi - PARALLEL
    aside = np.where(opposite, _across(u), aside)
    aside = aside / np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-12)
    turned = np.cos(share * angle) * u + np.sin(share * angle) * aside
    path = ((1 - share) * norms[0] + share * norms[1]) * turned
    straight = (angle < PARALLEL) | (np.minimum(*norms) < 1e-12)
    return np.where(straight, linear(a, b, points), path)


def _shares(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    if np.shape(a) != np.shape(b):
        raise UserError(f"codes of shapes {np.shape(a)} and {np.shape(b)}; wanted the same")
    if points < 2:
        raise UserError(f"points={points}; wanted two or more")
    return np.linspace(0.0, 1.0, points).reshape(points, *[1] * np.ndim(a))


def _across(u: np.ndarray) -> np.ndarray:
    """A direction at right angles to each of `u`."""
    axis = np.eye(u.shape[-1])[np.argmin(np.abs(u), axis=-1)]
    return axis - np.sum(axis * u, axis=-1, keepdims=True) * u


def traversed(code: np.ndarray, dimension: int, values: np.ndarray) -> np.ndarray:
    """The code with one dimension set to each of some values, the rest as it is: `[values, ..., latent]`.

    >>> traversed(np.zeros(3), 1, np.array([-1.0, 1.0])).tolist()
    [[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    path = np.repeat(np.asarray(code, np.float64)[None], len(values), axis=0)
    path[..., dimension] = np.reshape(values, [-1, *[1] * (np.ndim(code) - 1)])
    return path


# ------------------------------------------------------------------ what is rare


@dataclasses.dataclass(frozen=True, eq=False)
class Histograms:
    """How often codes fall where, each dimension for itself.

    Attributes:
      low: `[latent]`, where the first bin begins; what is lower falls into it too.
      high: `[latent]`, where the last one ends; what is higher falls into it too.
      counts: `[latent, bins]`.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, *, bins: int = BINS, span: tuple[np.ndarray, np.ndarray] | None = None):
        """Of codes `[n, latent]`, between the lowest and the highest, or over a given span."""
        low, high = (codes.min(axis=0), codes.max(axis=0)) if span is None else span
        empty = cls(np.asarray(low, np.float64), np.asarray(high, np.float64), np.zeros((codes.shape[1], bins)))
        counts = [np.bincount(column, minlength=bins) for column in empty.places(codes).T]
        return dataclasses.replace(empty, counts=np.stack(counts).astype(np.float64))

    def places(self, codes: np.ndarray) -> np.ndarray:
        """The bins that codes fall into, `[n, latent]`."""
        bins = self.counts.shape[1]
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        return np.clip((bins * (codes - self.low) / width).astype(int), 0, bins - 1)

    def rarity(self, codes: np.ndarray, alpha: float, rule: str = "largest") -> np.ndarray:
        """Of each code the weight with which it should be drawn, `[n]`, with sum one.

        For each dimension the inverse of the share of examples in the code's bin plus `alpha`, brought to sum
        one. "product" multiplies them (Amini et al. 2019, Sec. 3.3): what is a little unusual in many dimensions
        is rare. "largest" takes the largest, as the authors' course does: a dimension in which nothing is rare then
        says nothing, and many dimensions do not leave all weight with a few examples.

        Args:
          codes: `[n, latent]`.
          alpha: 0 or more; the larger, the more alike the weights.
          rule: one of `RULES`.

        Raises:
          UserError: no such rule.
        """
        if rule not in RULES:
            raise UserError(f"rule {rule!r}; wanted {' or '.join(RULES)}")
        shares = self.counts / self.counts.sum(axis=1, keepdims=True)
        found = np.stack([row[column] for row, column in zip(shares, self.places(codes).T, strict=True)], axis=1)
        if rule == "product":
            logs = -np.log(found + max(alpha, 1e-12)).sum(axis=1)
            weights = np.exp(logs - logs.max())
        else:
            inverse = 1 / (found + max(alpha, 1e-12))
            weights = np.max(inverse / inverse.sum(axis=0), axis=1)
        return weights / weights.sum()


def merged(a: Histograms, b: Histograms) -> Histograms:
    """Histograms of the union.

    Raises:
      UserError: of other bins.
    """
    alike = a.counts.shape == b.counts.shape and np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)
    if not alike:
        raise UserError("histograms of other bins; wanted the same span and number of them")
    return dataclasses.replace(a, counts=a.counts + b.counts)


def resampling_weights(codes: np.ndarray, alpha: float = 1e-3, *, rule: str = "largest", bins: int = BINS):
    """Weights of some examples by how rare their codes are among themselves, `[n]`, see :meth:`Histograms.rarity`.

    >>> resampling_weights(np.array([[0.0], [0.0], [0.0], [1.0]]), alpha=0.0).round(3).tolist()
    [0.167, 0.167, 0.167, 0.5]
    """
    if alpha < 0:
        raise UserError(f"alpha={alpha}; wanted 0 or more")
    return Histograms.of(codes, bins=bins).rarity(codes, alpha, rule)


def effective_share(weights: np.ndarray) -> float:
    """How many examples a weighted draw amounts to (Kish 1965), as a share of all: 1 for equal weights.

    >>> effective_share(np.array([0.5, 0.5, 0.0, 0.0]))
    0.5
    """
    return float(np.square(weights.sum()) / np.square(weights).sum() / len(weights))
