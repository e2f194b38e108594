"""Moments of features, mergeable: Beam combines them over workers, models normalise with them.

A moment is kept per bin (the last axis: mel bands of speech, channels of pictures) together with
the covariance between bins, so that the linear transport between two domains can be had in
closed form.
"""

from __future__ import annotations

import dataclasses

import numpy as np

STD_FLOOR = 1e-3  # a bin that never varies must not be divided by zero


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of vectors of `bins` numbers, in float64.

    Attributes:
      count: vectors seen.
      mean: `[bins]`.
      scatter: `[bins, bins]`, the sum of outer products of the deviations from the mean.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, bins: int) -> Moments:
        """Of no vectors: the neutral element of :func:`merge`."""
        return cls(0, np.zeros(bins), np.zeros((bins, bins)))

    @classmethod
    def of(cls, vectors: np.ndarray) -> Moments:
        """Of an array `[..., bins]`."""
        x = np.asarray(vectors, np.float64).reshape(-1, vectors.shape[-1])
        if not len(x):
            return cls.empty(x.shape[1])
        mean = x.mean(axis=0)
        return cls(len(x), mean, (x - mean).T @ (x - mean))

    @property
    def covariance(self) -> np.ndarray:
        """`[bins, bins]`, divided by the count (by 1 where it is 0)."""
        return self.scatter / max(1, self.count)

    @property
    def std(self) -> np.ndarray:
        """`[bins]`, at least `STD_FLOOR`."""
        return np.sqrt(np.maximum(np.diag(self.covariance), STD_FLOOR**2))

    def to_json(self) -> dict:
        """Numbers and lists; single precision, so that the bytes do not depend on the order of merging."""
        return {
            "count": self.count,
            "mean": np.float32(self.mean).tolist(),
            "std": np.float32(self.std).tolist(),
            "covariance": np.float32(self.covariance).tolist(),
        }

    @classmethod
    def from_json(cls, fields: dict) -> Moments:
        """The inverse of :meth:`to_json`, to single precision."""
        covariance = np.asarray(fields["covariance"], np.float64)
        return cls(fields["count"], np.asarray(fields["mean"], np.float64), covariance * max(1, fields["count"]))

    def to_row(self) -> dict:
        """Numbers and lists, in double precision: to be merged again."""
        return {"count": self.count, "mean": self.mean.tolist(), "scatter": self.scatter.tolist()}

    @classmethod
    def from_row(cls, row: dict) -> Moments:
        """The inverse of :meth:`to_row`."""
        return cls(row["count"], np.asarray(row["mean"]), np.asarray(row["scatter"]))


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union (Chan, Golub & LeVeque 1979, Eq. 2.1): associative, commutative.

    >>> x = np.arange(12.0).reshape(6, 2)
    >>> bool(np.allclose(merge(Moments.of(x[:2]), Moments.of(x[2:])).covariance, Moments.of(x).covariance))
    True
    """
    count = a.count + b.count
    if not count:
        return a
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.count / count)
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.count * b.count / count)
    return Moments(count, mean, scatter)


def normalise(x: np.ndarray, moments: Moments) -> np.ndarray:
    """Zero mean and unit variance in every bin."""
    return (x - moments.mean) / moments.std


def denormalise(x: np.ndarray, moments: Moments) -> np.ndarray:
    """The inverse of :func:`normalise`."""
    return x * moments.std + moments.mean


def transport(source: Moments, target: Moments, *, ridge: float = 1e-3) -> np.ndarray:
    """The linear map that moves the source domain onto the target domain with least effort.

    Between Gaussians the Monge map of optimal transport is linear (Olkin & Pukelsheim 1982; Peyre &
    Cuturi 2019, Eq. 2.41). Here it is taken between the *normalised* features:
    ``normalise(y, target) = normalise(x, source) @ transport(source, target)``.

    Args:
      source: moments of the domain that is left.
      target: moments of the domain that is entered.
      ridge: added to both variances (of features in their own units), for bins that never vary.

    Returns:
      `[bins, bins]`; the identity for equal moments.
    """
    eye = ridge * np.eye(len(source.mean))
    s, t = source.covariance + eye, target.covariance + eye
    root, inverse = _root(s), np.linalg.inv(_root(s))
    matrix = inverse @ _root(root @ t @ root) @ inverse
    return (matrix * source.std / target.std[:, None]).T


def _root(symmetric: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive definite matrix."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
