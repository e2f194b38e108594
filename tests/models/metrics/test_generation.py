"""KID: unbiased, over all samples of small distributions."""

import itertools

import numpy as np
import pytest

from models.metrics.generation import kernel_distance

DISTRIBUTIONS = {"equal": ([-1.0, 0.5, 2.0], [-1.0, 0.5, 2.0]), "different": ([-1.0, 0.5, 2.0], [0.0, 0.25, 1.5])}


def population_distance(p, q):
    """Squared maximum mean discrepancy: ``(x y + 1)^3 = sum_j binomial(3, j) x^j y^j``, so by moments."""
    moments = lambda values: np.array([np.mean(np.power(values, j)) for j in range(4)])  # noqa: E731
    return np.array([1, 3, 3, 1]) @ np.square(moments(p) - moments(q))


@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 3)])
def test_the_mean_of_the_kernel_distance_over_all_samples_is_the_distance_of_the_distributions(p, q, n, m):
    samples = itertools.product(itertools.product(p, repeat=n), itertools.product(q, repeat=m))
    distances = [kernel_distance(np.array(x)[:, None], np.array(y)[:, None]) for x, y in samples]
    assert np.mean(distances) == pytest.approx(population_distance(p, q), abs=1e-12)
    assert min(distances) < 0
