"""Random numbers that are the same on every device: on one replica as on several, compiled by XLA or not.

`tf.random.stateless_uniform` gives other numbers under XLA than without it, so these come from integer arithmetic: a
counter and a key, mixed twice by the finaliser of MurmurHash3 (Appleby 2011).
"""

from __future__ import annotations

import dataclasses
import zlib

import tensorflow as tf

from models import version_0_1


@dataclasses.dataclass(frozen=True)
class StatelessRng:
    """Random numbers of one training step, in named streams.

    A stream is a path of names such as ``"cyclegan/discriminator_a/pool"``; streams of different paths are
    independent. Every number belongs to an example of the global batch, on whichever replica that is computed.

    Attributes:
      seed: `[2]` integers: of the step, and of the run.
      index: `[batch]` int32, positions of this replica's examples in the global batch.
      global_batch_size: number of examples on all replicas.
      path: the stream's name.

    >>> rng = StatelessRng(tf.constant([1000, 0], tf.int64), tf.range(2), 2)
    >>> rng.stream("pool").stream("swap").path
    'pool/swap'
    """

    seed: tf.Tensor
    index: tf.Tensor
    global_batch_size: int
    path: str = ""

    def stream(self, name: str) -> StatelessRng:
        """The stream of that name below this one."""
        return dataclasses.replace(self, path=f"{self.path}/{name}" if self.path else name)

    def key(self) -> tf.Tensor:
        """The `[2]` integers that the stream's numbers depend on."""
        offset = version_0_1.STREAMS.get(self.path) or (0, zlib.crc32(self.path.encode()))
        return tf.cast(self.seed, tf.int64) + tf.constant(offset, tf.int64)

    def uniform(self, *shape: int) -> tf.Tensor:
        """`[batch, *shape]` in [0, 1)."""
        return tf.gather(uniform([self.global_batch_size, *shape], self.key()), self.index)

    def normal(self, *shape: int) -> tf.Tensor:
        """`[batch, *shape]` of the standard normal distribution."""
        global_batch = uniform([self.global_batch_size, *shape], self.key())
        return tf.gather(_inverse_normal_cdf(global_batch), self.index)


def uniform(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Numbers in [0, 1), multiples of 2^-24, that depend on the shape and the seed only.

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


def _inverse_normal_cdf(fraction: tf.Tensor) -> tf.Tensor:
    """Standard normal numbers from the numbers of :func:`uniform`, by the inverse of the distribution function.

    All results are finite: the argument is the centre of each of the 2^24 intervals of (-1, 1), which is exact, and
    negative, because TensorFlow's `erfinv` is infinite at the largest number below one.
    """
    centre = (2 * fraction - 1) + 2.0**-24
    return -tf.sign(centre) * tf.math.erfinv(-tf.abs(centre)) * 2**0.5


def _mix(x: tf.Tensor) -> tf.Tensor:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32)))
        x = x * tf.constant(factor, tf.uint32)
    return x
