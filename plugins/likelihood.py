"""What variational plugins take the decoder's outputs for: the keys, and the likelihood that they describe."""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from models import layers, variational
from models.errors import UserError
from plugins import base, coding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(coding.Config):
    """Keys that variational plugins share.

    Attributes:
      likelihood: gaussian of normalised features around what is decoded, or bernoulli of features scaled to [0, 1].
      sigma: deviation of the gaussian, in normalised units; 0 learns it (arXiv:2006.13202).
    """

    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    sigma: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.sigma < 0:
            raise UserError(f"sigma={self.sigma}; wanted 0, to learn it, or more")


class Likelihood(tf.Module):
    """p(x|z), given what the decoder makes of z.

    Args:
      plugin: whose configuration it follows and whose data it is of.

    Attributes:
      deviation: network that learns the gaussian's deviation; None where it is given.
    """

    def __init__(self, plugin: base.Plugin):
        super().__init__(name="likelihood")
        c, self.spec = plugin.config, plugin.spec
        self.normalise, self.denormalise = plugin.normalise, plugin.denormalise
        self.bernoulli, self.sigma = c.likelihood == "bernoulli", c.sigma
        learnt = not self.bernoulli and not c.sigma
        self.deviation = layers.log_deviation(c.latent) if learnt else None
        if self.spec.kind == "audio":
            self.floor = self.spec.features.log_floor
            self.span = np.maximum(self.spec.overall.highest - self.floor, 1e-3).astype(np.float32)
        else:
            self.floor, self.span = -1.0, np.float32(2.0)

    def networks(self) -> list[keras.Model]:
        """What it learns."""
        return [] if self.deviation is None else [self.deviation]

    def target(self, features: tf.Tensor) -> tf.Tensor:
        """Features in the units of the likelihood."""
        if self.bernoulli:
            return tf.clip_by_value((features - self.floor) / self.span, 0.0, 1.0)
        return self.normalise(features, self.spec.overall)

    def features(self, decoded: tf.Tensor) -> tf.Tensor:
        """The mean of p(x|z), as features."""
        if self.bernoulli:
            return self.floor + self.span * tf.sigmoid(decoded)
        return self.denormalise(decoded, self.spec.overall)

    def negative_elbo(self, features: tf.Tensor, mu: tf.Tensor, log_var: tf.Tensor, decoder, averaged) -> tf.Tensor:
        """``-log p(x|z) + KL(q(z|x) || p(z))`` in nats, `[batch]`, for z the mean of q(z|x): no draw, so no noise.

        Args:
          features: `[batch, ...]`.
          mu: `[batch, latent]`.
          log_var: the same shape.
          decoder: from codes to what this likelihood is given.
          averaged: gives of a network the one that exports use.
        """
        log_sigma = averaged(self.deviation)(mu) if self.deviation is not None else None
        nats = self.negative_log(self.target(features), decoder(mu), log_sigma)
        return nats + variational.kl_to_prior(mu, log_var)

    def negative_log(self, target: tf.Tensor, decoded: tf.Tensor, log_sigma: tf.Tensor | None) -> tf.Tensor:
        """``-log p(x|z)`` in nats, `[batch]`.

        Args:
          target: `[batch, ...]`.
          decoded: the same shape.
          log_sigma: `[batch, 1]` from `deviation`, where that is learnt.
        """
        if self.bernoulli:
            return variational.bernoulli_nll(target, decoded)
        if log_sigma is None:
            return variational.gaussian_nll(target, decoded, float(np.log(self.sigma)))
        shape = [-1] + [1] * (len(target.shape) - 1)
        return variational.gaussian_nll(target, decoded, tf.reshape(log_sigma, shape))
