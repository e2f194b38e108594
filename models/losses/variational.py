"""Loss terms of variational autoencoders: likelihoods, divergences and the reparameterisation trick.

Codes are `[batch, latent]`. The posterior is a diagonal Gaussian with mean `mu` and log variance `log_var`. Every
term is in nats, one value per example.
"""

from __future__ import annotations

import math

import tensorflow as tf

LOG_2PI = math.log(2 * math.pi)


def sum_per_example(x: tf.Tensor) -> tf.Tensor:
    """Sum over all axes except the first: `[batch, ...]` to `[batch]`, in float32."""
    return tf.reduce_sum(tf.reshape(tf.cast(x, tf.float32), [tf.shape(x)[0], -1]), axis=1)


def reparameterize(mu: tf.Tensor, log_var: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Sample q(z|x) as a differentiable function of its mean and variance (Sec. 2.4 of arXiv:1312.6114).

    Args:
      mu: `[batch, latent]`.
      log_var: the same shape.
      noise: the same shape, standard normal.
    """
    return mu + tf.exp(0.5 * log_var) * noise


def gaussian_nll(x: tf.Tensor, mean: tf.Tensor, log_sigma: tf.Tensor | float) -> tf.Tensor:
    """Gaussian negative log-likelihood ``-log N(x; mean, sigma^2)``, summed over each example, `[batch]`.

    >>> round(float(gaussian_nll(tf.zeros([1, 1]), tf.zeros([1, 1]), 0.0)[0]), 4)
    0.9189
    """
    x, mean, log_sigma = (tf.cast(tensor, tf.float32) for tensor in (x, mean, log_sigma))
    return sum_per_example(0.5 * tf.square((x - mean) * tf.exp(-log_sigma)) + log_sigma + 0.5 * LOG_2PI)


def bernoulli_nll(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Bernoulli negative log-likelihood (cross entropy) of values in [0, 1], summed over each example, `[batch]`.

    >>> round(float(bernoulli_nll(tf.ones([1, 1]), tf.zeros([1, 1]))[0]), 4)
    0.6931
    """
    return sum_per_example(tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(x, tf.float32), tf.cast(logits, tf.float32)))


def kl_to_prior(mu: tf.Tensor, log_var: tf.Tensor) -> tf.Tensor:
    """``KL(N(mu, sigma^2) || N(0, 1))``, `[batch]` (Appendix B of arXiv:1312.6114).

    >>> kl_to_prior(tf.zeros([1, 2]), tf.zeros([1, 2])).numpy().tolist()
    [0.0]
    """
    return 0.5 * tf.reduce_sum(tf.square(mu) + tf.exp(log_var) - 1.0 - log_var, axis=1)


def gaussian_log_density(z: tf.Tensor, mu: tf.Tensor, log_var: tf.Tensor) -> tf.Tensor:
    """``log N(z; mu, sigma^2)`` of each dimension, not summed; shapes broadcast."""
    return -0.5 * (tf.square(z - mu) * tf.exp(-log_var) + log_var + LOG_2PI)


def decompose_kl(z: tf.Tensor, mu: tf.Tensor, log_var: tf.Tensor, global_batch: tuple[tf.Tensor, tf.Tensor]) -> dict:
    """Decompose the KL divergence into three terms, each `[batch]` (Eq. 2 of arXiv:1802.04942).

    The aggregate posterior q(z) is estimated from the global batch. Minibatch-weighted sampling over the training set
    (Eq. 5) would only add constants, so the gradients are equal.

    Args:
      z: `[batch, latent]`, sampled from q(z|x).
      mu: the same shape.
      log_var: the same shape.
      global_batch: `mu` and `log_var` of the global batch, `[global batch, latent]`.

    Returns:
      "mutual_information" between z and x, "total_correlation" of the dimensions of z, and
      "dimension_wise_kl" to the prior; their sum is an estimate of the KL divergence.
    """
    joint = gaussian_log_density(z[:, None], *(moment[None] for moment in global_batch))  # [batch, global, latent]
    log_count = tf.math.log(tf.cast(tf.shape(joint)[1], tf.float32))
    log_q = tf.reduce_logsumexp(tf.reduce_sum(joint, axis=2), axis=1) - log_count
    log_marginals = tf.reduce_sum(tf.reduce_logsumexp(joint, axis=1) - log_count, axis=1)
    log_conditional = tf.reduce_sum(gaussian_log_density(z, mu, log_var), axis=1)
    log_prior = tf.reduce_sum(gaussian_log_density(z, tf.zeros_like(z), tf.zeros_like(z)), axis=1)
    return {
        "mutual_information": log_conditional - log_q,
        "total_correlation": log_q - log_marginals,
        "dimension_wise_kl": log_marginals - log_prior,
    }
