"""Random numbers: independent of device and replica, of the stated distributions, in independent streams."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import stateless_random, version_0_1
from models.stateless_random import StatelessRng, uniform


@laws
@given(order=st.permutations(range(6)), name=st.text(max_size=8))
def test_numbers_belong_to_an_example_and_not_to_its_position_on_a_replica(order, name):
    seed = tf.constant([3000, 1], tf.int64)
    global_rng = StatelessRng(seed, tf.range(6), 6)
    replica_rng = StatelessRng(seed, tf.constant(order[:3]), 6)
    for distribution in ("uniform", "normal"):
        expected = getattr(global_rng.stream(name), distribution)(2).numpy()
        np.testing.assert_array_equal(getattr(replica_rng.stream(name), distribution)(2), expected[order[:3]])
        assert not np.array_equal(getattr(global_rng.stream(name + "x"), distribution)(2), expected)


def test_streams_of_one_plugin_have_keys_of_their_own():
    def keys(plugin):
        return [offset for path, offset in version_0_1.STREAMS.items() if path.startswith(f"{plugin}/discriminator_a/")]

    for plugin in ("cyclegan", "maskcyclegan"):
        assert len(keys(plugin)) == 18 and all(isinstance(number, int) for offset in keys(plugin) for number in offset)
    rng = StatelessRng(tf.constant([3000, 1], tf.int64), tf.range(6), 6)
    names = ["a", "b", "a/b", "b/a", "pool", "pool/swap"]
    drawn = {tuple(rng.stream(name).uniform(2).numpy().ravel()) for name in names}
    assert len(drawn) == len(names)
    np.testing.assert_array_equal(rng.stream("a").stream("b").uniform(2), rng.stream("a/b").uniform(2))


@pytest.mark.parametrize("seed", [[0, 0], [3, 0], [1003, 7], [2**40 + 5, 2**31]])
def test_xla_generates_the_same_numbers(seed):
    seed = tf.constant(seed, tf.int64)  # an input, not a constant of the graph, which XLA would not compute
    plain, compiled = (tf.function(lambda s: uniform([5, 3], s), jit_compile=jit)(seed) for jit in (False, True))
    np.testing.assert_array_equal(plain, compiled)


def test_numbers_are_uniform_and_uncorrelated():
    drawn = np.stack([uniform([4000], tf.constant([1000 * step + n, 0])) for step in range(8) for n in range(4)])
    assert 0 <= drawn.min() and drawn.max() < 1
    assert scipy.stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    between = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    along = [np.corrcoef(row[:-lag], row[lag:])[0, 1] for row in drawn for lag in (1, 2, 3)]
    assert np.abs(between).max() < 5 / 4000**0.5 and np.abs(along).max() < 5 / 4000**0.5


def test_normal_numbers_are_normally_distributed():
    drawn = StatelessRng(tf.constant([5000, 3], tf.int64), tf.range(500), 500).normal(40).numpy().ravel()
    assert np.isfinite(drawn).all() and scipy.stats.kstest(drawn, "norm").pvalue > 1e-3


@pytest.mark.parametrize("traced", [False, True])
def test_the_ends_of_the_interval_are_never_reached(traced):
    ends = tf.constant([0, 2**-24, 0.5, 1 - 2**-24])  # of what `uniform` draws
    inverse = stateless_random._inverse_normal_cdf
    drawn = (tf.function(inverse) if traced else inverse)(ends).numpy()
    np.testing.assert_allclose(drawn, scipy.stats.norm.ppf(np.float64(ends) + 2.0**-25), atol=1e-5)
