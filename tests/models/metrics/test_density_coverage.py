"""Density and coverage: known values, and the expectations that the paper derives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, seeds

from models.errors import UserError
from models.metrics.density_coverage import density_and_coverage


def definition(samples, real, k):
    """Equations 3 and 4 by loops."""
    distance = lambda a, b: np.sqrt(np.sum((a - b) ** 2))  # noqa: E731
    radii = [sorted(distance(x, other) for m, other in enumerate(real) if m != n)[k - 1] for n, x in enumerate(real)]
    inside = [[distance(x, y) < radius for y in samples] for x, radius in zip(real, radii, strict=True)]
    return np.sum(inside) / (k * len(samples)), np.mean([any(row) for row in inside])


@laws
@given(seed=seeds, n=st.integers(4, 10), m=st.integers(1, 8), k=st.integers(1, 3), d=st.integers(1, 4))
def test_equal_to_the_definition(seed, n, m, k, d):
    rng = np.random.default_rng(seed)
    samples, real = rng.normal(size=(m, d)) + 0.5, rng.normal(size=(n, d))
    np.testing.assert_allclose(density_and_coverage(samples, real, n_neighbors=k), definition(samples, real, k))


@laws
@given(seed=seeds, k=st.integers(1, 5))
def test_real_examples_have_density_and_coverage_one(seed, k):
    real = np.random.default_rng(seed).normal(size=(20, 3))
    assert density_and_coverage(real, real, n_neighbors=k) == pytest.approx((1, 1))


@pytest.mark.parametrize(("n", "m", "k"), [(20, 20, 5), (30, 15, 2), (10, 40, 1)])
def test_expectations_for_samples_of_the_same_distribution(rng, n, m, k):
    scores = [density_and_coverage(rng.normal(size=(m, 2)), rng.normal(size=(n, 2)), n_neighbors=k) for _ in range(400)]
    offsets = np.arange(1, k + 1)
    coverage = 1 - np.prod((n - offsets) / (m + n - offsets))  # Lemma 2 of the paper; density: Lemma 1
    errors = np.std(scores, axis=0) / np.sqrt(len(scores))
    assert (np.abs(np.mean(scores, axis=0) - (1, coverage)) < 4 * errors).all()


def test_an_outlier_among_real_examples_does_not_make_far_samples_good(rng):
    real = np.concatenate([rng.normal(size=(50, 2)), [[100.0, 100.0]]])
    samples = np.full((50, 2), 50.0) + rng.normal(size=(50, 2))
    density, coverage = density_and_coverage(samples, real)
    assert density <= 1 / 5 and coverage == 1 / 51  # recall and precision would be 1


def test_mode_collapse_has_high_density_and_low_coverage(rng):
    real = np.concatenate([rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + 20])
    density, coverage = density_and_coverage(np.zeros((50, 2)), real)
    assert density >= 1 and coverage < 0.5


@pytest.mark.parametrize(("n", "k"), [(5, 5), (5, 0), (1, 1)])
def test_too_few_real_examples_are_refused(n, k):
    with pytest.raises(UserError, match="neighbours among"):
        density_and_coverage(np.ones((3, 2)), np.ones((n, 2)), n_neighbors=k)
