"""The only calls of private functions of TensorFlow; checked against TensorFlow 2.16 and 2.17."""

from __future__ import annotations

import tensorflow as tf


def assign_on_all_replicas(variables: list[tf.Variable], values: list[tf.Tensor]) -> None:
    """Assigns values to mirrored variables from within a replica; every replica has computed the same values.

    A plain `assign` would ask for an aggregation over the replicas. Keras optimizers use the same function.

    Args:
      variables: created under the strategy's scope.
      values: of the variables' shapes.
    """

    def assign(strategy, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable, lambda v, new: v.assign(new), args=(value,), group=False)

    tf.__internal__.distribute.interim.maybe_merge_call(assign, tf.distribute.get_strategy(), values)
