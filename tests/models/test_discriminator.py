"""The adversary and what it sees: rules that cost nothing when off, augmentation that gradients pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import augment, image_pool, layers
from models.discriminator import Discriminator, DiscriminatorConfig
from models.optimizer import Optimizer
from models.stateless_random import StatelessRng


def draws(step=0, batch=3):
    return StatelessRng(tf.constant([1000 * step, 0], tf.int64), tf.range(batch), batch)


# ------------------------------------------------------------------ augmentation


@laws
@given(size=st.integers(4, 40), share=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_a_mask_is_one_stretch_no_wider_than_its_share(size, share, seed):
    draw = tf.constant(np.random.default_rng(seed).uniform(size=(5, 2)), tf.float32)
    mask = augment.specaugment_mask(size, share, draw).numpy()
    assert mask.shape == (5, size) and set(np.unique(mask)) <= {0, 1}
    assert (mask.sum(axis=1) <= int(size * share)).all()
    assert (np.abs(np.diff(np.pad(mask, ((0, 0), (1, 1))), axis=1)).sum(axis=1) <= 2).all()


def test_masked_mels_are_the_mels_or_zero():
    x = 1 + tf.random.uniform([50, 16, 24])
    seen = augment.augment_mels(x, draws(batch=50), 0).numpy()
    assert np.logical_or(seen == 0, seen == x).all() and 0.05 < (seen == 0).mean() < 0.3


def test_augmented_pictures_differ_from_draw_to_draw_and_keep_their_shape():
    x = tf.random.uniform([3, 16, 12, 3], -1, 1)
    one, same, other = (augment.augment_images(x, draws(step), 0).numpy() for step in (0, 0, 1))
    assert one.shape == x.shape and np.isfinite(one).all()
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_translation_moves_by_no_more_than_an_eighth():
    x = np.zeros((64, 16, 16, 1), np.float32)
    x[:, 8, 8] = 1
    moved = augment._translate(tf.constant(x), draws(batch=64), 0).numpy()
    _, rows, columns, _ = np.nonzero(moved)
    assert len(rows) == 64 and set(rows) == set(columns) == set(range(6, 11))


@pytest.mark.parametrize(("see", "shape"), [(augment.augment_images, (2, 8, 8, 3)), (augment.augment_mels, (2, 8, 8))])
def test_gradients_pass_augmentation(see, shape):
    x = tf.random.uniform(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(see(x, draws(batch=2), 0) ** 2)
    slope = tape.gradient(y, x).numpy()
    assert np.isfinite(slope).all() and (slope != 0).any()


# ------------------------------------------------------------------ rules


def made(pool=None, **rules):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((4, 3)), layers.SpectralConv1D(2, 3), keras.layers.Dense(1)])
    player = Optimizer([network], lambda number: 0.01)
    return Discriminator(network, player, rules=DiscriminatorConfig(**rules), name="critic", pool=pool)


REAL, FAKE = tf.ones([3, 4, 3]), -tf.ones([3, 4, 3])


@pytest.mark.parametrize("loss", ["lsgan", "hinge", "non_saturating", "wgan"])
@pytest.mark.parametrize(
    "rules", [{}, {"r1": 1.0, "r1_every": 2}, {"gradient_penalty": 1.0}, {"augment": True}], ids=str
)
def test_an_adversary_learns_to_tell_reals_from_fakes(loss, rules):
    adversary = made(loss=loss, **rules)
    train = tf.function(lambda step: adversary.train(REAL, FAKE, draws(), 0, step=step))
    first = {name: float(value) for name, value in train(tf.constant(0)).items()}
    for step in range(1, 12):
        last = train(tf.constant(step))
    assert float(last["critic"]) < first["critic"]
    assert ("critic_penalty" in first) == bool(rules.get("gradient_penalty"))
    assert float(tf.reduce_mean(adversary.network(REAL))) > float(tf.reduce_mean(adversary.network(FAKE)))


def test_r1_is_paid_for_on_every_so_many_steps_only():
    costly, free = made(r1=5.0, r1_every=4), made()
    for step in range(4):
        for adversary in (costly, free):
            adversary.train(REAL, FAKE, draws(), 0, step=tf.constant(step + 1))
        same = all(
            np.array_equal(a, b) for a, b in zip(costly.network.get_weights(), free.network.get_weights(), strict=True)
        )
        assert same == (step < 3)


def test_the_pool_shows_the_critic_older_fakes_and_the_generator_its_own():
    pool = image_pool.ImagePool(7, (4, 3))
    adversary = made(pool)
    for step in range(5):
        adversary.train(REAL, FAKE * (1 + step), draws(step), 0, step=tf.constant(step))
    assert int(pool.filled) == 7 and len(np.unique(pool.fakes)) > 1
    with tf.GradientTape() as tape:
        tape.watch(FAKE)
        loss = tf.reduce_sum(adversary.generator_loss(FAKE, draws(), 0))
    assert np.abs(tape.gradient(loss, FAKE)).max() > 0
