"""The terms of variational autoencoders: densities, divergences and the draw that gradients run through.

Codes are `[batch, latent]`, described by the mean `mu` and the logarithm of the variance `log_var` of a
Gaussian with independent dimensions. Every term is in nats, one for each example.
"""

from __future__ import annotations

import math

import tensorflow as tf

LOG_2PI = math.log(2 * math.pi)


def sum_per_example(x: tf.Tensor) -> tf.Tensor:
    """Sum over all axes but the first: `[batch, ...]` to `[batch]`, in float32."""
    return tf.reduce_sum(tf.reshape(tf.cast(x, tf.float32), [tf.shape(x)[0], -1]), axis=1)


def reparameterised(mu: tf.Tensor, log_var: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """A draw from q(z|x) as a function of its mean and variance (Sec. 2.4 of arXiv:1312.6114).

    Args:
      mu: `[batch, latent]`.
      log_var: the same shape.
      noise: the same shape, standard normal.
    """
    return mu + tf.exp(0.5 * log_var) * noise


def gaussian(x: tf.Tensor, mean: tf.Tensor, log_sigma: tf.Tensor | float) -> tf.Tensor:
    """``-log N(x; mean, sigma^2)`` summed over each example, `[batch]`.

    >>> round(float(gaussian(tf.zeros([1, 1]), tf.zeros([1, 1]), 0.0)[0]), 4)
    0.9189
    """
    x, mean, log_sigma = (tf.cast(each, tf.float32) for each in (x, mean, log_sigma))
    return sum_per_example(0.5 * tf.square((x - mean) * tf.exp(-log_sigma)) + log_sigma + 0.5 * LOG_2PI)


def bernoulli(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross entropy of values in [0, 1] and the probabilities of one, summed over each example, `[batch]`.

    >>> round(float(bernoulli(tf.ones([1, 1]), tf.zeros([1, 1]))[0]), 4)
    0.6931
    """
    return sum_per_example(tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(x, tf.float32), tf.cast(logits, tf.float32)))


def kl_to_prior(mu: tf.Tensor, log_var: tf.Tensor) -> tf.Tensor:
    """``KL(N(mu, sigma^2) || N(0, 1))``, `[batch]` (Appendix B of arXiv:1312.6114).

    >>> kl_to_prior(tf.zeros([1, 2]), tf.zeros([1, 2])).numpy().tolist()
    [0.0]
    """
    return 0.5 * tf.reduce_sum(tf.square(mu) + tf.exp(log_var) - 1.0 - log_var, axis=1)


def log_normal(z: tf.Tensor, mu: tf.Tensor, log_var: tf.Tensor) -> tf.Tensor:
    """``log N(z; mu, sigma^2)``, each dimension for itself; shapes broadcast."""
    return -0.5 * (tf.square(z - mu) * tf.exp(-log_var) + log_var + LOG_2PI)


def decomposed(z: tf.Tensor, mu: tf.Tensor, log_var: tf.Tensor, everyone: tuple[tf.Tensor, tf.Tensor]) -> dict:
    """The parts of the KL divergence, each `[batch]` (Eq. 2 of arXiv:1802.04942).

    The aggregate posterior q(z) is that of the global batch. Weighing it as a sample of the whole
    training set (Eq. 5, minibatch-weighted sampling) only adds constants, so gradients are the same.

    Args:
      z: `[batch, latent]`, drawn from q(z|x).
      mu: the same shape.
      log_var: the same shape.
      everyone: `mu` and `log_var` of the global batch, `[global batch, latent]`.

    Returns:
      "mutual_information" between z and x, "total_correlation" of z's dimensions, and
      "dimension_wise_kl" to the prior; they add up to an estimate of the KL divergence.
    """
    joint = log_normal(z[:, None], *(each[None] for each in everyone))  # [batch, global batch, latent]
    log_count = tf.math.log(tf.cast(tf.shape(joint)[1], tf.float32))
    log_q = tf.reduce_logsumexp(tf.reduce_sum(joint, axis=2), axis=1) - log_count
    log_marginals = tf.reduce_sum(tf.reduce_logsumexp(joint, axis=1) - log_count, axis=1)
    log_conditional = tf.reduce_sum(log_normal(z, mu, log_var), axis=1)
    log_prior = tf.reduce_sum(log_normal(z, tf.zeros_like(z), tf.zeros_like(z)), axis=1)
    return {
        "mutual_information": log_conditional - log_q,
        "total_correlation": log_q - log_marginals,
        "dimension_wise_kl": log_marginals - log_prior,
    }
