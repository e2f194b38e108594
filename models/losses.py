"""Losses: pure functions of tensors, each a scalar unless it says otherwise.

Every mean over examples is written as a sum divided by the *global* batch, because a replica sees
only its share and the optimiser adds the replicas' gradients up: `per_example` first, then
`batch_mean`. Then two replicas move the weights exactly as one does.
"""

from __future__ import annotations

import tensorflow as tf


def per_example(x: tf.Tensor) -> tf.Tensor:
    """Mean over all axes but the first: `[batch, ...]` to `[batch]`, in float32."""
    return tf.reduce_mean(tf.reshape(tf.cast(x, tf.float32), [tf.shape(x)[0], -1]), axis=1)


def batch_mean(values: tf.Tensor, global_batch_size: int) -> tf.Tensor:
    """This replica's part of the mean over the global batch of `[batch]` values."""
    return tf.reduce_sum(values) / tf.cast(global_batch_size, tf.float32)


def l1(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean absolute error of each example, `[batch]`.

    >>> l1(tf.zeros([2, 3]), tf.ones([2, 3])).numpy().tolist()
    [1.0, 1.0]
    """
    return per_example(tf.abs(x - y))


def l2(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean squared error of each example, `[batch]`."""
    return per_example(tf.math.squared_difference(x, y))


def lsgan_generator(fake: tf.Tensor) -> tf.Tensor:
    """What the generator minimises, `[batch]`, of the critic's outputs on fakes (Eq. 9 of arXiv:1611.04076)."""
    return per_example(tf.square(fake - 1))


def lsgan_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """What the critic minimises, `[batch]`: 0 where it gives reals 1 and fakes 0 (Eq. 9 of arXiv:1611.04076)."""
    return 0.5 * (per_example(tf.square(real - 1)) + per_example(tf.square(fake)))


def total(losses: dict[str, tf.Tensor], weights: dict[str, tf.Tensor | float]) -> tf.Tensor:
    """The weighted sum of the named losses; every loss needs its weight.

    >>> float(total({"cycle": tf.constant(2.0)}, {"cycle": 10.0}))
    20.0
    """
    return tf.add_n([weights[name] * losses[name] for name in sorted(losses)])
