"""Moments of features, mergeable: Beam adds them up over workers, models normalise with them.

Kept per bin (the last axis: mel bands of speech, channels of pictures) together with the
covariance between bins, and for speech between a frame and the next few, which is what
`models.features.transport` needs.
"""

from __future__ import annotations

import base64
import dataclasses
import functools

import numpy as np

from models.errors import UserError

STD_FLOOR = 1e-3  # a bin that never varies must not be divided by zero
LAGS = 4  # of speech: the covariance reaches so many frames ahead


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Sums over frames `x[t]` and what follows them `x[t + k]`, for lags `k` of 0 and up, in float64.

    Plain sums, because features are within a few units of zero: merging adds, in any order.

    Attributes:
      pairs: `[lags]`, pairs seen at each lag; at lag 0 the vectors.
      lead: `[lags, bins]`, sums of `x[t]` over the pairs.
      trail: `[lags, bins]`, sums of `x[t + k]` over the pairs.
      products: `[lags, bins, bins]`, sums of outer products of the two.
      highest: `[bins]`, the largest value of each bin.
    """

    pairs: np.ndarray
    lead: np.ndarray
    trail: np.ndarray
    products: np.ndarray
    highest: np.ndarray

    @classmethod
    def empty(cls, bins: int, lags: int = 0) -> Moments:
        """Of nothing: the neutral element of :func:`merge`."""
        k = lags + 1
        sums = np.zeros(k), np.zeros((k, bins)), np.zeros((k, bins)), np.zeros((k, bins, bins))
        return cls(*sums, np.full(bins, -np.inf))

    @classmethod
    def of(cls, vectors: np.ndarray, *, active: np.ndarray | None = None, lags: int = 0) -> Moments:
        """Of an array `[..., bins]`, or of a sequence `[frames, bins]` with lags.

        Args:
          vectors: the features.
          active: bool `[frames]`, which frames lead a pair; all if not given.
          lags: how far the covariance reaches ahead.
        """
        x = np.asarray(vectors, np.float64).reshape(-1, vectors.shape[-1])
        active = np.ones(len(x), bool) if active is None else active
        sums = []
        for lag in range(lags + 1):
            leads = active[: max(0, len(x) - lag)]
            first, then = x[: len(leads)][leads], x[lag : lag + len(leads)][leads]
            sums.append((len(first), first.sum(axis=0), then.sum(axis=0), first.T @ then))
        made = (np.asarray(column, np.float64) for column in zip(*sums, strict=True))
        return cls(*made, np.max(x[active], axis=0, initial=-np.inf))

    @property
    def count(self) -> int:
        """Vectors seen."""
        return int(self.pairs[0])

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """`[bins]`; zeros of nothing."""
        return self.lead[0] / max(1, self.count)

    @functools.cached_property
    def std(self) -> np.ndarray:
        """`[bins]`, at least `STD_FLOOR`."""
        return np.sqrt(np.maximum(np.diag(self.covariance(0)), STD_FLOOR**2))

    def covariance(self, lag: int) -> np.ndarray:
        """`[bins, bins]` between `x[t]` and `x[t + lag]`, over all vectors (absent ones count as the mean)."""
        mean = self.mean
        crossed = np.outer(self.lead[lag], mean) + np.outer(mean, self.trail[lag])
        centred = self.products[lag] - crossed + self.pairs[lag] * np.outer(mean, mean)
        return centred / max(1, self.count)

    def to_json(self, dtype: str = "<f4") -> dict:
        """Readable mean and standard deviation, and the sums as base64.

        Single precision hides in what order workers were merged, so that the bytes are the same.
        """
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        packed = {name: base64.b64encode(array.astype(dtype).tobytes()).decode() for name, array in arrays.items()}
        return {"count": self.count, "mean": _rounded(self.mean), "std": _rounded(self.std), "dtype": dtype, **packed}

    @classmethod
    def from_json(cls, row: dict) -> Moments:
        """The inverse of :meth:`to_json`."""

        def unpacked(name: str) -> np.ndarray:
            return np.frombuffer(base64.b64decode(row[name]), row["dtype"]).astype(np.float64)

        pairs, bins = unpacked("pairs"), len(row["mean"])
        lead, trail = (unpacked(name).reshape(len(pairs), bins) for name in ("lead", "trail"))
        return cls(pairs, lead, trail, unpacked("products").reshape(len(pairs), bins, bins), unpacked("highest"))


def _rounded(array: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in array]


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union.

    Raises:
      UserError: of other bins or lags.

    >>> x = np.arange(12.0).reshape(6, 2)
    >>> bool(np.allclose(merge(Moments.of(x[:2]), Moments.of(x[2:])).covariance(0), np.cov(x.T, ddof=0)))
    True
    """
    if a.products.shape != b.products.shape:
        raise UserError(f"moments of lags and bins {a.products.shape[:2]} and {b.products.shape[:2]}; wanted the same")
    sums = a.pairs + b.pairs, a.lead + b.lead, a.trail + b.trail, a.products + b.products
    return Moments(*sums, np.maximum(a.highest, b.highest))


def normalise(x: np.ndarray, moments: Moments) -> np.ndarray:
    """Zero mean and unit variance in every bin."""
    return (x - moments.mean) / moments.std


def denormalise(x: np.ndarray, moments: Moments) -> np.ndarray:
    """The inverse of :func:`normalise`."""
    return x * moments.std + moments.mean
