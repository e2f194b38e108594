"""Reductions of losses: means over examples that add up over replicas, and weighted sums of named losses.

A mean over examples is a sum divided by the *global* batch size, because each replica computes its share only and
the optimizer sums the gradients of all replicas: `per_example` first, then `batch_mean`. So two replicas update the
weights exactly as one does.
"""

from __future__ import annotations

import tensorflow as tf

from models.errors import UserError


def per_example(x: tf.Tensor) -> tf.Tensor:
    """Mean over all axes but the first: `[batch, ...]` to `[batch]`, in float32."""
    return tf.reduce_mean(tf.reshape(tf.cast(x, tf.float32), [tf.shape(x)[0], -1]), axis=1)


def batch_mean(values: tf.Tensor, global_batch_size: int) -> tf.Tensor:
    """This replica's part of the mean over the global batch of `[batch]` values."""
    return tf.reduce_sum(values) / tf.cast(global_batch_size, tf.float32)


def total(losses: dict[str, tf.Tensor], weights: dict[str, tf.Tensor | float]) -> tf.Tensor:
    """The weighted sum of the named losses; every loss needs its weight.

    Raises:
      UserError: there is no loss.

    >>> float(total({"cycle": tf.constant(2.0)}, {"cycle": 10.0}))
    20.0
    """
    if not losses:
        raise UserError("the weights of all losses are 0; wanted one above 0")
    return tf.add_n([weights[name] * losses[name] for name in sorted(losses)])
