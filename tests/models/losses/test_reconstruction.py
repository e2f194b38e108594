"""Reconstruction losses: known values, symmetry and the contrastive loss."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from testbed import laws, random_pair, seeds

from models.losses import reconstruction


@laws
@given(seed=seeds)
def test_differences_are_averaged_over_all_axes_but_the_batch(seed):
    x, y = random_pair(seed)
    difference = (x - y).numpy().reshape(3, -1)
    np.testing.assert_allclose(reconstruction.l1(x, y), np.abs(difference).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(reconstruction.l2(x, y), np.square(difference).mean(axis=1), rtol=1e-5)


@laws
@given(seed=seeds)
def test_differences_are_symmetric_and_zero_for_equals(seed):
    x, y = random_pair(seed)
    for loss in (reconstruction.l1, reconstruction.l2):
        np.testing.assert_allclose(loss(x, y), loss(y, x))
        np.testing.assert_array_equal(loss(x, x), np.zeros(3))


@pytest.mark.parametrize(
    ("loss", "arguments", "wanted"),
    [
        (reconstruction.loudness, ([[[0.0, -99.0]]], [[[1.0, -99.0]]]), 1.0),
    ],
)
def test_losses_have_the_values_their_formulas_give(loss, arguments, wanted):
    found = loss(*map(tf.constant, arguments))
    assert found.shape == (1,) and float(found[0]) == pytest.approx(wanted)


@laws
@given(seed=seeds)
def test_patch_nce_of_equal_patches_is_below_chance_and_chance_is_the_log_of_their_number(seed):
    rng = np.random.default_rng(seed)
    features = tf.linalg.l2_normalize(tf.constant(rng.normal(size=(2, 7, 16)), tf.float32), axis=-1)
    known = reconstruction.patch_nce(features, features, 0.07)
    np.testing.assert_allclose(
        reconstruction.patch_nce(features, tf.zeros_like(features), 0.07), [np.log(7)] * 2, rtol=1e-4
    )
    assert (known.numpy() < np.log(7)).all()
