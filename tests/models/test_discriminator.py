"""The discriminator and its augmentation: losses and penalties by configuration, gradients through augmentation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import augment, image_pool, spectral_norm
from models.discriminator import Discriminator, DiscriminatorConfig
from models.optimizer import Optimizer
from models.stateless_random import StatelessRng


def rng(step=0, batch=3):
    return StatelessRng(tf.constant([1000 * step, 0], tf.int64), tf.range(batch), batch)


# ------------------------------------------------------------------ augmentation


@laws
@given(size=st.integers(4, 40), fraction=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_a_mask_is_one_interval_of_at_most_the_stated_fraction(size, fraction, seed):
    width_and_start = tf.constant(np.random.default_rng(seed).uniform(size=(5, 2)), tf.float32)
    mask = augment.specaugment_mask(size, fraction, width_and_start).numpy()
    assert mask.shape == (5, size) and set(np.unique(mask)) <= {0, 1}
    assert (mask.sum(axis=1) <= int(size * fraction)).all()
    assert (np.abs(np.diff(np.pad(mask, ((0, 0), (1, 1))), axis=1)).sum(axis=1) <= 2).all()


def test_masked_mels_are_the_mels_or_zero():
    x = 1 + tf.random.uniform([50, 16, 24])
    masked = augment.augment_mels(x, rng(batch=50)).numpy()
    assert np.logical_or(masked == 0, masked == x).all() and 0.05 < (masked == 0).mean() < 0.3


def test_augmented_images_differ_from_step_to_step_and_keep_their_shape():
    x = tf.random.uniform([3, 16, 12, 3], -1, 1)
    one, same, other = (augment.augment_images(x, rng(step)).numpy() for step in (0, 0, 1))
    assert one.shape == x.shape and np.isfinite(one).all()
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_translation_moves_by_no_more_than_an_eighth():
    x = np.zeros((64, 16, 16, 1), np.float32)
    x[:, 8, 8] = 1
    shifted = augment._translate(tf.constant(x), rng(batch=64)).numpy()
    _, rows, columns, _ = np.nonzero(shifted)
    assert len(rows) == 64 and set(rows) == set(columns) == set(range(6, 11))


@pytest.mark.parametrize(
    ("augmentation", "shape"), [(augment.augment_images, (2, 8, 8, 3)), (augment.augment_mels, (2, 8, 8))]
)
def test_gradients_pass_through_augmentation(augmentation, shape):
    x = tf.random.uniform(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(augmentation(x, rng(batch=2)) ** 2)
    gradient = tape.gradient(y, x).numpy()
    assert np.isfinite(gradient).all() and (gradient != 0).any()


# ------------------------------------------------------------------ training


def build(pool=None, **config):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((4, 3)), spectral_norm.SpectralConv1D(2, 3), keras.layers.Dense(1)])
    optimizer = Optimizer([network], lambda iterations: 0.01)
    config = DiscriminatorConfig(**config)
    return Discriminator(network, optimizer, config=config, name="discriminator", pool=pool)


REAL, FAKE = tf.ones([3, 4, 3]), -tf.ones([3, 4, 3])


@pytest.mark.parametrize("loss", ["lsgan", "hinge", "non_saturating", "wgan"])
@pytest.mark.parametrize(
    "config", [{}, {"r1": 1.0, "r1_interval": 2}, {"gradient_penalty": 1.0}, {"augment": True}], ids=str
)
def test_a_discriminator_learns_to_separate_real_and_generated_examples(loss, config):
    discriminator = build(loss=loss, **config)
    train = tf.function(lambda step: discriminator.train(REAL, FAKE, rng(), step=step))
    first = {name: float(value) for name, value in train(tf.constant(0)).items()}
    for step in range(1, 12):
        last = train(tf.constant(step))
    assert float(last["discriminator"]) < first["discriminator"]
    assert ("discriminator_penalty" in first) == bool(config.get("gradient_penalty"))
    assert float(tf.reduce_mean(discriminator.network(REAL))) > float(tf.reduce_mean(discriminator.network(FAKE)))


def test_r1_is_applied_at_its_interval_only():
    penalised, plain = build(r1=5.0, r1_interval=4), build()
    for step in range(4):
        for discriminator in (penalised, plain):
            discriminator.train(REAL, FAKE, rng(), step=tf.constant(step + 1))
        same = all(
            np.array_equal(a, b)
            for a, b in zip(penalised.network.get_weights(), plain.network.get_weights(), strict=True)
        )
        assert same == (step < 3)


def test_the_discriminator_is_given_older_examples_and_the_generator_its_own():
    pool = image_pool.ImagePool(7, (4, 3))
    discriminator = build(pool)
    for step in range(5):
        discriminator.train(REAL, FAKE * (1 + step), rng(step), step=tf.constant(step))
    assert int(pool.filled) == 7 and len(np.unique(pool.examples)) > 1
    with tf.GradientTape() as tape:
        tape.watch(FAKE)
        loss = tf.reduce_sum(discriminator.generator_loss(FAKE, rng()))
    assert np.abs(tape.gradient(loss, FAKE)).max() > 0
