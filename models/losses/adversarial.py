"""Adversarial losses of generators and discriminators, and gradient penalties: pure functions of tensors, `[batch]`."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.losses import reduction


def lsgan_generator(fake: tf.Tensor) -> tf.Tensor:
    """Least-squares loss of the generator from logits of generated examples, `[batch]`.

    As in CycleGAN (arXiv:1703.10593, Sec. 4), without the factor 1/2 of Eq. 9 of arXiv:1611.04076.
    """
    return reduction.per_example(tf.square(fake - 1))


def lsgan_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Least-squares loss of the discriminator, `[batch]`: targets 1 (real) and 0 (fake) (Eq. 9 of arXiv:1611.04076)."""
    return 0.5 * (reduction.per_example(tf.square(real - 1)) + reduction.per_example(tf.square(fake)))


def hinge_generator(fake: tf.Tensor) -> tf.Tensor:
    """Loss of the generator that belongs to :func:`hinge_discriminator`, `[batch]` (Eq. 4 of arXiv:1705.02894)."""
    return -reduction.per_example(fake)


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Hinge loss, `[batch]`: 0 for logits above 1 (real) and below -1 (fake) (Eq. 4 of arXiv:1705.02894)."""
    return reduction.per_example(tf.nn.relu(1 - real)) + reduction.per_example(tf.nn.relu(1 + fake))


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """``-log sigmoid(D(fake))``, `[batch]` (Sec. 3 of arXiv:1406.2661)."""
    return reduction.per_example(tf.nn.softplus(-fake))


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """``-log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))``, `[batch]` (Eq. 1 of arXiv:1406.2661)."""
    return reduction.per_example(tf.nn.softplus(-real)) + reduction.per_example(tf.nn.softplus(fake))


def wgan_generator(fake: tf.Tensor) -> tf.Tensor:
    """Loss of the generator against a Wasserstein critic, `[batch]` (Algorithm 1 of arXiv:1701.07875)."""
    return -reduction.per_example(fake)


def wgan_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Minus the critic's estimate of the Wasserstein distance, `[batch]` (Algorithm 1 of arXiv:1701.07875)."""
    return reduction.per_example(fake) - reduction.per_example(real)


ADVERSARIAL_LOSSES: dict[str, tuple[Callable, Callable]] = {  # losses of the generator and of the discriminator
    "lsgan": (lsgan_generator, lsgan_discriminator),
    "hinge": (hinge_generator, hinge_discriminator),
    "non_saturating": (non_saturating_generator, non_saturating_discriminator),
    "wgan": (wgan_generator, wgan_discriminator),
}


def squared_gradient_norm(discriminator: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Squared norm of the gradient of a discriminator's mean output with respect to each example, `[batch]`.

    >>> squared_gradient_norm(lambda x: 3 * x, tf.zeros([2, 1])).numpy().tolist()
    [9.0, 9.0]
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = tf.reduce_sum(reduction.per_example(discriminator(x)))
    gradient = tf.cast(tape.gradient(output, x), tf.float32)
    return tf.reduce_sum(tf.reshape(tf.square(gradient), [tf.shape(x)[0], -1]), axis=1)


def r1(discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """Half the squared gradient norm on real examples, `[batch]` (Eq. 9 of arXiv:1801.04406, without its weight)."""
    return 0.5 * squared_gradient_norm(discriminator, real)


def gradient_penalty(discriminator: Callable, real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """``(|gradient| - 1)^2`` between real and generated examples, `[batch]` (Eq. 3 of arXiv:1704.00028, no weight).

    Args:
      discriminator: function of `[batch, ...]`.
      real: `[batch, ...]`.
      fake: of the same shape.
      epsilon: `[batch]` in [0, 1], weight of the real example in the interpolation.
    """
    norm = tf.sqrt(squared_gradient_norm(discriminator, interpolate(real, fake, epsilon)) + 1e-12)
    return tf.square(norm - 1)


def interpolate(real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """``epsilon real + (1 - epsilon) fake``, with an `epsilon` for each example."""
    epsilon = tf.reshape(tf.cast(epsilon, real.dtype), [-1] + [1] * (len(real.shape) - 1))
    return epsilon * real + (1 - epsilon) * fake
