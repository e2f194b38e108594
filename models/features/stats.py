"""Mergeable moments of features: Beam combines them over workers, and models normalise with them.

Moments are per bin (the last axis: mel bands of speech, channels of images) and include the covariance between
bins. For speech they also include the covariance between a frame and the next few frames, for
`models.features.transport`.
"""

from __future__ import annotations

import base64
import dataclasses
import functools

import numpy as np

from models.errors import UserError

STD_FLOOR = 0.1  # lower bound: a filter, or half precision, must not be amplified in a band that is nearly constant
LAGS = 4  # frames ahead that the covariance of speech covers


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Sums over pairs of frames `x[t]` and `x[t + k]`, for lags `k` from 0, in float64.

    Plain sums are accurate enough, because features are within a few units of zero, and they merge by addition in
    any order.

    Attributes:
      pairs: `[lags]`, number of pairs at each lag; at lag 0 the number of vectors.
      lead: `[lags, bins]`, sums of `x[t]` over the pairs.
      trail: `[lags, bins]`, sums of `x[t + k]` over the pairs.
      products: `[lags, bins, bins]`, sums of the outer products of `x[t]` and `x[t + k]`.
      highest: `[bins]`, the largest value of each bin.
    """

    pairs: np.ndarray
    lead: np.ndarray
    trail: np.ndarray
    products: np.ndarray
    highest: np.ndarray

    @classmethod
    def empty(cls, bins: int, lags: int = 0) -> Moments:
        """Moments of no vectors: the neutral element of :func:`merge`."""
        k = lags + 1
        sums = np.zeros(k), np.zeros((k, bins)), np.zeros((k, bins)), np.zeros((k, bins, bins))
        return cls(*sums, np.full(bins, -np.inf))

    @classmethod
    def of(cls, vectors: np.ndarray, *, active: np.ndarray | None = None, lags: int = 0) -> Moments:
        """Moments of an array `[..., bins]`, or of a sequence `[frames, bins]` with lags.

        Args:
          vectors: the features, all finite.
          active: bool `[frames]`, the frames `t` to include as `x[t]`; all by default.
          lags: the largest lag of the covariance, in frames.
        """
        x = np.asarray(vectors, np.float64).reshape(-1, vectors.shape[-1])
        weights = np.ones(len(x)) if active is None else active.astype(np.float64)
        weighted, sums = x if active is None else weights[:, None] * x, []
        for lag in range(lags + 1):
            pairs = max(0, len(x) - lag)
            trail = x[lag : lag + pairs]
            sums.append(
                (
                    weights[:pairs].sum(),
                    weights[:pairs] @ x[:pairs],
                    weights[:pairs] @ trail,
                    weighted[:pairs].T @ trail,
                )
            )
        arrays = (np.asarray(column) for column in zip(*sums, strict=True))
        bins = np.ascontiguousarray((x if active is None else x[active]).T)  # a maximum over columns is slow if few
        return cls(*arrays, bins.max(axis=1, initial=-np.inf))

    @property
    def count(self) -> int:
        """Number of vectors."""
        return int(self.pairs[0])

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """Mean `[bins]`; zeros without vectors."""
        return self.lead[0] / max(1, self.count)

    @functools.cached_property
    def std(self) -> np.ndarray:
        """Standard deviation `[bins]`, at least `STD_FLOOR`."""
        return np.sqrt(np.maximum(np.diag(self.covariance(0)), STD_FLOOR**2))

    def covariance(self, lag: int) -> np.ndarray:
        """Covariance `[bins, bins]` of `x[t]` and `x[t + lag]`, over all vectors (missing pairs count as the mean)."""
        mean = self.mean
        cross = np.outer(self.lead[lag], mean) + np.outer(mean, self.trail[lag])
        centred = self.products[lag] - cross + self.pairs[lag] * np.outer(mean, mean)
        return centred / max(1, self.count)

    def to_json(self, dtype: str = "<f4") -> dict:
        """Return mean and standard deviation as numbers, and the sums as base64.

        Single precision rounds away the order in which workers were merged, so that equal data give equal bytes.
        """
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        packed = {name: base64.b64encode(array.astype(dtype).tobytes()).decode() for name, array in arrays.items()}
        return {"count": self.count, "mean": _rounded(self.mean), "std": _rounded(self.std), "dtype": dtype, **packed}

    @classmethod
    def from_json(cls, row: dict) -> Moments:
        """Inverse of :meth:`to_json`."""

        def unpack(name: str) -> np.ndarray:
            return np.frombuffer(base64.b64decode(row[name]), row["dtype"]).astype(np.float64)

        pairs, bins = unpack("pairs"), len(row["mean"])
        lead, trail = (unpack(name).reshape(len(pairs), bins) for name in ("lead", "trail"))
        return cls(pairs, lead, trail, unpack("products").reshape(len(pairs), bins, bins), unpack("highest"))


def _rounded(array: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in array]


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union of two sets of vectors.

    Raises:
      UserError: `a` and `b` differ in bins or lags.

    >>> x = np.arange(12.0).reshape(6, 2)
    >>> bool(np.allclose(merge(Moments.of(x[:2]), Moments.of(x[2:])).covariance(0), np.cov(x.T, ddof=0)))
    True
    """
    if a.products.shape != b.products.shape:
        raise UserError(f"moments of lags and bins {a.products.shape[:2]} and {b.products.shape[:2]}; wanted the same")
    sums = a.pairs + b.pairs, a.lead + b.lead, a.trail + b.trail, a.products + b.products
    return Moments(*sums, np.maximum(a.highest, b.highest))


def normalize(x: np.ndarray, moments: Moments) -> np.ndarray:
    """Scale every bin to zero mean and unit variance."""
    return (x - moments.mean) / moments.std


def denormalize(x: np.ndarray, moments: Moments) -> np.ndarray:
    """Inverse of :func:`normalize`."""
    return x * moments.std + moments.mean
