"""Small networks, their inputs and their receptive fields, for the tests of several modules."""

import numpy as np
import pytest
import tensorflow as tf

from models.features.image import ImageSpec
from models.networks import mels

BINS = 6


SPECS = {
    "28x28x1": ImageSpec(height=28, width=28, channels=1),
    "64x64x3": ImageSpec(height=64, width=64),
    "32x48x3": ImageSpec(height=32, width=48),
    "8x8x1": ImageSpec(height=8, width=8, channels=1),
}


each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


lengths = pytest.mark.parametrize("frames", [1, 2, 7, 64])


def generator(blocks=1, kernel=5, taps=None):
    taps = np.zeros((1, BINS, BINS)) if taps is None else taps
    return mels.mel_generator(BINS, channels=4, blocks=blocks, kernel=kernel, transport=taps)


def perturb_weights(network, rng):
    """The network with no weight at zero."""
    network.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in network.get_weights()])
    return network


def pictures(spec, rng, batch=2):
    return rng.uniform(-1, 1, (batch, spec.height, spec.width, spec.channels)).astype(np.float32)


def receptive_field(network, x, place):
    """Which of the first axes after the batch move the output at `place`, bool."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(network(x)[place])
    return tf.reduce_any(tape.gradient(y, x)[0] != 0, axis=-1).numpy()
