"""Out-of-distribution detection: scores, their combination, and a threshold.

No outliers are needed: distances are fitted to training examples, and the calibration and the threshold to held-out
examples of the same distribution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import sklearn.covariance
import sklearn.neighbors

from models.errors import UserError

NEIGHBOURS = 10
FOLDS = 10  # of cross-validation over held-out examples
MAX_CODES = 5000  # training codes stored for the nearest-neighbour search
TWO_SIDED = ("sharpness", "content_change", "phoneme_entropy")  # scores for which low values are outliers, too


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Distribution of the codes of training examples.

    Attributes:
      mean: `[latent]`.
      whitening: `[latent, latent]`, transforms the codes to identity covariance.
      codes: `[n, latent]`, whitened codes for the nearest-neighbour search.
    """

    mean: np.ndarray
    whitening: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, *, seed: int = 0) -> Reference:
        """Fit to training codes `[n, latent]`, with the covariance shrinkage of Ledoit & Wolf 2004.

        Raises:
          UserError: there are at most `NEIGHBOURS` codes.
        """
        if len(codes) <= NEIGHBOURS:
            raise UserError(f"{len(codes)} training codes; wanted more than {NEIGHBOURS}")
        codes = np.asarray(codes, np.float64)
        covariance, _ = sklearn.covariance.ledoit_wolf(codes)
        variances, directions = np.linalg.eigh(covariance)
        floor = 1e-6 * max(variances.max(), 1e-12)
        whitening = directions / np.sqrt(np.maximum(variances, floor))
        subset = np.random.default_rng(seed).permutation(len(codes))[:MAX_CODES]
        mean = codes.mean(axis=0)
        return cls(mean, whitening, (codes[np.sort(subset)] - mean) @ whitening)

    def whiten(self, codes: np.ndarray) -> np.ndarray:
        """Transform codes `[n, latent]` so that training codes have identity covariance."""
        return (np.asarray(codes, np.float64) - self.mean) @ self.whitening

    def mahalanobis(self, codes: np.ndarray) -> np.ndarray:
        """Mahalanobis distance from the mean, `[n]` (arXiv:1807.03888, Eq. 2, one class)."""
        return np.linalg.norm(self.whiten(codes), axis=1)

    def knn(self, codes: np.ndarray) -> np.ndarray:
        """Mean distance to the `NEIGHBOURS` nearest training codes, `[n]` (after arXiv:2204.06507)."""
        index = sklearn.neighbors.NearestNeighbors(n_neighbors=NEIGHBOURS).fit(self.codes)
        return index.kneighbors(self.whiten(codes))[0].mean(axis=1)


def sharpness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log ratio of the roughness of `x` to that of its reconstruction `y`, `[n]`.

    Detects blurred examples: their reconstruction error is small, but their reconstructions are sharper.

    Args:
      x: `[n, rows, columns, ...]`.
      y: the same shape.
    """
    return np.log(roughness(x) + 1e-9) - np.log(roughness(y) + 1e-9)


def roughness(x: np.ndarray) -> np.ndarray:
    """Mean squared difference of adjacent values along rows and columns of `[n, rows, columns, ...]`, `[n]`."""
    x = np.asarray(x, np.float64)
    vertical, horizontal = np.square(np.diff(x, axis=1)), np.square(np.diff(x, axis=2))
    return sum(np.mean(squares.reshape(len(x), -1), axis=1) for squares in (vertical, horizontal))


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Standardises several scores and combines them into one.

    Attributes:
      names: names of the scores.
      centre: `[scores]`, medians over in-distribution examples.
      scale: `[scores]`, median absolute deviations, scaled to the standard deviation of a normal distribution.
      mean: `[scores]`, means of the standardised scores.
      precision: `[scores, scores]`, inverse covariance of the standardised scores.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, scores: Mapping[str, np.ndarray]) -> Calibration:
        """Fit to scores `[n]` by name, of held-out in-distribution examples.

        Raises:
          UserError: there are no more examples than scores.
        """
        names = tuple(scores)
        matrix = np.stack([scores[name] for name in names], axis=1)
        if len(matrix) <= len(names):
            raise UserError(f"{len(matrix)} held-out examples; wanted more than the {len(names)} scores")
        centre = np.median(matrix, axis=0)
        scale = np.maximum(1.4826 * np.median(np.abs(matrix - centre), axis=0), 1e-9 + 1e-9 * np.abs(centre))
        z = np.arcsinh((matrix - centre) / scale)
        covariance, _ = sklearn.covariance.ledoit_wolf(z)
        return cls(names, centre, scale, z.mean(axis=0), np.linalg.pinv(covariance))

    def standardize(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scaled deviations from the median, `[n, scores]`; asinh makes large deviations logarithmic.

        Raises:
          UserError: a score is missing.
        """
        missing = [name for name in self.names if name not in scores]
        if missing:
            raise UserError(f"score {missing[0]} is missing; wanted {', '.join(self.names)}")
        matrix = np.stack([np.asarray(scores[name], np.float64) for name in self.names], axis=1)
        return np.arcsinh((matrix - self.centre) / self.scale)

    def single(self, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each standardised score by itself, `[n]`; higher for outliers."""
        z = self.standardize(scores)
        return {name: np.abs(z[:, n]) if name in TWO_SIDED else z[:, n] for n, name in enumerate(self.names)}

    def combined(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Mahalanobis distance of all scores from the in-distribution mean, `[n]`; higher for outliers.

        The distance is two-sided and joint: an example that is reconstructed too well for the position of its code is
        an outlier, too.
        """
        z = self.standardize(scores) - self.mean
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", z, self.precision, z), 0.0))


def cross_validated_scores(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Combined scores of held-out examples, each by a calibration fitted to the other folds, `[n]`.

    These are unbiased estimates for new examples. A calibration fitted to the same examples would give lower scores.

    Raises:
      UserError: there are too few examples, see :meth:`Calibration.of`.
    """
    count = len(next(iter(scores.values())))
    folds, combined = np.arange(count) % min(FOLDS, count), np.zeros(count)
    for fold in range(folds.max() + 1):
        fitted, scored = folds != fold, folds == fold
        calibration = Calibration.of({name: values[fitted] for name, values in scores.items()})
        combined[scored] = calibration.combined({name: values[scored] for name, values in scores.items()})
    return combined


def threshold(scores: np.ndarray, rate: float) -> float:
    """Score that in-distribution examples exceed with an expected probability of at most `rate`.

    The order statistic of split conformal prediction (Papadopoulos et al. 2002): of n held-out scores, the one of
    rank ``ceil((n + 1) (1 - rate))``.

    Args:
      scores: `[n]`, of held-out in-distribution examples.
      rate: the false-positive rate, between 0 and 1.

    Raises:
      UserError: `rate` is out of range, or there are too few scores for it.

    >>> threshold(np.arange(99.0), 0.05)
    94.0
    """
    if not 0 < rate < 1:
        raise UserError(f"false-positive rate {rate}; wanted a number between 0 and 1")
    rank = int(np.ceil(round((len(scores) + 1) * (1 - rate), 9)))
    if rank > len(scores):
        min_scores = int(np.ceil(1 / rate - 1))
        raise UserError(
            f"{len(scores)} held-out examples; wanted at least {min_scores} for a false-positive rate of {rate}"
        )
    return float(np.sort(scores)[rank - 1])
