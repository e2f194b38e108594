"""Diversity of a set of samples, relative to that of a reference set."""

from __future__ import annotations

import numpy as np
import scipy.spatial.distance

from models.errors import UserError
from models.metrics.feature_extractors import check_features


def mean_pairwise_distance(x: np.ndarray) -> float:
    """Mean Euclidean distance over all pairs of different rows of `[n, d]`, at least two rows.

    >>> round(mean_pairwise_distance(np.array([[0.0], [1.0], [3.0]])), 9)
    2.0
    """
    return float(scipy.spatial.distance.pdist(x).mean())


def relative_diversity(samples: np.ndarray, reference: np.ndarray) -> float:
    """Mean pairwise distance of samples divided by that of a reference set: 0 under complete mode collapse.

    At least 0. The expectation of both means does not depend on the number of examples, so a ratio of 1 is expected
    for sets of the same distribution. More than 1 means that samples vary more than the reference, as noise does;
    read the value beside a distance between the sets.

    Args:
      samples: `[n, d]`, at least two examples.
      reference: `[m, d]`, at least two examples, for instance held-out examples.

    Raises:
      UserError: all reference examples are equal; also the errors of
        :func:`models.metrics.feature_extractors.check_features`.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(relative_diversity(0.5 * x + 7, x), 9)
    0.5
    """
    samples, reference = check_features(samples, reference)
    distance = mean_pairwise_distance(reference)
    if distance == 0:
        raise UserError(f"{len(reference)} reference examples that are all equal; wanted examples that differ")
    return mean_pairwise_distance(samples) / distance
