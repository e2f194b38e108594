"""The likelihood p(x|z) of variational plugins, and the configuration keys that describe it."""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from models import layers
from models.config_fields import option
from models.errors import UserError
from models.losses import variational
from plugins import base, encoding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoding.Config):
    """Keys that variational plugins share."""

    likelihood: Literal["gaussian", "bernoulli"] = option(
        "gaussian", "likelihood p(x|z): gaussian on normalised features, or bernoulli on features scaled to [0, 1]"
    )
    sigma: float = option(
        0.0, "standard deviation of the gaussian likelihood, in normalised units; 0 learns it (arXiv:2006.13202)"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.sigma < 0:
            raise UserError(f"sigma={self.sigma}; wanted 0, to learn it, or more")


class Likelihood(tf.Module):
    """p(x|z), parametrised by the decoder's output for z.

    Args:
      plugin: the plugin; gives configuration and statistics.

    Attributes:
      log_sigma: network of the Gaussian's learned log standard deviation; None where the configuration fixes it.
    """

    def __init__(self, plugin: base.Plugin):
        super().__init__(name="likelihood")
        c, self.spec = plugin.config, plugin.spec
        self.normalize, self.denormalize = plugin.normalize, plugin.denormalize
        self.bernoulli, self.sigma = c.likelihood == "bernoulli", c.sigma
        is_learned = not self.bernoulli and not c.sigma
        self.log_sigma = layers.log_sigma_network(c.latent) if is_learned else None
        if self.spec.kind == "audio":
            self.floor = self.spec.features.log_floor
            self.span = np.maximum(self.spec.overall.highest - self.floor, 1e-3).astype(np.float32)
        else:
            self.floor, self.span = -1.0, np.float32(2.0)

    def networks(self) -> list[keras.Model]:
        """Its trainable networks."""
        return [] if self.log_sigma is None else [self.log_sigma]

    def target(self, features: tf.Tensor) -> tf.Tensor:
        """Features in the units of the likelihood: normalised for a Gaussian, in [0, 1] for a Bernoulli."""
        if self.bernoulli:
            return tf.clip_by_value((features - self.floor) / self.span, 0.0, 1.0)
        return self.normalize(features, self.spec.overall)

    def features(self, decoded: tf.Tensor) -> tf.Tensor:
        """The mean of p(x|z), as features."""
        if self.bernoulli:
            return self.floor + self.span * tf.sigmoid(decoded)
        return self.denormalize(decoded, self.spec.overall)

    def negative_elbo(self, features: tf.Tensor, mu: tf.Tensor, log_var: tf.Tensor, decoder, averaged) -> tf.Tensor:
        """``-log p(x|z) + KL(q(z|x) || p(z))`` in nats, `[batch]`, with z the mean of q(z|x), so without noise.

        Args:
          features: `[batch, ...]`.
          mu: `[batch, latent]`.
          log_var: the same shape.
          decoder: from codes to the likelihood's parameters.
          averaged: function of a network to the network with averaged weights.
        """
        log_sigma = averaged(self.log_sigma)(mu) if self.log_sigma is not None else None
        nats = self.negative_log(self.target(features), decoder(mu), log_sigma)
        return nats + variational.kl_to_prior(mu, log_var)

    def negative_log(self, target: tf.Tensor, decoded: tf.Tensor, log_sigma: tf.Tensor | None) -> tf.Tensor:
        """``-log p(x|z)`` in nats, `[batch]`.

        Args:
          target: `[batch, ...]`.
          decoded: the same shape.
          log_sigma: `[batch, 1]` from the network `log_sigma`, where that is learned.
        """
        if self.bernoulli:
            return variational.bernoulli_nll(target, decoded)
        if log_sigma is None:
            return variational.gaussian_nll(target, decoded, float(np.log(self.sigma)))
        shape = [-1] + [1] * (len(target.shape) - 1)
        return variational.gaussian_nll(target, decoded, tf.reshape(log_sigma, shape))
