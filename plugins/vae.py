"""Variational autoencoders: VAE (arXiv:1312.6114), beta-VAE with capacity (arXiv:1804.03599), beta-TCVAE.

q(z|x) is the encoder's Gaussian, p(z) the standard normal distribution, p(x|z) a likelihood of the decoder's
output. One update rule; the family differs in the divergences that it weighs against -log p(x|z).
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models import losses, replicas, schedules, variational
from models.errors import UserError
from plugins import base, coding, likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(likelihood.Config):
    """Keys of `vae`. A weight is a number, or points ``[[step, weight], ...]`` between which it is linear.

    Attributes:
      beta: weight of KL(q(z|x) || p(z)).
    """

    beta: schedules.Schedule = 1.0


class VAE(base.Plugin):
    """The variational autoencoder: minimises ``-log p(x|z) + KL(q(z|x) || p(z))``, the negative ELBO."""

    Config = Config
    PRESETS = coding.PRESETS
    MONITOR = "negative_elbo"
    WEIGHTS = {"kl": "beta"}  # divergence to the key of its weight

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        self.likelihood = likelihood.Likelihood(self)
        logits = config.likelihood == "bernoulli"
        self.encoder, self.decoder = coding.coders(self, outputs=2 * config.latent, logits=logits)
        self.mover = self.player(config.rate, [self.encoder, self.decoder, *self.likelihood.networks()])

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of Adam (Algorithm 1 of arXiv:1312.6114, one draw for each example).

        1. Encode x to q(z|x), draw z by reparameterisation, decode it.
        2. Move all networks down the gradient of ``-log p(x|z) + sum of weight * divergence``.
        """
        with tf.GradientTape() as tape:
            values = self._values(lambda network: network, batch, global_batch_size)
            total = values["reconstruction"] + self._penalty(values, batch["step"][0])
        self.mover.minimise(tape, total)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, by the averaged networks."""
        return self._values(self.mover.averaged, batch, global_batch_size)

    def _values(self, chosen, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """This replica's part of the terms, in nats for each example, and of the negative ELBO."""
        target, draws = self.likelihood.target(batch["x"]), self.draws(batch, global_batch_size)
        mu, log_var = tf.split(chosen(self.encoder)(self._seen(batch["x"])), 2, axis=-1)
        z = variational.reparameterize(mu, log_var, draws.normal(1, self.config.latent))
        deviation = self.likelihood.deviation
        log_sigma = chosen(deviation)(z) if deviation is not None else None
        terms = {"reconstruction": self.likelihood.negative_log(target, chosen(self.decoder)(z), log_sigma)}
        if not all(schedules.is_zero(getattr(self.config, key)) for key in self.WEIGHTS.values()):
            terms |= self._divergences(z, mu, log_var, batch["index"])
            terms["negative_elbo"] = tf.add_n(list(terms.values()))
        return {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}

    def _divergences(self, z, mu, log_var, index) -> dict[str, tf.Tensor]:
        """Divergences `[batch]` by name; together KL(q(z|x) || p(z))."""
        return {"kl": variational.kl_to_prior(mu, log_var)}

    def _penalty(self, values: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor | float:
        """The weighted sum of the divergences."""
        weighed = {name: getattr(self.config, key) for name, key in self.WEIGHTS.items()}
        return sum(schedules.at_step(w, step) * values[name] for name, w in weighed.items() if name in values)

    def _seen(self, features: tf.Tensor) -> tf.Tensor:
        """What the encoder sees of features."""
        return self.normalise(features, self.spec.overall)

    def signatures(self) -> dict:
        """`encode` (to the mean of q(z|x)), `decode`, `reconstruct`, `sample`, `log_variance`, `negative_elbo`."""
        encoder, decoder = (self.mover.averaged(network) for network in (self.encoder, self.decoder))

        def posterior(features):
            return tf.split(encoder(self._seen(features)), 2, axis=-1)

        others = {
            "log_variance": lambda x: posterior(x)[1],
            "negative_elbo": lambda x: self.likelihood.negative_elbo(x, *posterior(x), decoder, self.mover.averaged),
        }

        def decode(code):
            return self.likelihood.features(decoder(code))

        return coding.signatures(self, lambda x: posterior(x)[0], decode, samples=True, others=others)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BetaConfig(Config):
    """Keys of `beta_vae`.

    Attributes:
      capacity: nats that KL(q(z|x) || p(z)) is drawn to in the end (Eq. 8 of arXiv:1804.03599); 0 for down to none.
      capacity_steps: steps in which the capacity rises from zero.
    """

    beta: schedules.Schedule = 4.0
    capacity: float = 0.0
    capacity_steps: int = 1000

    def __post_init__(self):
        super().__post_init__()
        if self.capacity < 0 or self.capacity_steps < 1:
            given = f"capacity={self.capacity}, capacity_steps={self.capacity_steps}"
            raise UserError(f"{given}; wanted 0 or more nats, 1 or more steps")


class BetaVAE(VAE):
    """Weighs the divergence more than the likelihood, or holds it at a capacity: ``beta |KL - C|``."""

    Config = BetaConfig

    def _penalty(self, values: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor | float:
        c = self.config
        if not c.capacity or "kl" not in values:
            return super()._penalty(values, step)
        capacity = c.capacity * tf.minimum(1.0, tf.cast(step, tf.float32) / c.capacity_steps)
        everyones = replicas.summed(tf.stop_gradient(values["kl"]))
        side = tf.where(everyones >= capacity, 1.0, -1.0)  # the slope of |KL - C|, of the whole batch
        return side * super()._penalty(values, step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TCConfig(likelihood.Config):
    """Keys of `beta_tcvae`; all ones are the VAE.

    Attributes:
      alpha: weight of the mutual information between codes and examples.
      beta: weight of the total correlation of a code's dimensions.
      gamma: weight of the dimensions' divergence from the prior.
    """

    batch_size: int = 64
    alpha: schedules.Schedule = 1.0
    beta: schedules.Schedule = 6.0
    gamma: schedules.Schedule = 1.0


class BetaTCVAE(VAE):
    """Splits the divergence and weighs the dependence of a code's dimensions (Eq. 4 of arXiv:1802.04942)."""

    Config = TCConfig
    WEIGHTS = {"mutual_information": "alpha", "total_correlation": "beta", "dimension_wise_kl": "gamma"}

    def _divergences(self, z, mu, log_var, index) -> dict[str, tf.Tensor]:
        everyone = replicas.gathered(mu, index), replicas.gathered(log_var, index)
        return variational.decompose_kl(z, mu, log_var, everyone)
