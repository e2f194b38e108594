"""Losses: known values, and shares of a batch that add up to the whole."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.losses import adversarial, reconstruction, reduction

seeds = st.integers(0, 2**32 - 1)


def pair(seed, batch=3):
    rng = np.random.default_rng(seed)
    shape = (batch, *rng.integers(1, 5, size=rng.integers(0, 4)))
    return tf.constant(rng.normal(size=(2, *shape)), tf.float32)


@laws
@given(seed=seeds)
def test_differences_are_averaged_over_all_axes_but_the_batch(seed):
    x, y = pair(seed)
    difference = (x - y).numpy().reshape(3, -1)
    np.testing.assert_allclose(reconstruction.l1(x, y), np.abs(difference).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(reconstruction.l2(x, y), np.square(difference).mean(axis=1), rtol=1e-5)


@laws
@given(seed=seeds)
def test_differences_are_symmetric_and_zero_for_equals(seed):
    x, y = pair(seed)
    for loss in (reconstruction.l1, reconstruction.l2):
        np.testing.assert_allclose(loss(x, y), loss(y, x))
        np.testing.assert_array_equal(loss(x, x), np.zeros(3))


@pytest.mark.parametrize(
    ("loss", "arguments", "wanted"),
    [
        (reconstruction.l1, ([[3.0, 0.0]], [[0.0, 1.0]]), 2.0),
        (reconstruction.l2, ([[3.0, 0.0]], [[0.0, 1.0]]), 5.0),
        (adversarial.lsgan_generator, ([[1.0, 1.0]],), 0.0),
        (adversarial.lsgan_generator, ([[0.0, 3.0]],), 2.5),
        (adversarial.lsgan_discriminator, ([[1.0, 1.0]], [[0.0, 0.0]]), 0.0),
        (adversarial.lsgan_discriminator, ([[0.0, 0.0]], [[1.0, 1.0]]), 1.0),
        (adversarial.lsgan_discriminator, ([[0.5, 0.5]], [[0.5, 0.5]]), 0.25),
        (adversarial.hinge_generator, ([[1.0, 2.0]],), -1.5),
        (adversarial.hinge_discriminator, ([[1.0, 3.0]], [[-1.0, -2.0]]), 0.0),
        (adversarial.hinge_discriminator, ([[0.0, 0.0]], [[0.0, 1.0]]), 2.5),
        (adversarial.non_saturating_generator, ([[0.0]],), np.log(2)),
        (adversarial.non_saturating_discriminator, ([[0.0]], [[0.0]]), 2 * np.log(2)),
        (adversarial.wgan_generator, ([[1.0, 2.0]],), -1.5),
        (adversarial.wgan_discriminator, ([[1.0, 2.0]], [[0.0, 1.0]]), -1.0),
        (reconstruction.loudness, ([[[0.0, -99.0]]], [[[1.0, -99.0]]]), 1.0),
    ],
)
def test_losses_have_the_values_their_formulas_give(loss, arguments, wanted):
    found = loss(*map(tf.constant, arguments))
    assert found.shape == (1,) and float(found[0]) == pytest.approx(wanted)


@laws
@given(seed=seeds)
def test_the_best_the_critic_can_say_of_reals_and_fakes_alike_is_one_half(seed):
    x, _ = pair(seed)
    with tf.GradientTape() as tape:
        said = tf.Variable(tf.fill(x.shape, 0.5))
        loss = tf.reduce_sum(adversarial.lsgan_discriminator(said, said))
    np.testing.assert_allclose(tape.gradient(loss, said), 0, atol=1e-7)
    at_a_half = adversarial.lsgan_discriminator(said, said).numpy()
    assert (adversarial.lsgan_discriminator(said + x, said + x) >= at_a_half).numpy().all()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.int32])
def test_examples_are_averaged_in_single_precision(dtype):
    found = reduction.per_example(tf.ones([2, 5000], dtype))
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found, [1.0, 1.0])


@laws
@given(values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12), cut=st.integers(0, 12))
def test_the_means_of_the_shares_add_up_to_the_mean_of_the_batch(values, cut):
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


def test_a_loss_without_a_weight_is_no_silent_zero():
    with pytest.raises(KeyError, match="cycle"):
        reduction.total({"adversarial": tf.constant(1.0), "cycle": tf.constant(1.0)}, {"adversarial": 1.0})


@pytest.mark.parametrize("name", adversarial.ADVERSARIAL_LOSSES)
@laws
@given(seed=seeds)
def test_what_a_critic_says_of_fakes_pulls_the_players_apart(name, seed):
    for_generator, for_critic = adversarial.ADVERSARIAL_LOSSES[name]
    real, fake = pair(seed)
    fake = tf.clip_by_value(fake, -0.9, 0.9)  # hinge has nothing to say beyond, LSGAN turns round at its labels
    slopes = []
    for loss in (for_generator, lambda x: for_critic(real, x)):
        with tf.GradientTape() as tape:
            tape.watch(fake)
            value = tf.reduce_sum(loss(fake))
        slopes.append(tape.gradient(value, fake).numpy())
    assert (slopes[0] < 0).all()
    assert (slopes[1] > 0).all() or name == "lsgan"
    if name == "lsgan":
        np.testing.assert_array_equal(np.sign(slopes[1]), np.sign(fake))


@laws
@given(seed=seeds)
def test_the_slope_of_a_linear_critic_is_the_length_of_its_weights(seed):
    rng = np.random.default_rng(seed)
    weights, x = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((4, 1), (3, 4)))
    length = float(tf.norm(weights))
    np.testing.assert_allclose(adversarial.squared_gradient_norm(lambda x: x @ weights, x), [length**2] * 3, rtol=1e-4)
    np.testing.assert_allclose(adversarial.r1(lambda x: x @ weights, x), [0.5 * length**2] * 3, rtol=1e-4)
    penalty = adversarial.gradient_penalty(lambda x: x @ weights, x, x + 1, tf.fill([3], 0.5))
    np.testing.assert_allclose(penalty, [(length - 1) ** 2] * 3, rtol=1e-3, atol=1e-5)


@laws
@given(seed=seeds, share=st.floats(0, 1, width=32))
def test_the_penalty_looks_between_the_real_and_the_fake(seed, share):
    real, fake = pair(seed)
    place = adversarial.interpolate(real, fake, tf.fill([3], share)).numpy()
    low, high = np.minimum(real, fake), np.maximum(real, fake)
    assert ((low - 1e-5 <= place) & (place <= high + 1e-5)).all()
    np.testing.assert_allclose(adversarial.interpolate(real, fake, tf.ones([3])), real)
    np.testing.assert_allclose(adversarial.interpolate(real, fake, tf.zeros([3])), fake)


def test_the_slope_can_be_minimised(rng):
    weights = tf.Variable(rng.normal(size=(4, 1)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(adversarial.r1(lambda x: x @ weights, tf.ones([2, 4])))
    np.testing.assert_allclose(tape.gradient(loss, weights), weights, rtol=1e-5)


@laws
@given(seed=seeds)
def test_patches_that_are_recognised_cost_less_than_chance_and_that_costs_the_log_of_their_number(seed):
    rng = np.random.default_rng(seed)
    features = tf.linalg.l2_normalize(tf.constant(rng.normal(size=(2, 7, 16)), tf.float32), axis=-1)
    known = reconstruction.patch_nce(features, features, 0.07)
    np.testing.assert_allclose(
        reconstruction.patch_nce(features, tf.zeros_like(features), 0.07), [np.log(7)] * 2, rtol=1e-4
    )
    assert (known.numpy() < np.log(7)).all()
