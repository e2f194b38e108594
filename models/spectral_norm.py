"""Convolutions with spectral normalisation of their kernels (arXiv:1802.05957)."""

from __future__ import annotations

import keras
import tensorflow as tf


class _SpectralNorm:
    """Spectral normalisation: divides a kernel by its largest singular value (Algorithm 1 of arXiv:1802.05957)."""

    def build(self, input_shape):
        super().build(input_shape)
        initializer = keras.initializers.RandomNormal(stddev=1.0)
        options = {"trainable": False, "aggregation": "only_first_replica"}
        self.direction = self.add_weight(shape=[1, self.filters], initializer=initializer, name="direction", **options)

    @property
    def kernel(self):
        kernel = super().kernel
        return (
            kernel / keras.ops.cast(self._singular_value(kernel), kernel.dtype)
            if hasattr(self, "direction")
            else kernel
        )

    def _singular_value(self, kernel):
        matrix = tf.reshape(tf.cast(kernel, tf.float32), [-1, self.filters])
        v = tf.stop_gradient(tf.linalg.l2_normalize(tf.cast(self.direction, tf.float32) @ tf.transpose(matrix)))
        u = tf.stop_gradient(tf.linalg.l2_normalize(v @ matrix))
        return tf.reduce_sum((v @ matrix) * u)

    def power_iteration(self):
        """One step of the power method for the first singular vector."""
        matrix = tf.reshape(super().kernel, [-1, self.filters])
        v = tf.linalg.l2_normalize(self.direction @ tf.transpose(matrix))
        self.direction.assign(tf.linalg.l2_normalize(v @ matrix))


class SpectralConv1D(_SpectralNorm, keras.layers.Conv1D):
    """Convolution over time with spectral normalisation."""


class SpectralConv2D(_SpectralNorm, keras.layers.Conv2D):
    """Convolution over pixels with spectral normalisation."""


def update_spectral_norms(network: keras.Model) -> None:
    """One power iteration in each layer with spectral normalisation; once in each training step."""
    for layer in network.layers:
        if isinstance(layer, _SpectralNorm):
            layer.power_iteration()
