"""What a step computes over all replicas, as if there were one."""

from __future__ import annotations

import tensorflow as tf


def all_reduce_sum(x: tf.Tensor) -> tf.Tensor:
    """The sum of the replicas' tensors; no gradient runs through it where there are several."""
    context = tf.distribute.get_replica_context()
    return x if context.num_replicas_in_sync == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, x)


def all_gather(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas in the order of the global batch.

    Gradients run back: each replica's rows get the sum of what all replicas made of them.

    Args:
      x: `[batch, ...]`, this replica's rows.
      index: `[batch]` int32, their places in the global batch.

    Returns:
      `[global batch, ...]`.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.gather(x, tf.argsort(index))
    order = tf.argsort(context.all_gather(index, axis=0))

    @tf.custom_gradient
    def rows(x):
        everyone = tf.gather(context.all_gather(x, axis=0), order)
        return everyone, lambda slope: tf.gather(all_reduce_sum(slope), index)

    return rows(x)
