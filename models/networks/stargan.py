"""Networks conditioned on the source and target domain, by one-hot domain labels `[batch, domains]`."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from models import layers


class DomainPairFilter(keras.layers.Layer):
    """A fixed linear filter over time for each example, selected by two domain labels.

    Args:
      kernels: `[source, target, frames, bins, bins]`, or `[1, 1, ...]` for one filter between all domains.
    """

    is_fixed = True  # see `layers.fixed_weights`

    def __init__(self, kernels: np.ndarray, **options):
        super().__init__(trainable=False, dtype="float32", **options)
        shape = kernels.shape
        start = keras.initializers.Constant(np.asarray(kernels, np.float32))
        self.kernels = self.add_weight(shape=shape, initializer=start, trainable=False, name="kernels")

    def call(self, x, source, target):
        """`[batch, frames, bins]` filtered by the kernel from `source` to `target`."""
        return apply_domain_pair_filter(x, self.kernels, source, target)

    def get_config(self) -> dict:
        """The name only; the kernels are weights."""
        return {"name": self.name}


def apply_domain_pair_filter(x: tf.Tensor, kernels: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """`x` `[batch, frames, bins]` filtered by the kernels of the domain labels; zeros beyond the ends."""
    count, taps = kernels.shape[0], kernels.shape[2]
    index = tf.argmax(source, axis=-1) % count * count + tf.argmax(target, axis=-1) % count
    flat = tf.reshape(kernels, [count * count, taps * kernels.shape[3], kernels.shape[4]])
    frames, edge = tf.shape(x)[1], taps // 2
    padded = tf.pad(x, [[0, 0], [edge, taps - 1 - edge], [0, 0]])
    windows = tf.concat([padded[:, n : n + frames] for n in range(taps)], axis=-1)
    return tf.matmul(windows, tf.gather(flat, index))


def mel_generator(
    bins: int, *, domains: int, channels: int, blocks: int, kernel: int, transports: np.ndarray
) -> keras.Model:
    """``[mels, source, target]`` to mels: linear transport plus gated convolutions with both labels as conditions.

    The last convolution is initialised with zeros, so that the network is the linear transport at first.

    Args:
      bins: mel bands.
      domains: number of domains.
      channels: width.
      blocks: residual blocks.
      kernel: width of a gated convolution, in frames.
      transports: `[source, target, frames, bins, bins]`, or `[1, 1, ...]`, see :class:`DomainPairFilter`.
    """
    x, source, target = keras.Input((None, bins)), keras.Input((domains,)), keras.Input((domains,))
    label = keras.ops.concatenate([source, target], axis=-1)
    h = layers.film(layers.gated_conv1d(x, channels, kernel), label)
    for _ in range(blocks):
        inner = layers.gated_conv1d(layers.film(layers.frame_norm(h), label), channels, kernel)
        h = h + keras.layers.Conv1D(channels, 3, padding="same")(inner)
    last = keras.layers.Conv1D(bins, kernel, padding="same", kernel_initializer="zeros", dtype="float32")
    # TensorFlow adds up gradients in an order that depends on names: with the name of version 0.1, runs resume exactly.
    y = DomainPairFilter(transports, name="chosen_filter")(x, source, target) + last(layers.frame_norm(h))
    return keras.Model([x, source, target], y, name="mel_generator")


def select_by_domain_label(network: keras.Model, domains: int) -> keras.Model:
    """``[features, domain_label]`` to the discriminator's output for that domain, `[batch, ..., 1]`."""
    label = keras.Input((domains,), name="code")
    logits = network.output
    mask = keras.ops.reshape(label, [-1] + [1] * (len(logits.shape) - 2) + [domains])
    selected = keras.ops.sum(logits * mask, axis=-1, keepdims=True)
    return keras.Model([network.input, label], selected, name=network.name)
