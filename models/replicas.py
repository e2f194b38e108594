"""Sums and concatenations over the replicas of a strategy, with gradients."""

from __future__ import annotations

import tensorflow as tf


def all_reduce_sum(x: tf.Tensor) -> tf.Tensor:
    """The sum of a tensor over the replicas; without a gradient if there are several."""
    context = tf.distribute.get_replica_context()
    return x if context.num_replicas_in_sync == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, x)


def all_gather(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas in the order of the global batch, with gradients.

    The gradient of a replica's rows is the sum of the gradients on all replicas.

    Args:
      x: `[batch, ...]`, this replica's rows.
      index: `[batch]` int32, their positions in the global batch.

    Returns:
      `[global batch, ...]`.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.gather(x, tf.argsort(index))
    order = tf.argsort(context.all_gather(index, axis=0))

    @tf.custom_gradient
    def rows(x):
        global_rows = tf.gather(context.all_gather(x, axis=0), order)
        return global_rows, lambda gradient: tf.gather(all_reduce_sum(gradient), index)

    return rows(x)
