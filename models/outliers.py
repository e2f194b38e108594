"""Is an example like those a model was trained on? Scores, their combination, and a threshold.

No outlier is known when these are fitted: distances refer to training examples, scales and the threshold to
held-out ones of the same kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import sklearn.covariance
import sklearn.neighbors

from models.errors import UserError

NEIGHBOURS = 10
FOLDS = 10  # of held-out examples, of which one is scored by what is usual for the others
MOST_CODES = 5000  # training codes that are kept to look for neighbours among
TWO_SIDED = ("sharpness",)  # scores that are strange where they are low, too


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Where the codes of training examples lie.

    Attributes:
      mean: `[latent]`.
      whitening: `[latent, latent]`, brings the codes to covariance one.
      codes: `[n, latent]`, whitened codes among which neighbours are looked for.
    """

    mean: np.ndarray
    whitening: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, *, seed: int = 0) -> Reference:
        """Of training codes `[n, latent]`; the covariance is shrunk as in Ledoit & Wolf 2004.

        Raises:
          UserError: fewer codes than neighbours are asked for.
        """
        if len(codes) <= NEIGHBOURS:
            raise UserError(f"{len(codes)} training codes; wanted more than {NEIGHBOURS}")
        codes = np.asarray(codes, np.float64)
        covariance, _ = sklearn.covariance.ledoit_wolf(codes)
        variances, directions = np.linalg.eigh(covariance)
        floor = 1e-6 * max(variances.max(), 1e-12)
        whitening = directions / np.sqrt(np.maximum(variances, floor))
        kept = np.random.default_rng(seed).permutation(len(codes))[:MOST_CODES]
        mean = codes.mean(axis=0)
        return cls(mean, whitening, (codes[np.sort(kept)] - mean) @ whitening)

    def whitened(self, codes: np.ndarray) -> np.ndarray:
        """`[n, latent]`, in units in which training codes have covariance one."""
        return (np.asarray(codes, np.float64) - self.mean) @ self.whitening

    def mahalanobis(self, codes: np.ndarray) -> np.ndarray:
        """Distance from the mean in deviations, `[n]` (arXiv:1807.03888, Eq. 2, one class)."""
        return np.linalg.norm(self.whitened(codes), axis=1)

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """Mean distance to the `NEIGHBOURS` nearest training codes, `[n]` (after arXiv:2204.06507)."""
        index = sklearn.neighbors.NearestNeighbors(n_neighbors=NEIGHBOURS).fit(self.codes)
        return index.kneighbors(self.whitened(codes))[0].mean(axis=1)


def sharpness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logarithm of how much more neighbours differ in `x` than in its reconstruction `y`, `[n]`.

    What is blurred is reconstructed well, so no error finds it; but a model makes it sharper.

    Args:
      x: `[n, rows, columns, ...]`.
      y: the same shape.
    """
    return np.log(roughness(x) + 1e-9) - np.log(roughness(y) + 1e-9)


def roughness(x: np.ndarray) -> np.ndarray:
    """Mean squared difference of neighbours along rows and columns of `[n, rows, columns, ...]`, `[n]`."""
    x = np.asarray(x, np.float64)
    down, across = np.square(np.diff(x, axis=1)), np.square(np.diff(x, axis=2))
    return sum(np.mean(part.reshape(len(x), -1), axis=1) for part in (down, across))


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of several kinds on one scale, and all of them as one.

    Attributes:
      names: of the scores.
      centre: `[scores]`, medians of examples of the usual kind.
      scale: `[scores]`, their median deviation, as for a normal distribution.
      mean: `[scores]`, of the standardised scores.
      precision: `[scores, scores]`, inverse of their covariance.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, scores: Mapping[str, np.ndarray]) -> Calibration:
        """Of scores `[n]` by name, of held-out examples of the usual kind.

        Raises:
          UserError: fewer examples than there are scores.
        """
        names = tuple(scores)
        found = np.stack([scores[name] for name in names], axis=1)
        if len(found) <= len(names):
            raise UserError(f"{len(found)} held-out examples; wanted more than the {len(names)} scores")
        centre = np.median(found, axis=0)
        scale = np.maximum(1.4826 * np.median(np.abs(found - centre), axis=0), 1e-9 + 1e-9 * np.abs(centre))
        z = np.arcsinh((found - centre) / scale)
        covariance, _ = sklearn.covariance.ledoit_wolf(z)
        return cls(names, centre, scale, z.mean(axis=0), np.linalg.pinv(covariance))

    def standardised(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Deviations from the median, `[n, scores]`; their asinh, so that far out counts like its logarithm.

        Raises:
          UserError: a score is missing.
        """
        missing = [name for name in self.names if name not in scores]
        if missing:
            raise UserError(f"score {missing[0]} is missing; wanted {', '.join(self.names)}")
        found = np.stack([np.asarray(scores[name], np.float64) for name in self.names], axis=1)
        return np.arcsinh((found - self.centre) / self.scale)

    def single(self, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each score for itself, `[n]`, high where an example is strange."""
        z = self.standardised(scores)
        return {name: np.abs(z[:, n]) if name in TWO_SIDED else z[:, n] for n, name in enumerate(self.names)}

    def combined(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """How strange all scores together are, `[n]`: their Mahalanobis distance from what is usual.

        Two-sided, and about the scores together: what is reconstructed too well for where its code lies is
        strange as well.
        """
        z = self.standardised(scores) - self.mean
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", z, self.precision, z), 0.0))


def crossed(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Combined scores of held-out examples, each by a calibration on others: what new ones would score, `[n]`.

    By one that they were part of themselves they would look more usual than new ones do.

    Raises:
      UserError: too few examples, see :meth:`Calibration.of`.
    """
    count = len(next(iter(scores.values())))
    fold, found = np.arange(count) % min(FOLDS, count), np.zeros(count)
    for number in range(fold.max() + 1):
        others, mine = fold != number, fold == number
        made = Calibration.of({name: values[others] for name, values in scores.items()})
        found[mine] = made.combined({name: values[mine] for name, values in scores.items()})
    return found


def threshold(scores: np.ndarray, rate: float) -> float:
    """The score above which at most a share `rate` of examples of the usual kind lie, in the mean over new ones.

    The order statistic of split conformal prediction (Papadopoulos et al. 2002): with n held-out scores the
    one of rank ``ceil((n + 1) (1 - rate))``.

    Args:
      scores: `[n]`, of held-out examples of the usual kind.
      rate: the false-positive rate, between 0 and 1.

    Raises:
      UserError: too few scores for so low a rate.

    >>> threshold(np.arange(99.0), 0.05)
    94.0
    """
    if not 0 < rate < 1:
        raise UserError(f"false-positive rate {rate}; wanted a number between 0 and 1")
    rank = int(np.ceil(round((len(scores) + 1) * (1 - rate), 9)))
    if rank > len(scores):
        wanted = int(np.ceil(1 / rate - 1))
        raise UserError(f"{len(scores)} held-out examples; a false-positive rate of {rate} wants {wanted} or more")
    return float(np.sort(scores)[rank - 1])
