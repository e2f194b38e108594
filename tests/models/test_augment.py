"""Augmentation of the examples of discriminators."""

import numpy as np
import pytest
import tensorflow as tf

from models import augment
from models.stateless_random import StatelessRng

BATCH = 8


def rng():
    return StatelessRng(tf.constant([3, 0], tf.int64), tf.range(BATCH), BATCH)


@pytest.mark.parametrize(
    ("augmented", "shape"), [(augment.augment_images, (12, 10, 3)), (augment.augment_mels, (16, 20))]
)
def test_both_parts_of_a_pair_are_changed_as_one_alone(augmented, shape):
    a, b = (tf.constant(np.random.default_rng(n).uniform(-1, 1, (BATCH, *shape)), tf.float32) for n in range(2))
    pair = augmented(tf.concat([a, b], axis=-1), rng(), 2)
    for part, single in zip(tf.split(pair, 2, axis=-1), (a, b), strict=True):
        np.testing.assert_allclose(part, augmented(single, rng()), atol=1e-6)
        assert np.abs(part - single).max() > 0.1
