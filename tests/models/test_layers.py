"""Layers: normalisation, convolutions and spectral normalisation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import layers
from models.features import transport

NORMS = {
    "frame": (layers.frame_norm, (2, 7, 8), (-1,)),
    "instance": (layers.instance_norm, (2, 6, 5, 8), (1, 2)),
}


each_norm = pytest.mark.parametrize(("norm", "shape", "axes"), NORMS.values(), ids=NORMS)


@each_norm
def test_normalised_activations_have_zero_mean_and_unit_variance(norm, shape, axes, rng):
    found = norm(tf.constant(5 + 3 * rng.normal(size=shape), tf.float32)).numpy()
    np.testing.assert_allclose(found.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=axes), 1, atol=1e-3)


@each_norm
@pytest.mark.parametrize("value", [0.0, 1.0, -1e4])
def test_constant_input_gives_finite_values_and_gradients(norm, shape, axes, value):
    x = tf.fill(shape, value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = norm(x)
        loss = tf.reduce_sum(tf.square(y - 1))
    assert np.isfinite(y).all() and np.isfinite(tape.gradient(loss, x)).all()
    np.testing.assert_allclose(y, 0, atol=1e-2)


def test_instance_norm_does_not_depend_on_the_batch(rng):
    x = tf.constant(rng.normal(size=(3, 6, 5, 8)), tf.float32)
    np.testing.assert_allclose(layers.instance_norm(x)[1], layers.instance_norm(x[1:2])[0], atol=1e-5)


def test_frame_norm_does_not_depend_on_the_other_frames(rng):
    x = tf.constant(rng.normal(size=(1, 30, 8)), tf.float32)
    np.testing.assert_allclose(layers.frame_norm(x)[:, 10:15], layers.frame_norm(x[:, 10:15]), atol=1e-6)


@pytest.mark.parametrize(
    ("build", "shape", "wanted"),
    [
        (lambda x: layers.gated_conv1d(x, 6, 5), (2, 9, 4), (2, 9, 6)),
        (lambda x: layers.gated_conv1d(x, 6, 5, strides=2), (2, 9, 4), (2, 5, 6)),
        (lambda x: layers.gated_conv1d(x, 6, 3, dilation=4), (2, 9, 4), (2, 9, 6)),
        (lambda x: layers.reflect_conv2d(x, 6, 7), (2, 8, 12, 3), (2, 8, 12, 6)),
        (lambda x: layers.reflect_conv2d(x, 6, 3, strides=2), (2, 8, 12, 3), (2, 4, 6, 6)),
        (lambda x: layers.resize_conv2d(x, 6), (2, 8, 12, 3), (2, 16, 24, 6)),
        (layers.leaky_relu, (2, 9, 4), (2, 9, 4)),
    ],
)
def test_the_shape_of_a_block_follows_from_its_sizes(build, shape, wanted):
    assert build(tf.zeros(shape)).shape == wanted
    symbolic = build(keras.Input(shape[1:]))
    assert symbolic.shape == (None, *wanted[1:])


def test_a_closed_gate_lets_nothing_through(rng):
    x = keras.Input((None, 4))
    model = keras.Model(x, layers.gated_conv1d(x, 6, 5))
    kernel, bias = model.get_weights()
    bias[6:] = -100
    model.set_weights([0 * kernel + np.concatenate([kernel[..., :6], 0 * kernel[..., 6:]], axis=-1), bias])
    np.testing.assert_allclose(model(rng.normal(size=(2, 9, 4))), 0, atol=1e-12)
    bias[6:] = 100
    model.set_weights([np.concatenate([kernel[..., :6], 0 * kernel[..., 6:]], axis=-1), bias])
    frames = rng.normal(size=(2, 9, 4)).astype(np.float32)
    wanted = tf.nn.conv1d(frames, kernel[..., :6], 1, "SAME")
    np.testing.assert_allclose(model(frames), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "build", [lambda x: layers.reflect_conv2d(x, 4, 7), lambda x: layers.resize_conv2d(x, 4)], ids=["reflect", "resize"]
)
def test_flat_colour_stays_flat_to_the_very_edge(build):
    y = build(tf.fill([1, 12, 8, 3], 0.7)).numpy()
    assert np.abs(y).max() > 1e-3
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1, :1], y.shape), atol=1e-6)


def test_leaky_keeps_what_is_positive_and_a_fifth_of_the_rest():
    np.testing.assert_allclose(layers.leaky_relu(tf.constant([-5.0, 0.0, 3.0])), [-1.0, 0.0, 3.0])


@laws
@given(half=st.integers(0, 3), frames=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_a_fixed_filter_is_that_of_the_transport_and_is_not_trained(half, frames, seed):
    rng = np.random.default_rng(seed)
    x, taps = rng.normal(size=(frames, 4)).astype(np.float32), rng.normal(size=(2 * half + 1, 4, 4))
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, layers.fixed_filter(inputs, taps))
    assert model.trainable_variables == [] and len(model.variables) == 1
    np.testing.assert_allclose(model(x[None])[0], transport.apply_kernel(x, taps), atol=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "outputs"), [((15, 5), 1), ((7, 7), 3), ((4, 3), 2), ((1, 1), 1)])
def test_a_tall_kernel_row_by_row_is_the_same_convolution(padding, kernel, outputs, rng):
    tall = layers.TallConv2D(outputs, kernel, padding=padding)
    x = tf.constant(rng.normal(size=(2, 21, 9, 4)), tf.float32)
    found = tall(x)
    wanted = tf.nn.conv2d(x, tall.kernel, 1, padding.upper()) + tall.bias
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert tall.compute_output_shape(x.shape) == tuple(wanted.shape)


@pytest.mark.parametrize("mode", ["reflect", "constant"])
@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_doubling_by_four_kernels_is_the_same_as_doubling_first(mode, size, rng):
    doubling = layers.DoublingConv2D(3, reflected=mode == "reflect", bias_initializer="ones")
    x = tf.constant(rng.normal(size=(2, *size, 4)), tf.float32)
    found = doubling(x)
    doubled = np.pad(x.numpy().repeat(2, axis=1).repeat(2, axis=2), [[0, 0], [1, 1], [1, 1], [0, 0]], mode=mode)
    np.testing.assert_allclose(found, tf.nn.conv2d(doubled, doubling.kernel, 1, "VALID") + 1, atol=1e-5)
    assert doubling.compute_output_shape(x.shape) == found.shape
