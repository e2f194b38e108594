"""Spectral normalisation: the power method and invariance to scale."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import spectral_norm


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(spectral_norm.SpectralConv1D(6, 3), (2, 8, 4)), (spectral_norm.SpectralConv2D(6, 3), (2, 8, 8, 4))],
)
def test_power_iteration_brings_the_largest_singular_value_to_one(layer, shape, rng):
    x = tf.constant(rng.normal(size=shape), tf.float32)
    network = keras.Sequential([keras.Input(shape[1:]), layer])
    for _ in range(100):
        spectral_norm.update_spectral_norms(network)
    matrix = np.reshape(layer.kernel, [-1, 6])
    assert np.linalg.svd(matrix, compute_uv=False)[0] == pytest.approx(1, abs=1e-3)
    bias, kernel = layer.bias, layer.kernel
    plain = tf.nn.convolution(x, kernel, padding="VALID") + bias
    np.testing.assert_allclose(network(x), plain, atol=1e-5)


def test_the_size_of_a_spectral_kernel_makes_no_difference(rng):
    layer = spectral_norm.SpectralConv1D(6, 3)
    network, x = keras.Sequential([keras.Input((8, 4)), layer]), tf.constant(rng.normal(size=(2, 8, 4)), tf.float32)
    before = network(x).numpy()
    layer.set_weights([w * (10 if w.ndim == 3 else 1) for w in layer.get_weights()])
    np.testing.assert_allclose(network(x), before, atol=1e-5)
