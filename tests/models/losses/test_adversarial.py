"""Adversarial losses: known values, signs of gradients, and gradient penalties."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, random_pair, seeds

from models.losses import adversarial


@laws
@given(seed=seeds)
def test_lsgan_discriminator_loss_is_least_at_one_half_where_real_and_fake_are_equal(seed):
    x, _ = random_pair(seed)
    with tf.GradientTape() as tape:
        logits = tf.Variable(tf.fill(x.shape, 0.5))
        loss = tf.reduce_sum(adversarial.lsgan_discriminator(logits, logits))
    np.testing.assert_allclose(tape.gradient(loss, logits), 0, atol=1e-7)
    at_a_half = adversarial.lsgan_discriminator(logits, logits).numpy()
    assert (adversarial.lsgan_discriminator(logits + x, logits + x) >= at_a_half).numpy().all()


@pytest.mark.parametrize("name", adversarial.ADVERSARIAL_LOSSES)
@laws
@given(seed=seeds)
def test_generator_and_discriminator_losses_have_opposite_gradients_on_fakes(name, seed):
    for_generator, for_discriminator = adversarial.ADVERSARIAL_LOSSES[name]
    real, fake = random_pair(seed)
    fake = tf.clip_by_value(fake, -0.9, 0.9)  # hinge has nothing to say beyond, LSGAN turns round at its labels
    gradients = []
    for loss in (for_generator, lambda x: for_discriminator(real, x)):
        with tf.GradientTape() as tape:
            tape.watch(fake)
            value = tf.reduce_sum(loss(fake))
        gradients.append(tape.gradient(value, fake).numpy())
    assert (gradients[0] < 0).all()
    assert (gradients[1] > 0).all() or name == "lsgan"
    if name == "lsgan":
        np.testing.assert_array_equal(np.sign(gradients[1]), np.sign(fake))


@laws
@given(seed=seeds)
def test_gradient_penalties_of_a_linear_critic_follow_from_the_norm_of_its_weights(seed):
    rng = np.random.default_rng(seed)
    weights, x = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((4, 1), (3, 4)))
    length = float(tf.norm(weights))
    np.testing.assert_allclose(adversarial.squared_gradient_norm(lambda x: x @ weights, x), [length**2] * 3, rtol=1e-4)
    np.testing.assert_allclose(adversarial.r1(lambda x: x @ weights, x), [0.5 * length**2] * 3, rtol=1e-4)
    penalty = adversarial.gradient_penalty(lambda x: x @ weights, x, x + 1, tf.fill([3], 0.5))
    np.testing.assert_allclose(penalty, [(length - 1) ** 2] * 3, rtol=1e-3, atol=1e-5)


@laws
@given(seed=seeds, share=st.floats(0, 1, width=32))
def test_interpolates_lie_between_real_and_fake(seed, share):
    real, fake = random_pair(seed)
    interpolates = adversarial.interpolate(real, fake, tf.fill([3], share)).numpy()
    low, high = np.minimum(real, fake), np.maximum(real, fake)
    assert ((low - 1e-5 <= interpolates) & (interpolates <= high + 1e-5)).all()
    np.testing.assert_allclose(adversarial.interpolate(real, fake, tf.ones([3])), real)
    np.testing.assert_allclose(adversarial.interpolate(real, fake, tf.zeros([3])), fake)


def test_r1_has_the_gradient_of_the_squared_norm(rng):
    weights = tf.Variable(rng.normal(size=(4, 1)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(adversarial.r1(lambda x: x @ weights, tf.ones([2, 4])))
    np.testing.assert_allclose(tape.gradient(loss, weights), weights, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "arguments", "wanted"),
    [
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
    ],
)
def test_losses_have_the_values_their_formulas_give(loss, arguments, wanted):
    found = loss(*map(tf.constant, arguments))
    assert found.shape == (1,) and float(found[0]) == pytest.approx(wanted)
