"""Density and coverage: fidelity and diversity of samples, from nearest neighbours among real examples."""

from __future__ import annotations

import numpy as np
import scipy.spatial.distance

from models.errors import UserError
from models.metrics.feature_extractors import check_features

N_NEIGHBORS = 5  # k, as in arXiv:2002.09797, Sec. 5


def density_and_coverage(
    samples: np.ndarray, real: np.ndarray, *, n_neighbors: int = N_NEIGHBORS
) -> tuple[float, float]:
    """Density and coverage of samples with respect to real examples (arXiv:2002.09797, Eq. 3 and 4).

    The neighbourhood of a real example is the ball that reaches to its k-th nearest other real example.

    * Density (fidelity): number of neighbourhoods that contain a sample, averaged over samples and divided by k. At
      least 0; about 1 for samples of the same distribution; more than 1 if samples concentrate where real examples
      are dense.
    * Coverage (diversity): share of neighbourhoods that contain a sample, from 0 to 1. Its expectation for samples of
      the same distribution is about ``1 - 2^-k`` if both sets have the same size (Lemma 2).

    Distances are Euclidean. Balls are open, as in the authors' code: the density of the real examples themselves is 1.
    A real example with k equal copies has an empty ball.

    Args:
      samples: `[m, d]`, features of samples.
      real: `[n, d]`, features of real examples, more than `n_neighbors`.
      n_neighbors: k, at least 1.

    Returns:
      Density and coverage.

    Raises:
      UserError: `n_neighbors` is less than 1 or there are too few real examples; also the errors of
        :func:`models.metrics.feature_extractors.check_features`.

    >>> real = np.array([[0.0], [1.0], [2.0]])
    >>> density_and_coverage(np.array([[0.5], [9.0]]), real, n_neighbors=1)  # 2 of 3 balls contain 1 of 2 samples
    (1.0, 0.666...)
    """
    samples, real = check_features(samples, real, min_examples=1)
    if not 1 <= n_neighbors < len(real):
        raise UserError(
            f"{n_neighbors} neighbours among {len(real)} real examples; wanted at least 1, and more examples"
        )
    radii = np.sort(scipy.spatial.distance.cdist(real, real), axis=1)[:, n_neighbors]  # column 0 is the example itself
    inside = scipy.spatial.distance.cdist(real, samples) < radii[:, None]
    return float(inside.sum() / (n_neighbors * len(samples))), float(inside.any(axis=1).mean())
