"""DB-VAE: a domain classifier with a latent space, in which rare examples can be found (Amini et al. 2019).

One encoder gives the logits of the domains and q(z|x); examples of the encoded domain are reconstructed too. The
density of the latent variables shows which training examples are rare; `explore --do=debias` turns it into sampling
weights for the input pipeline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from models import schedules
from models.config_fields import option
from models.errors import UserError
from models.losses import reduction, variational
from plugins import base, encoding, likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(likelihood.Config):
    """Keys of `db_vae`. A weight is a number, or points ``[[step, weight], ...]``."""

    encoded_domain: str = option("", "domain whose examples the VAE encodes and reconstructs; empty for all domains")
    classification: schedules.Schedule = option(1.0, "weight of the cross entropy of the domain classifier")
    reconstruction: schedules.Schedule = option(1.0, "weight of -log p(x|z), in nats per feature")
    beta: schedules.Schedule = option(5e-4, "weight of KL(q(z|x) || p(z)), in nats per example")
    RENAMED: ClassVar[Mapping[str, str]] = {"coded": "encoded_domain"}


class DBVAE(base.Plugin):
    """Minimises ``classification + 1[encoded domain] (reconstruction + KL)`` (Eq. 4 of the paper)."""

    Config = Config
    PRESETS = encoding.PRESETS
    MONITOR = "reconstruction"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        if config.encoded_domain and config.encoded_domain not in spec.domains:
            raise UserError(
                f"encoded_domain={config.encoded_domain!r}; wanted one of the domains {', '.join(spec.domains)}"
            )
        self.likelihood = likelihood.Likelihood(self)
        logits = config.likelihood == "bernoulli"
        outputs = 2 * config.latent + len(spec.domains)
        self.encoder, self.decoder = encoding.build_encoder_decoder(self, outputs=outputs, logits=logits)
        self.optimizer = self.build_optimizer(
            config.learning_rate, [self.encoder, self.decoder, *self.likelihood.networks()]
        )

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of Adam.

        1. Encode x to logits and q(z|x), sample z by reparameterisation, decode it.
        2. Update all networks by the gradient of the cross entropy, and for examples of the encoded domain of
           ``-log p(x|z) + KL`` as well.
        """
        keys = {"classification": "classification", "reconstruction": "reconstruction", "kl": "beta"}
        with tf.GradientTape() as tape:
            values = self._values(lambda network: network, batch, global_batch_size)
            weights = {n: schedules.at_step(getattr(self.config, keys[n]), batch["step"][0]) for n in values}
            total = reduction.total(values, weights)
        self.optimizer.minimize(tape, total)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged networks."""
        return self._values(self.optimizer.averaged, batch, global_batch_size)

    def _values(self, averaged, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """This replica's part of the losses whose weight is not zero.

        `averaged` maps each network to the one to compute with.
        """
        c, x = self.config, batch["x"]
        encoded = averaged(self.encoder)(self.normalize(x, self.spec.overall))
        mu, log_var, logits = tf.split(encoded, [c.latent, c.latent, len(self.spec.domains)], axis=-1)
        terms = {}
        if not schedules.is_zero(c.classification):
            terms["classification"] = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["domain"], logits)
        in_encoded_domain = tf.ones_like(logits[:, 0])
        if c.encoded_domain:
            in_encoded_domain = tf.cast(batch["domain"] == self.spec.domains.index(c.encoded_domain), tf.float32)
        if not schedules.is_zero(c.reconstruction):
            rng = self.rng(batch, global_batch_size).stream("posterior")
            z = variational.reparameterize(mu, log_var, rng.normal(c.latent))
            terms["reconstruction"] = in_encoded_domain * self._reconstruction(averaged, x, z)
        if not schedules.is_zero(c.beta):
            terms["kl"] = in_encoded_domain * variational.kl_to_prior(mu, log_var)
        return {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}

    def _reconstruction(self, averaged, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """``-log p(x|z)`` in nats a feature, `[batch]`."""
        target, log_sigma = self.likelihood.target(x), self.likelihood.log_sigma
        log_sigma = averaged(log_sigma)(z) if log_sigma is not None else None
        nats = self.likelihood.negative_log(target, averaged(self.decoder)(z), log_sigma)
        return nats / tf.cast(tf.size(target[0]), tf.float32)

    def signatures(self) -> dict:
        """The signatures of `vae`, and `classify`, which returns the logits of the domains."""
        encoder, decoder = (self.optimizer.averaged(network) for network in (self.encoder, self.decoder))
        sizes = [self.config.latent, self.config.latent, len(self.spec.domains)]

        def encoded(features):
            return tf.split(encoder(self.normalize(features, self.spec.overall)), sizes, axis=-1)

        averaged = self.optimizer.averaged
        others = {
            "log_variance": lambda x: encoded(x)[1],
            "negative_elbo": lambda x: self.likelihood.negative_elbo(x, *encoded(x)[:2], decoder, averaged),
            "classify": lambda x: encoded(x)[2],
        }

        def decode(code):
            return self.likelihood.features(decoder(code))

        return encoding.signatures(self, lambda x: encoded(x)[0], decode, samples=True, others=others)
