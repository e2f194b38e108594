"""Diversity relative to a reference set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, seeds

from models.errors import UserError
from models.metrics.diversity import mean_pairwise_distance, relative_diversity


def test_the_mean_is_over_pairs_of_different_examples(rng):
    x = rng.normal(size=(6, 3))
    distances = [np.linalg.norm(x[i] - x[j]) for i in range(6) for j in range(6) if i != j]
    assert mean_pairwise_distance(x) == pytest.approx(np.mean(distances))


@laws
@given(seed=seeds, scale=st.floats(0, 5), shift=st.floats(-5, 5))
def test_proportional_to_the_spread_and_invariant_to_the_place(seed, scale, shift):
    x = np.random.default_rng(seed).normal(size=(10, 3))
    assert relative_diversity(scale * x + shift, x) == pytest.approx(scale, abs=1e-9)


def test_one_on_average_for_sets_of_one_distribution_and_different_sizes(rng):
    ratios = [relative_diversity(rng.normal(size=(8, 4)), rng.normal(size=(100, 4))) for _ in range(300)]
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.std(ratios) / np.sqrt(300) + 1e-3)


def test_zero_under_mode_collapse_and_refused_for_a_constant_reference(rng):
    x = rng.normal(size=(5, 2))
    assert relative_diversity(np.ones((5, 2)), x) == 0
    with pytest.raises(UserError, match="all equal"):
        relative_diversity(x, np.ones((5, 2)))
