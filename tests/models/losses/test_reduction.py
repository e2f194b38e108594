"""Reductions: means over examples and replicas, and the weighted total."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.losses import reduction


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.int32])
def test_examples_are_averaged_in_single_precision(dtype):
    found = reduction.per_example(tf.ones([2, 5000], dtype))
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found, [1.0, 1.0])


@laws
@given(values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12), cut=st.integers(0, 12))
def test_means_of_replicas_add_up_to_the_mean_of_the_batch(values, cut):
    shares = tf.constant(values[:cut], tf.float32), tf.constant(values[cut:], tf.float32)
    found = sum(float(reduction.batch_mean(share, len(values))) for share in shares)
    assert found == pytest.approx(np.mean(values), abs=1e-3)


@laws
@given(terms=st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1))
def test_the_total_is_the_weighted_sum(terms):
    values = {name: tf.constant(value, tf.float64) for name, (value, _) in terms.items()}
    weights = {name: weight for name, (_, weight) in terms.items()}
    wanted = sum(value * weight for value, weight in terms.values())
    assert float(reduction.total(values, weights)) == pytest.approx(wanted, abs=1e-9)


def test_a_loss_without_a_weight_is_refused():
    with pytest.raises(KeyError, match="cycle"):
        reduction.total({"adversarial": tf.constant(1.0), "cycle": tf.constant(1.0)}, {"adversarial": 1.0})
