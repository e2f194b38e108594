"""The image pool: filling, swapping, reproducibility and replicas."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from testbed import laws

from models import image_pool
from models.stateless_random import StatelessRng


def numbered_fakes(first, count):
    """Distinguishable examples."""
    return tf.reshape(tf.range(first, first + count, dtype=tf.float32), [-1, 1, 1]) + tf.zeros([1, 2, 3])


class QueriedPool:
    """A pool that is queried step after step."""

    def __init__(self, size, batch):
        self.pool, self.batch = image_pool.ImagePool(size, (2, 3)), batch

        @tf.function
        def query(fake, index, seed):
            return self.pool.query(fake, StatelessRng(seed, index, batch))

        self.query = query

    def __call__(self, step, seed=None, order=None):
        """The numbers of the examples that the pool returns."""
        index = tf.constant(range(self.batch) if order is None else order, tf.int32)
        fake = tf.gather(numbered_fakes(1 + step * self.batch, self.batch), index)
        seed = tf.constant([0, 10 * step if seed is None else seed])
        answer = self.query(fake, index, seed).numpy()
        assert (answer == answer[:, :1, :1]).all()
        return answer[:, 0, 0].astype(int)


def queries(batch, steps):
    """Numbers of the examples in the queries of some steps, one row a step."""
    return 1 + np.arange(steps * batch).reshape(steps, batch)


@functools.cache
def pool_outputs(size, batch, steps):
    """Numbers of the examples that the pool returns, one row a step."""
    pool = QueriedPool(size, batch)
    return np.stack([pool(step) for step in range(steps)])


STEPS = 120


sizes = pytest.mark.parametrize(("size", "batch"), [(6, 1), (6, 4), (4, 4), (3, 8), (1, 1)])


def test_a_pool_of_size_zero_returns_its_inputs():
    np.testing.assert_array_equal(pool_outputs(0, 4, 5), queries(4, 5))
    assert image_pool.ImagePool(0, (2, 3)).variables == ()


@sizes
def test_a_pool_fills_before_it_swaps(size, batch):
    found, given = pool_outputs(size, batch, STEPS), queries(batch, STEPS)
    fits = np.tile(np.arange(batch) < size, (STEPS, 1))
    filling = np.cumsum(fits).reshape(fits.shape) <= size
    np.testing.assert_array_equal(found[filling], given[filling])


@sizes
def test_a_pool_returns_the_input_or_an_older_one_once(size, batch):
    found, given = pool_outputs(size, batch, STEPS), queries(batch, STEPS)
    older = found != given
    assert found.min() >= 1 and (found < given[:, :1])[older].all()
    assert np.unique(found[older], return_counts=True)[1].max() == 1


@sizes
def test_a_full_pool_swaps_about_half(size, batch):
    swapped = (pool_outputs(size, batch, STEPS) != queries(batch, STEPS))[size:, :size]
    deviation = 0.5 / np.sqrt(swapped.size)
    assert abs(swapped.mean() - 0.5) < 3 * deviation < 0.2


def test_inputs_beyond_the_pool_size_are_returned():
    np.testing.assert_array_equal(pool_outputs(3, 8, STEPS)[:, 3:], queries(8, STEPS)[:, 3:])


def test_a_pool_is_reproducible_from_the_seed():
    first, same, other = QueriedPool(6, 4), QueriedPool(6, 4), QueriedPool(6, 4)
    found = [
        [query_pool(step, seed=step + shift) for step in range(10)]
        for query_pool, shift in ((first, 0), (same, 0), (other, 9))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@settings(laws, max_examples=4)
@given(order=st.permutations(range(4)))
def test_the_order_within_a_batch_does_not_change_the_result(order):
    query_pool = QueriedPool(6, 4)
    for step, wanted in enumerate(pool_outputs(6, 4, STEPS)[:8]):
        np.testing.assert_array_equal(query_pool(step, order=order), wanted[order])


@pytest.mark.parametrize(("size", "batch"), [(6, 4), (3, 8)])
def test_two_replicas_share_one_history(size, batch, replicas):
    with replicas.scope():
        pool = image_pool.ImagePool(size, (2, 3))

    @tf.function
    def step(fake, index, seed):
        return pool.query(fake, StatelessRng(seed, index, batch))

    def portions(x):
        """Every second row to either replica."""
        return replicas.experimental_distribute_values_from_function(
            lambda context: x[context.replica_id_in_sync_group :: 2]
        )

    wanted = pool_outputs(size, batch, STEPS)
    for n in range(12):
        fake, index = numbered_fakes(1 + n * batch, batch), tf.range(batch)
        found = replicas.run(step, args=(portions(fake), portions(index), tf.constant([0, 10 * n])))
        for replica, answer in enumerate(replicas.experimental_local_results(found)):
            np.testing.assert_array_equal(answer[:, 0, 0], wanted[n, replica::2])


def test_a_restored_pool_continues_from_its_checkpoint(tmp_path):
    first, second = QueriedPool(6, 4), QueriedPool(6, 4)
    for step in range(5):
        first(step)
    path = tf.train.Checkpoint(pool=first.pool).save(str(tmp_path / "pool"))
    tf.train.Checkpoint(pool=second.pool).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal([second(step) for step in range(5, 12)], pool_outputs(6, 4, STEPS)[5:12])
