"""Systematic sampling: the draws of an epoch are spread evenly."""

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from pipelines.data import systematic_sampling


@laws
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any), st.integers(0, 9))
def test_rounds_spread_the_draws_of_an_epoch_evenly(draws, seed):
    plan = systematic_sampling.SamplingRounds(draws, seed=seed)
    times = np.stack([plan.draw_counts(tf.constant(n, tf.int64)) for n in range(2 * plan.rounds_per_epoch)])
    for epoch in np.split(times, 2):
        np.testing.assert_array_equal(epoch.sum(axis=0), draws)
        up_to = (
            np.cumsum(epoch, axis=0) - np.outer(np.arange(1, plan.rounds_per_epoch + 1), draws) / plan.rounds_per_epoch
        )
        assert np.abs(up_to).max() < 1
    for draw in (0, plan.draws_per_epoch - 1, 2 * plan.draws_per_epoch - 1):
        number, before = plan.locate(draw)
        assert times[:number].sum() + before == draw and before < times[number].sum()


def test_a_round_skips_few_records_for_each_drawn_record():
    assert (
        systematic_sampling.SamplingRounds([1000] + [1] * 99, seed=0).rounds_per_epoch
        <= systematic_sampling.MAX_RECORDS_PER_DRAW * 11
    )
