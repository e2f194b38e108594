"""Random numbers that are the same on every device: on one replica as on several, compiled by XLA or not.

`tf.random.stateless_uniform` gives other numbers under XLA than without it, so these come from whole-number
arithmetic: a counter and a key, mixed by the finaliser of MurmurHash3 (Appleby 2011), twice.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Draws:
    """Random numbers of one training step: each belongs to an example, wherever that is computed.

    Attributes:
      seed: `[2]` int64, of the step and the run.
      index: `[batch]` int32, places of this replica's examples in the global batch.
      global_batch_size: examples of all replicas.
    """

    seed: tf.Tensor
    index: tf.Tensor
    global_batch_size: int

    def of(self, salt: int) -> tf.Tensor:
        """`[2]` integers for one purpose."""
        return self.seed + tf.constant([salt, 0], self.seed.dtype)

    def uniform(self, salt: int, *shape: int) -> tf.Tensor:
        """`[batch, *shape]` in [0, 1)."""
        return tf.gather(uniform([self.global_batch_size, *shape], self.of(salt)), self.index)

    def normal(self, salt: int, *shape: int) -> tf.Tensor:
        """`[batch, *shape]` of the standard normal distribution."""
        everyone = uniform([self.global_batch_size, *shape], self.of(salt))
        return tf.gather(_probit(everyone), self.index)


def uniform(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Numbers in [0, 1), multiples of 2^-24, that depend on shape and seed alone.

    Args:
      shape: fully known.
      seed: `[2]` integers.

    >>> bool(tf.reduce_all(uniform([3], tf.constant([1, 2])) == uniform([3], tf.constant([1, 2]))))
    True
    """
    count = 1
    for size in shape:
        count *= size
    key = tf.cast(tf.bitwise.bitwise_and(tf.cast(seed, tf.int64), 0xFFFFFFFF), tf.uint32)
    counter = tf.cast(tf.range(count), tf.uint32) * tf.constant(0x9E3779B9, tf.uint32)
    mixed = _mix(tf.bitwise.bitwise_xor(counter, _mix(key[0] + tf.constant(0x7F4A7C15, tf.uint32))))
    mixed = _mix(mixed + _mix(key[1] + tf.constant(0x94D049BB, tf.uint32)))
    fraction = tf.cast(tf.bitwise.right_shift(mixed, tf.constant(8, tf.uint32)), tf.float32)
    return tf.reshape(fraction * 2.0**-24, shape)


def _probit(fraction: tf.Tensor) -> tf.Tensor:
    """Standard normal numbers of those of :func:`uniform`: finite, also of the first and the last.

    The middles of the parts of (-1, 1) are exact, and taken from below zero: TensorFlow's `erfinv` is infinite
    at the greatest number below one.
    """
    middle = (2 * fraction - 1) + 2.0**-24
    return -tf.sign(middle) * tf.math.erfinv(-tf.abs(middle)) * 2**0.5


def _mix(x: tf.Tensor) -> tf.Tensor:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32)))
        x = x * tf.constant(factor, tf.uint32)
    return x
