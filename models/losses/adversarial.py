"""Adversarial losses of generators and discriminators, and gradient penalties: pure functions of tensors, `[batch]`."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.losses import reduction


def lsgan_generator(fake: tf.Tensor) -> tf.Tensor:
    """What the generator minimises, `[batch]`, of the critic's outputs on fakes (Eq. 9 of arXiv:1611.04076)."""
    return reduction.per_example(tf.square(fake - 1))


def lsgan_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """What the critic minimises, `[batch]`: 0 where it gives reals 1 and fakes 0 (Eq. 9 of arXiv:1611.04076)."""
    return 0.5 * (reduction.per_example(tf.square(real - 1)) + reduction.per_example(tf.square(fake)))


def hinge_generator(fake: tf.Tensor) -> tf.Tensor:
    """What the generator minimises, `[batch]`, against :func:`hinge_discriminator` (Eq. 4 of arXiv:1705.02894)."""
    return -reduction.per_example(fake)


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """What the critic minimises, `[batch]`: 0 for reals above 1 and fakes below -1 (Eq. 4 of arXiv:1705.02894)."""
    return reduction.per_example(tf.nn.relu(1 - real)) + reduction.per_example(tf.nn.relu(1 + fake))


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """``-log sigmoid(D(fake))``, `[batch]` (Sec. 3 of arXiv:1406.2661)."""
    return reduction.per_example(tf.nn.softplus(-fake))


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """``-log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))``, `[batch]` (Eq. 1 of arXiv:1406.2661)."""
    return reduction.per_example(tf.nn.softplus(-real)) + reduction.per_example(tf.nn.softplus(fake))


def wgan_generator(fake: tf.Tensor) -> tf.Tensor:
    """What the generator minimises, `[batch]` (Algorithm 1 of arXiv:1701.07875)."""
    return -reduction.per_example(fake)


def wgan_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Minus the critic's estimate of the distance, `[batch]` (Algorithm 1 of arXiv:1701.07875)."""
    return reduction.per_example(fake) - reduction.per_example(real)


ADVERSARIAL_LOSSES: dict[str, tuple[Callable, Callable]] = {  # what the generator and what the critic minimises
    "lsgan": (lsgan_generator, lsgan_discriminator),
    "hinge": (hinge_generator, hinge_discriminator),
    "non_saturating": (non_saturating_generator, non_saturating_discriminator),
    "wgan": (wgan_generator, wgan_discriminator),
}


def squared_gradient_norm(critic: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Squared length of the gradient of a critic's mean output with respect to each example, `[batch]`.

    >>> squared_slope(lambda x: 3 * x, tf.zeros([2, 1])).numpy().tolist()
    [9.0, 9.0]
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = tf.reduce_sum(reduction.per_example(critic(x)))
    gradient = tf.cast(tape.gradient(output, x), tf.float32)
    return tf.reduce_sum(tf.reshape(tf.square(gradient), [tf.shape(x)[0], -1]), axis=1)


def r1(critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """Half the squared slope of the critic on reals, `[batch]` (Eq. 9 of arXiv:1801.04406, without its weight)."""
    return 0.5 * squared_gradient_norm(critic, real)


def gradient_penalty(critic: Callable, real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """``(|slope| - 1)^2`` between reals and fakes, `[batch]` (Eq. 3 of arXiv:1704.00028, without its weight).

    Args:
      critic: of `[batch, ...]`.
      real: `[batch, ...]`.
      fake: of the same shape.
      epsilon: `[batch]` in [0, 1]: how much of the real there is in the place that is looked at.
    """
    slope = tf.sqrt(squared_gradient_norm(critic, interpolate(real, fake, epsilon)) + 1e-12)
    return tf.square(slope - 1)


def interpolate(real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """``epsilon real + (1 - epsilon) fake``, an `epsilon` for each example."""
    epsilon = tf.reshape(tf.cast(epsilon, real.dtype), [-1] + [1] * (len(real.shape) - 1))
    return epsilon * real + (1 - epsilon) * fake
