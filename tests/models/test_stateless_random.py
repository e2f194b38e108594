"""Random numbers: the same wherever they are drawn, and random."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import stateless_random
from models.stateless_random import StatelessRng, uniform


@laws
@given(order=st.permutations(range(6)), salt=st.integers(0, 50))
def test_draws_belong_to_an_example_and_not_to_its_place_on_a_replica(order, salt):
    seed = tf.constant([3000, 1], tf.int64)
    whole = StatelessRng(seed, tf.range(6), 6)
    part = StatelessRng(seed, tf.constant(order[:3]), 6)
    for draw in ("uniform", "normal"):
        wanted = getattr(whole, draw)(salt, 2).numpy()
        np.testing.assert_array_equal(getattr(part, draw)(salt, 2), wanted[order[:3]])
        assert not np.array_equal(getattr(whole, draw)(salt + 1, 2), wanted)


@pytest.mark.parametrize("seed", [[0, 0], [3, 0], [1003, 7], [2**40 + 5, 2**31]])
def test_xla_draws_the_same_numbers(seed):
    seed = tf.constant(seed, tf.int64)  # an input, not a constant of the graph, which XLA would not compute
    plain, compiled = (tf.function(lambda s: uniform([5, 3], s), jit_compile=jit)(seed) for jit in (False, True))
    np.testing.assert_array_equal(plain, compiled)


def test_numbers_are_spread_evenly_and_know_nothing_of_each_other():
    drawn = np.stack([uniform([4000], tf.constant([1000 * step + salt, 0])) for step in range(8) for salt in range(4)])
    assert 0 <= drawn.min() and drawn.max() < 1
    assert scipy.stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    between = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    along = [np.corrcoef(row[:-lag], row[lag:])[0, 1] for row in drawn for lag in (1, 2, 3)]
    assert np.abs(between).max() < 5 / 4000**0.5 and np.abs(along).max() < 5 / 4000**0.5


def test_normal_draws_are_normal():
    drawn = StatelessRng(tf.constant([5000, 3], tf.int64), tf.range(500), 500).normal(0, 40).numpy().ravel()
    assert np.isfinite(drawn).all() and scipy.stats.kstest(drawn, "norm").pvalue > 1e-3


@pytest.mark.parametrize("traced", [False, True])
def test_the_ends_of_the_interval_are_never_reached(traced):
    ends = tf.constant([0, 2**-24, 0.5, 1 - 2**-24])  # of what `uniform` draws
    drawn = (tf.function(stateless_random._inverse_normal_cdf) if traced else stateless_random._inverse_normal_cdf)(
        ends
    ).numpy()
    np.testing.assert_allclose(drawn, scipy.stats.norm.ppf(np.float64(ends) + 2.0**-25), atol=1e-5)
