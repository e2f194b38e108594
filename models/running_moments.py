"""Means and deviations of each domain over recent training steps."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models import replicas

DECAY = 0.999  # of a step's share
PRIOR_FRAMES = 0.1  # of the initial mean and a deviation of 1


class RunningMoments(tf.Module):
    """Weighted sums over the frames of each domain, of all replicas, from which means and deviations are computed.

    Args:
      domains: number of domains.
      size: length of a vector.
      mean: of each component before anything was added.
      name: of the variable.

    Attributes:
      sums: `[domains, 1 + 2 * size]`: weight, sums, and sums of squares.
    """

    def __init__(self, domains: int, size: int, *, mean: float = 0.0, name: str):
        super().__init__(name=name)
        self.size = size
        row = PRIOR_FRAMES * np.repeat([1.0, mean, mean**2 + 1.0], [1, size, size])
        self.sums = tf.Variable(
            np.tile(np.float32(row), (domains, 1)),
            trainable=False,
            name=name,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def add(self, vectors: tf.Tensor, domain: tf.Tensor, weights: tf.Tensor | None = None) -> None:
        """Add this replica's examples of a training step.

        Args:
          vectors: `[batch, frames, size]`.
          domain: index of each example's domain, `[batch]` int32.
          weights: of the frames, `[batch, frames]`; 1 by default.
        """
        x = tf.stop_gradient(tf.cast(vectors, tf.float32))
        w = (tf.ones_like(x[..., 0]) if weights is None else weights)[..., None]
        sums = tf.reduce_sum(tf.concat([w, w * x, w * x * x], axis=-1), axis=1)
        sums = tf.math.unsorted_segment_sum(sums, domain, self.sums.shape[0])
        self.sums.assign(DECAY * self.sums + replicas.all_reduce_sum(sums))

    def mean(self, domain: tf.Tensor) -> tf.Tensor:
        """Mean `[batch, 1, size]` of each example's domain."""
        return self._means(domain)[0]

    def std(self, domain: tf.Tensor) -> tf.Tensor:
        """Standard deviation `[batch, 1, size]` of each example's domain."""
        mean, squares = self._means(domain)
        return tf.sqrt(tf.maximum(squares - mean * mean, 1e-6))

    def _means(self, domain: tf.Tensor) -> list[tf.Tensor]:
        sums = tf.gather(self.sums, domain)[:, None]
        return tf.split(sums[..., 1:] / sums[..., :1], 2, axis=-1)
