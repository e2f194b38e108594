"""The image pool: a history of generated examples that a discriminator is given again."""

from __future__ import annotations

import tensorflow as tf

from models.replicas import all_gather
from models.stateless_random import StatelessRng, uniform


class ImagePool(tf.Module):
    """A history of generated examples (Sec. 2.3 of arXiv:1612.07828), in the graph.

    Half of the examples in a query are swapped for older ones, so that the discriminator keeps recognising what the
    generator produced before. The history is a variable: it is saved and restored with the weights. Under several
    replicas there is one history, filled in the order of the global batch.

    Args:
      size: number of examples kept; with 0, queries are returned unchanged.
      shape: shape of one example, fully known.
      name: of the module.
    """

    def __init__(self, size: int, shape: tuple[int, ...], name: str = "pool"):
        super().__init__(name=name)
        self.size = size
        options = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        if size:
            self.examples = tf.Variable(tf.zeros([size, *shape]), name="examples", **options)
            self.filled = tf.Variable(0, name="filled", **options)

    def query(self, fake: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """Each generated example, or an older one in its place.

        Args:
          fake: this replica's examples, `[batch, ...]`.
          rng: random numbers.

        Returns:
          `[batch, ...]`.
        """
        if not self.size:
            return fake
        global_fake = all_gather(fake, rng.index)
        count = min(rng.global_batch_size, self.size)
        head = global_fake[:count]
        slot, is_free = self._slots(count, rng.stream("slots").key())
        swap = ~is_free & (uniform([count], rng.stream("swap").key()) < 0.5)
        older = tf.gather(self.examples, slot)
        answer = tf.where(_expand_like(swap, head), older, head)
        stored = tf.where(_expand_like(swap | is_free, head), head, older)
        self.examples.assign(tf.tensor_scatter_nd_update(self.examples, slot[:, None], stored))
        self.filled.assign(tf.minimum(self.filled + count, self.size))
        return tf.gather(tf.concat([answer, global_fake[count:]], axis=0), rng.index)

    def _slots(self, count: int, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct slots `[count]`, free ones first, then random full ones; and which of them are free."""
        row = tf.range(count)
        num_free = self.size - self.filled
        full_first = uniform([self.size], key) + tf.cast(tf.range(self.size) >= self.filled, tf.float32)
        order = tf.argsort(full_first)
        random_full = tf.gather(order, tf.maximum(row - num_free, 0))
        return tf.where(row < num_free, self.filled + row, random_full), row < num_free


def _expand_like(mask: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(mask, [-1] + [1] * (len(x.shape) - 1))
