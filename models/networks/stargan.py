"""Networks that are told between which domains they translate, by one-hot codes `[batch, domains]`."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from models import layers


class ChosenFilter(keras.layers.Layer):
    """A fixed linear filter over time for each example, chosen by two codes.

    Args:
      kernels: `[source, target, frames, bins, bins]`.
    """

    def __init__(self, kernels: np.ndarray, **options):
        super().__init__(trainable=False, dtype="float32", **options)
        shape = kernels.shape
        start = keras.initializers.Constant(np.asarray(kernels, np.float32))
        self.kernels = self.add_weight(shape=shape, initializer=start, trainable=False, name="kernels")

    def call(self, x, source, target):
        """`[batch, frames, bins]` filtered by the kernel from `source` to `target`."""
        return filtered(x, self.kernels, source, target)

    def get_config(self) -> dict:
        """The name; kernels are weights."""
        return {"name": self.name}


def filtered(x: tf.Tensor, kernels: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """`x` `[batch, frames, bins]`, each example by the kernel that its codes choose; zeros beyond the ends."""
    count, taps = kernels.shape[0], kernels.shape[2]
    number = tf.argmax(source, axis=-1) * count + tf.argmax(target, axis=-1)
    flat = tf.reshape(kernels, [count * count, taps * kernels.shape[3], kernels.shape[4]])
    frames, edge = tf.shape(x)[1], taps // 2
    padded = tf.pad(x, [[0, 0], [edge, taps - 1 - edge], [0, 0]])
    windows = tf.concat([padded[:, n : n + frames] for n in range(taps)], axis=-1)
    return tf.matmul(windows, tf.gather(flat, number))


def mel_generator(bins: int, *, channels: int, blocks: int, kernel: int, transports: np.ndarray) -> keras.Model:
    """``[mels, source, target]`` to mels: linear transport plus what gated convolutions, told both codes, add.

    The last convolution begins at zero, so the network begins as the transport.

    Args:
      bins: mel bands.
      channels: width.
      blocks: residual blocks.
      kernel: frames that a gated convolution sees.
      transports: `[source, target, frames, bins, bins]`.
    """
    count = transports.shape[0]
    x, source, target = keras.Input((None, bins)), keras.Input((count,)), keras.Input((count,))
    code = keras.ops.concatenate([source, target], axis=-1)
    h = layers.told(layers.gated_conv1d(x, channels, kernel), code)
    for _ in range(blocks):
        inner = layers.gated_conv1d(layers.told(layers.frame_norm(h), code), channels, kernel)
        h = h + keras.layers.Conv1D(channels, 3, padding="same")(inner)
    last = keras.layers.Conv1D(bins, kernel, padding="same", kernel_initializer="zeros", dtype="float32")
    y = ChosenFilter(transports)(x, source, target) + last(layers.frame_norm(h))
    return keras.Model([x, source, target], y, name="mel_generator")


def judged_by_code(network: keras.Model, domains: int) -> keras.Model:
    """``[example, code]`` to the one of a discriminator's outputs that the code names."""
    code = keras.Input((domains,), name="code")
    judged = network.output
    chosen = keras.ops.reshape(code, [-1] + [1] * (len(judged.shape) - 2) + [domains])
    return keras.Model([network.input, code], keras.ops.sum(judged * chosen, axis=-1, keepdims=True), name=network.name)
