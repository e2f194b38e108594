"""Continuity and completeness of a latent space: what a lecture asks of one, as numbers."""

from __future__ import annotations

import numpy as np

from models import outliers
from models.metrics.generation import Components, kernel_distance

ACTIVE_VARIANCE = 1e-2  # of the posterior means of a unit that says anything (arXiv:1509.00519, Sec. 5)
ACCEPTED = 0.95  # share of outputs for examples that count as being like such outputs
MOST_COMPARED = 2000  # codes, in a distance between all pairs


def steps(path: np.ndarray) -> np.ndarray:
    """How far decoded points are from the next: `[points, ...]` to `[points - 1]`, root mean square."""
    flat = np.asarray(path, np.float64).reshape(len(path), -1)
    return np.sqrt(np.mean(np.square(np.diff(flat, axis=0)), axis=1))


def continuity(path: np.ndarray) -> float:
    """How evenly decoded points move along a path of evenly spaced codes: the mean step for the largest.

    1 where every step is as long as the next, ``1 / steps`` where all change happens in one jump. A path that
    does not move at all has no jump: 1.

    Args:
      path: `[points, ...]`, decoded.

    >>> continuity(np.arange(5.0)), continuity(np.array([0.0, 0.0, 0.0, 0.0, 1.0]))
    (1.0, 0.25)
    """
    found = steps(path)
    return 1.0 if found.max() == 0 else float(found.mean() / found.max())


def straightness(path: np.ndarray) -> float:
    """How directly decoded points go from one end to the other: the distance of the ends for the way, 0 to 1.

    A cross-fade goes straight; a path over pictures that are each a picture does not. Neither is better; it
    says which of the two is seen.

    >>> straightness(np.arange(5.0))
    1.0
    """
    way = steps(path).sum()
    return 1.0 if way == 0 else float(steps(path[[0, -1]])[0] / way)


class Support:
    """What a decoder makes of codes of examples: the measure of what it makes of other codes.

    Three things are looked at together, and on either side of what is usual: the distance to the nearest known output,
    on main directions of these; how much lies outside these directions; and how rough it is. A mush of several
    examples is nearer and smoother than outputs mostly are, noise rougher and further outside.

    Args:
      known: `[n, ...]`, outputs for some examples, as many as there are directions or more.
      others: `[m, ...]`, outputs for other examples of the same kind.
    """

    def __init__(self, known: np.ndarray, others: np.ndarray):
        self.components = Components(known)
        self.known = self.components.of(known)
        scores = self._scores(others)
        self.calibration = outliers.Calibration.of(scores)
        self.limit = outliers.threshold(outliers.crossed(scores), 1 - ACCEPTED)

    def _scores(self, examples: np.ndarray) -> dict[str, np.ndarray]:
        x = self.components.of(examples)
        squares = np.square(x).sum(axis=1)[:, None] + np.square(self.known).sum(axis=1) - 2 * x @ self.known.T
        nearest = np.maximum(squares, 1e-12).min(axis=1)
        outside = self.components.outside(examples)
        rough = outliers.roughness(examples)
        return {n: np.log(v + 1e-9) for n, v in (("nearest", nearest), ("outside", outside), ("rough", rough))}

    def accepted(self, examples: np.ndarray) -> float:
        """The share of `[k, ...]` that is like these; of new outputs for examples of the same kind `ACCEPTED`."""
        return float(np.mean(self.calibration.combined(self._scores(examples)) <= self.limit))


def active_units(means: np.ndarray) -> int:
    """Dimensions of posterior means `[n, latent]` that vary (arXiv:1509.00519, Sec. 5)."""
    return int(np.sum(means.var(axis=0) > ACTIVE_VARIANCE))


def gaussian_divergence(codes: np.ndarray) -> float:
    """``KL(N(m, C) || N(0, 1))`` in nats, m and C being mean and covariance of codes `[n, latent]`.

    The codes are drawn from the aggregate posterior; 0 where its moments are the prior's. Dimensions that never
    vary count as varying by 1e-6.

    >>> round(gaussian_divergence(np.array([[1.0], [-1.0]])), 9)
    0.0
    """
    mean = codes.mean(axis=0)
    variances = np.maximum(np.linalg.eigvalsh(np.atleast_2d(np.cov(codes.T, ddof=0))), 1e-6)
    return float(0.5 * (variances.sum() + np.square(mean).sum() - len(mean) - np.log(variances).sum()))


def distance_to_prior(codes: np.ndarray, *, seed: int = 0) -> float:
    """Kernel distance of some of codes `[n, latent]` to as many from N(0, 1), see `generation.kernel_distance`."""
    rng = np.random.default_rng(seed)
    codes = codes[rng.permutation(len(codes))[:MOST_COMPARED]]
    return kernel_distance(codes, rng.normal(size=codes.shape))
