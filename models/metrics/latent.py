"""Metrics of the continuity and completeness of a latent space."""

from __future__ import annotations

import numpy as np

from models import outliers
from models.metrics.generation import PrincipalComponents, kernel_distance

ACTIVE_VARIANCE = 1e-2  # variance of the posterior means above which a unit is active (arXiv:1509.00519, Sec. 5)
ACCEPTED_SHARE = 0.95  # of decoded in-distribution examples, at the threshold of `Support`
MAX_COMPARED = 2000  # codes, in a distance between all pairs


def step_sizes(path: np.ndarray) -> np.ndarray:
    """RMS distances between consecutive decoded points: `[points, ...]` to `[points - 1]`."""
    flat = np.asarray(path, np.float64).reshape(len(path), -1)
    return np.sqrt(np.mean(np.square(np.diff(flat, axis=0)), axis=1))


def continuity(path: np.ndarray) -> float:
    """Mean step divided by the largest step of decoded points along a path of evenly spaced codes.

    1 if all steps are equal, ``1 / steps`` if all change happens in one jump. A constant path has continuity 1.

    Args:
      path: `[points, ...]`, decoded.

    >>> continuity(np.arange(5.0)), continuity(np.array([0.0, 0.0, 0.0, 0.0, 1.0]))
    (1.0, 0.25)
    """
    sizes = step_sizes(path)
    return 1.0 if sizes.max() == 0 else float(sizes.mean() / sizes.max())


def straightness(path: np.ndarray) -> float:
    """Distance between the ends of a decoded path divided by its length, 0 to 1.

    Linear cross-fading has straightness 1; a path over realistic images has a lower one. Neither is better: the
    value tells the two apart.

    >>> straightness(np.arange(5.0))
    1.0
    """
    length = step_sizes(path).sum()
    return 1.0 if length == 0 else float(step_sizes(path[[0, -1]])[0] / length)


class Support:
    """Estimates which decoded outputs resemble the outputs for real examples, to assess other codes.

    Combines three two-sided scores: distance to the nearest known output in principal components, residual power
    outside the components, and roughness. A blend of several examples has a smaller distance and is smoother than
    most outputs; noise is rougher and has more residual power.

    Args:
      reference: `[n, ...]`, decoded outputs for some examples, at least as many as there are components.
      others: `[m, ...]`, decoded outputs for other examples of the same distribution.
    """

    def __init__(self, reference: np.ndarray, others: np.ndarray):
        self.components = PrincipalComponents(reference)
        self.reference = self.components.transform(reference)
        scores = self._scores(others)
        self.calibration = outliers.Calibration.of(scores)
        self.limit = outliers.threshold(outliers.cross_validated_scores(scores), 1 - ACCEPTED_SHARE)

    def _scores(self, examples: np.ndarray) -> dict[str, np.ndarray]:
        x = self.components.transform(examples)
        squares = np.square(x).sum(axis=1)[:, None] + np.square(self.reference).sum(axis=1) - 2 * x @ self.reference.T
        nearest = np.maximum(squares, 1e-12).min(axis=1)
        residual = self.components.residual_power(examples)
        roughness = outliers.roughness(examples)
        scores = {"nearest": nearest, "residual": residual, "roughness": roughness}
        return {name: np.log(values + 1e-9) for name, values in scores.items()}

    def acceptance_rate(self, examples: np.ndarray) -> float:
        """Share of outputs `[k, ...]` within the support; `ACCEPTED_SHARE` for new in-distribution examples."""
        return float(np.mean(self.calibration.combined(self._scores(examples)) <= self.limit))


def active_units(means: np.ndarray) -> int:
    """Number of active units: dimensions of posterior means `[n, latent]` that vary (arXiv:1509.00519, Sec. 5)."""
    return int(np.sum(means.var(axis=0) > ACTIVE_VARIANCE))


def gaussian_kl_to_prior(codes: np.ndarray) -> float:
    """``KL(N(m, C) || N(0, 1))`` in nats, where m and C are mean and covariance of codes `[n, latent]`.

    The codes are samples of the aggregate posterior. The divergence is 0 if its moments equal those of the prior.
    Variances are at least 1e-6.

    >>> round(gaussian_kl_to_prior(np.array([[1.0], [-1.0]])), 9)
    0.0
    """
    mean = codes.mean(axis=0)
    variances = np.maximum(np.linalg.eigvalsh(np.atleast_2d(np.cov(codes.T, ddof=0))), 1e-6)
    return float(0.5 * (variances.sum() + np.square(mean).sum() - len(mean) - np.log(variances).sum()))


def distance_to_prior(codes: np.ndarray, *, seed: int = 0) -> float:
    """Kernel distance of up to `MAX_COMPARED` codes `[n, latent]` to as many samples of N(0, 1).

    See :func:`models.metrics.generation.kernel_distance`.
    """
    rng = np.random.default_rng(seed)
    codes = codes[rng.permutation(len(codes))[:MAX_COMPARED]]
    return kernel_distance(codes, rng.normal(size=codes.shape))
