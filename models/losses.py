"""Losses: pure functions of tensors, each a scalar unless it says otherwise.

Every mean over examples is written as a sum divided by the *global* batch, because a replica sees
only its share and the optimiser adds the replicas' gradients up: `per_example` first, then
`batch_mean`. Then two replicas move the weights exactly as one does.
"""

from __future__ import annotations

from collections.abc import Callable

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


def hinge_generator(fake: tf.Tensor) -> tf.Tensor:
    """What the generator minimises, `[batch]`, against :func:`hinge_discriminator` (Eq. 4 of arXiv:1705.02894)."""
    return -per_example(fake)


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """What the critic minimises, `[batch]`: 0 for reals above 1 and fakes below -1 (Eq. 4 of arXiv:1705.02894)."""
    return per_example(tf.nn.relu(1 - real)) + per_example(tf.nn.relu(1 + fake))


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """``-log sigmoid(D(fake))``, `[batch]` (Sec. 3 of arXiv:1406.2661)."""
    return per_example(tf.nn.softplus(-fake))


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """``-log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))``, `[batch]` (Eq. 1 of arXiv:1406.2661)."""
    return per_example(tf.nn.softplus(-real)) + per_example(tf.nn.softplus(fake))


def wgan_generator(fake: tf.Tensor) -> tf.Tensor:
    """What the generator minimises, `[batch]` (Algorithm 1 of arXiv:1701.07875)."""
    return -per_example(fake)


def wgan_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Minus the critic's estimate of the distance, `[batch]` (Algorithm 1 of arXiv:1701.07875)."""
    return per_example(fake) - per_example(real)


ADVERSARIES: dict[str, tuple[Callable, Callable]] = {  # what the generator and what the critic minimises
    "lsgan": (lsgan_generator, lsgan_discriminator),
    "hinge": (hinge_generator, hinge_discriminator),
    "non_saturating": (non_saturating_generator, non_saturating_discriminator),
    "wgan": (wgan_generator, wgan_discriminator),
}


def squared_slope(critic: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Squared length of the gradient of a critic's mean output with respect to each example, `[batch]`.

    >>> squared_slope(lambda x: 3 * x, tf.zeros([2, 1])).numpy().tolist()
    [9.0, 9.0]
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = tf.reduce_sum(per_example(critic(x)))
    gradient = tf.cast(tape.gradient(output, x), tf.float32)
    return tf.reduce_sum(tf.reshape(tf.square(gradient), [tf.shape(x)[0], -1]), axis=1)


def r1(critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """Half the squared slope of the critic on reals, `[batch]` (Eq. 9 of arXiv:1801.04406, without its weight)."""
    return 0.5 * squared_slope(critic, real)


def gradient_penalty(critic: Callable, real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """``(|slope| - 1)^2`` between reals and fakes, `[batch]` (Eq. 3 of arXiv:1704.00028, without its weight).

    Args:
      critic: of `[batch, ...]`.
      real: `[batch, ...]`.
      fake: of the same shape.
      epsilon: `[batch]` in [0, 1]: how much of the real there is in the place that is looked at.
    """
    slope = tf.sqrt(squared_slope(critic, between(real, fake, epsilon)) + 1e-12)
    return tf.square(slope - 1)


def between(real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """``epsilon real + (1 - epsilon) fake``, an `epsilon` for each example."""
    epsilon = tf.reshape(tf.cast(epsilon, real.dtype), [-1] + [1] * (len(real.shape) - 1))
    return epsilon * real + (1 - epsilon) * fake


def loudness(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of the frames' log norms, `[batch]` (the norm consistency of arXiv:2107.10394, Eq. 6).

    Args:
      x: log-mels `[batch, frames, mels]`, natural logarithm.
      y: log-mels of the same shape.
    """
    norms = [0.5 * tf.reduce_logsumexp(2 * tf.cast(each, tf.float32), axis=-1) for each in (x, y)]
    return per_example(tf.abs(norms[0] - norms[1]))


def patch_nce(query: tf.Tensor, key: tf.Tensor, temperature: float) -> tf.Tensor:
    """How badly places of the output are recognised among those of its input, `[batch]` (Eq. 3 of arXiv:2007.15651).

    Args:
      query: features `[batch, places, channels]` of the translation, of unit length.
      key: features of the source at the same places.
      temperature: of the softmax.
    """
    logits = tf.matmul(query, key, transpose_b=True) / temperature
    places = tf.range(tf.shape(query)[1])[None] + tf.zeros([tf.shape(query)[0], 1], tf.int32)
    return per_example(tf.nn.sparse_softmax_cross_entropy_with_logits(places, logits))


def total(losses: dict[str, tf.Tensor], weights: dict[str, tf.Tensor | float]) -> tf.Tensor:
    """The weighted sum of the named losses; every loss needs its weight.

    >>> float(total({"cycle": tf.constant(2.0)}, {"cycle": 10.0}))
    20.0
    """
    return tf.add_n([weights[name] * losses[name] for name in sorted(losses)])
