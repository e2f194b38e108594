"""Losses between an example and its reconstruction or translation: pure functions of tensors, `[batch]`."""

from __future__ import annotations

import tensorflow as tf

from models.losses import reduction


def l1(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean absolute error of each example, `[batch]`.

    >>> l1(tf.zeros([2, 3]), tf.ones([2, 3])).numpy().tolist()
    [1.0, 1.0]
    """
    return reduction.per_example(tf.abs(x - y))


def l2(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean squared error of each example, `[batch]`."""
    return reduction.per_example(tf.math.squared_difference(x, y))


def loudness(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of the frames' log norms, `[batch]` (the norm consistency of arXiv:2107.10394, Eq. 6).

    Args:
      x: log-mels `[batch, frames, mels]`, natural logarithm.
      y: log-mels of the same shape.
    """
    norms = [0.5 * tf.reduce_logsumexp(2 * tf.cast(each, tf.float32), axis=-1) for each in (x, y)]
    return reduction.per_example(tf.abs(norms[0] - norms[1]))


def patch_nce(query: tf.Tensor, key: tf.Tensor, temperature: float) -> tf.Tensor:
    """PatchNCE loss `[batch]`: cross entropy of finding each position among those of the source (arXiv:2007.15651).

    Equation 3 of the paper.

    Args:
      query: features `[batch, positions, channels]` of the translation, of unit length.
      key: features of the source at the same positions.
      temperature: of the softmax.
    """
    logits = tf.matmul(query, key, transpose_b=True) / temperature
    positions = tf.range(tf.shape(query)[1])[None] + tf.zeros([tf.shape(query)[0], 1], tf.int32)
    return reduction.per_example(tf.nn.sparse_softmax_cross_entropy_with_logits(positions, logits))
