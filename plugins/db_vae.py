"""DB-VAE: a classifier whose encoder also codes, so that what is rare can be found (Amini et al. 2019).

One encoder gives the logits of the domains and q(z|x); examples of the domain that is coded are
reconstructed too. The codes say which training examples are rare; drawing those more often is left to
whoever makes the batches.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models import losses, schedules, variational
from models.errors import UserError
from plugins import base, coding, likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(likelihood.Config):
    """Keys of `db_vae`. A weight is a number, or points ``[[step, weight], ...]``.

    Attributes:
      coded: the domain whose examples are coded and reconstructed; the examples of every domain if not given.
      classification: weight of the cross entropy of the domains.
      reconstruction: weight of -log p(x|z), in nats a feature.
      beta: weight of KL(q(z|x) || p(z)), in nats an example.
    """

    coded: str = ""
    classification: schedules.Schedule = 1.0
    reconstruction: schedules.Schedule = 1.0
    beta: schedules.Schedule = 5e-4


class DBVAE(base.Plugin):
    """Minimises ``classification + 1[coded] (reconstruction + KL)`` (Eq. 4 of the paper)."""

    Config = Config
    PRESETS = coding.PRESETS
    MONITOR = "reconstruction"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        if config.coded and config.coded not in spec.domains:
            raise UserError(f"coded={config.coded!r}; wanted one of the domains {', '.join(spec.domains)}")
        self.likelihood = likelihood.Likelihood(self)
        logits = config.likelihood == "bernoulli"
        outputs = 2 * config.latent + len(spec.domains)
        self.encoder, self.decoder = coding.coders(self, outputs=outputs, logits=logits)
        self.mover = self.player(config.rate, [self.encoder, self.decoder, *self.likelihood.networks()])

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of Adam.

        1. Encode x to logits and q(z|x), draw z by reparameterisation, decode it.
        2. Move all networks down the gradient of the cross entropy, and for coded examples of
           ``-log p(x|z) + KL`` as well.
        """
        weights = {"classification": "classification", "reconstruction": "reconstruction", "kl": "beta"}
        with tf.GradientTape() as tape:
            values = self._values(lambda network: network, batch, global_batch_size)
            weighed = {n: schedules.at_step(getattr(self.config, weights[n]), batch["step"][0]) for n in values}
            total = losses.total(values, weighed)
        self.mover.minimise(tape, total)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, by the averaged networks."""
        return self._values(self.mover.averaged, batch, global_batch_size)

    def _values(self, chosen, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """This replica's part of the terms whose weight is not zero."""
        c, x = self.config, batch["x"]
        encoded = chosen(self.encoder)(self.normalise(x, self.spec.overall))
        mu, log_var, logits = tf.split(encoded, [c.latent, c.latent, len(self.spec.domains)], axis=-1)
        terms = {}
        if not schedules.is_zero(c.classification):
            terms["classification"] = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["domain"], logits)
        coded = tf.ones_like(logits[:, 0])
        if c.coded:
            coded = tf.cast(batch["domain"] == self.spec.domains.index(c.coded), tf.float32)
        if not schedules.is_zero(c.reconstruction):
            z = variational.reparameterize(mu, log_var, self.draws(batch, global_batch_size).normal(1, c.latent))
            terms["reconstruction"] = coded * self._reconstruction(chosen, x, z)
        if not schedules.is_zero(c.beta):
            terms["kl"] = coded * variational.kl_to_prior(mu, log_var)
        return {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}

    def _reconstruction(self, chosen, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """``-log p(x|z)`` in nats a feature, `[batch]`."""
        deviation, target = self.likelihood.deviation, self.likelihood.target(x)
        log_sigma = chosen(deviation)(z) if deviation is not None else None
        nats = self.likelihood.negative_log(target, chosen(self.decoder)(z), log_sigma)
        return nats / tf.cast(tf.size(target[0]), tf.float32)

    def signatures(self) -> dict:
        """Those of `vae`, and `classify`: to the logits of the domains."""
        encoder, decoder = (self.mover.averaged(network) for network in (self.encoder, self.decoder))
        sizes = [self.config.latent, self.config.latent, len(self.spec.domains)]

        def encoded(features):
            return tf.split(encoder(self.normalise(features, self.spec.overall)), sizes, axis=-1)

        averaged, likely = self.mover.averaged, self.likelihood
        others = {
            "log_variance": lambda x: encoded(x)[1],
            "negative_elbo": lambda x: likely.negative_elbo(x, *encoded(x)[:2], decoder, averaged),
            "classify": lambda x: encoded(x)[2],
        }

        def decode(code):
            return likely.features(decoder(code))

        return coding.signatures(self, lambda x: encoded(x)[0], decode, samples=True, others=others)
