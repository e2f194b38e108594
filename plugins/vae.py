"""Variational autoencoders: VAE (arXiv:1312.6114), beta-VAE with capacity (arXiv:1804.03599), beta-TCVAE.

q(z|x) is the encoder's Gaussian, p(z) the standard normal distribution, p(x|z) a likelihood parametrised by the
decoder's output. One update rule; the models differ in the divergences that they weight against -log p(x|z).
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models import replicas, schedules
from models.config_fields import option
from models.errors import UserError
from models.losses import reduction, variational
from plugins import base, encoding, likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(likelihood.Config):
    """Keys of `vae`. A weight is a number, or points ``[[step, weight], ...]`` between which it is linear."""

    beta: schedules.Schedule = option(1.0, "weight of KL(q(z|x) || p(z))")


class VAE(base.Plugin):
    """VAE: minimises ``-log p(x|z) + KL(q(z|x) || p(z))``, the negative ELBO."""

    Config = Config
    PRESETS = encoding.PRESETS
    MONITOR = "negative_elbo"
    WEIGHT_KEYS = {"kl": "beta"}  # name of a divergence to the configuration key of its weight

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        self.likelihood = likelihood.Likelihood(self)
        logits = config.likelihood == "bernoulli"
        self.encoder, self.decoder = encoding.build_encoder_decoder(self, outputs=2 * config.latent, logits=logits)
        self.optimizer = self.build_optimizer(
            config.learning_rate, [self.encoder, self.decoder, *self.likelihood.networks()]
        )

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of Adam (Algorithm 1 of arXiv:1312.6114, one sample of z for each example).

        1. Encode x to q(z|x), sample z by reparameterisation (Eq. 4), decode it.
        2. Update all networks by the gradient of ``-log p(x|z) + sum of weight * divergence`` (Eq. 10).
        """
        with tf.GradientTape() as tape:
            values = self._values(lambda network: network, batch, global_batch_size)
            total = values["reconstruction"] + self._penalty(values, batch["step"][0])
        self.optimizer.minimize(tape, total)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged networks."""
        return self._values(self.optimizer.averaged, batch, global_batch_size)

    def _values(self, averaged, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """This replica's part of the losses and of the negative ELBO, in nats an example.

        `averaged` maps each network to the one to compute with.
        """
        x, rng = batch["x"], self.rng(batch, global_batch_size).stream("posterior")
        encoded = averaged(self.encoder)(self.normalize(x, self.spec.overall))
        mu, log_var = tf.split(encoded, 2, axis=-1)
        z = variational.reparameterize(mu, log_var, rng.normal(self.config.latent))
        log_sigma = self.likelihood.log_sigma
        log_sigma = averaged(log_sigma)(z) if log_sigma is not None else None
        decoded = averaged(self.decoder)(z)
        terms = {"reconstruction": self.likelihood.negative_log(self.likelihood.target(x), decoded, log_sigma)}
        if not all(schedules.is_zero(getattr(self.config, key)) for key in self.WEIGHT_KEYS.values()):
            terms |= self._divergences(z, mu, log_var, batch["index"])
            terms["negative_elbo"] = tf.add_n(list(terms.values()))
        return {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}

    def _divergences(self, z, mu, log_var, index) -> dict[str, tf.Tensor]:
        """Divergences `[batch]` by name, whose sum is KL(q(z|x) || p(z))."""
        return {"kl": variational.kl_to_prior(mu, log_var)}

    def _penalty(self, values: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor | float:
        """The weighted sum of the divergences."""
        weights = {name: getattr(self.config, key) for name, key in self.WEIGHT_KEYS.items()}
        return sum(schedules.at_step(w, step) * values[name] for name, w in weights.items() if name in values)

    def signatures(self) -> dict:
        """`encode` (to the mean of q(z|x)), `decode`, `reconstruct`, `sample`, `log_variance`, `negative_elbo`."""
        encoder, decoder = (self.optimizer.averaged(network) for network in (self.encoder, self.decoder))

        def posterior(features):
            return tf.split(encoder(self.normalize(features, self.spec.overall)), 2, axis=-1)

        others = {
            "log_variance": lambda x: posterior(x)[1],
            "negative_elbo": lambda x: self.likelihood.negative_elbo(
                x, *posterior(x), decoder, self.optimizer.averaged
            ),
        }

        def decode(code):
            return self.likelihood.features(decoder(code))

        return encoding.signatures(self, lambda x: posterior(x)[0], decode, samples=True, others=others)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BetaConfig(Config):
    """Keys of `beta_vae`."""

    beta: schedules.Schedule = 4.0
    capacity: float = option(0.0, "target of KL(q(z|x) || p(z)) in nats (Eq. 8 of arXiv:1804.03599); 0 for no target")
    capacity_steps: int = option(1000, "steps of the linear rise of the capacity from zero")

    def __post_init__(self):
        super().__post_init__()
        if self.capacity < 0 or self.capacity_steps < 1:
            values = f"capacity={self.capacity}, capacity_steps={self.capacity_steps}"
            raise UserError(f"{values}; wanted 0 or more nats, 1 or more steps")


class BetaVAE(VAE):
    """Beta-VAE: a larger weight of the KL term, or a capacity: ``beta |KL - C|`` (Eq. 8 of arXiv:1804.03599)."""

    Config = BetaConfig

    def _penalty(self, values: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor | float:
        c = self.config
        if not c.capacity or "kl" not in values:
            return super()._penalty(values, step)
        capacity = c.capacity * tf.minimum(1.0, tf.cast(step, tf.float32) / c.capacity_steps)
        global_kl = replicas.all_reduce_sum(tf.stop_gradient(values["kl"]))
        sign = tf.where(global_kl >= capacity, 1.0, -1.0)  # derivative of |KL - C| for the global batch
        return sign * super()._penalty(values, step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TCConfig(likelihood.Config):
    """Keys of `beta_tcvae`; all ones are the VAE."""

    batch_size: int = 64
    alpha: schedules.Schedule = option(1.0, "weight of the mutual information between codes and examples")
    beta: schedules.Schedule = option(6.0, "weight of the total correlation between latent dimensions")
    gamma: schedules.Schedule = option(1.0, "weight of the dimension-wise KL divergence from the prior")


class BetaTCVAE(VAE):
    """Beta-TCVAE: decomposes the KL term and weights the total correlation (Eq. 4 of arXiv:1802.04942)."""

    Config = TCConfig
    WEIGHT_KEYS = {"mutual_information": "alpha", "total_correlation": "beta", "dimension_wise_kl": "gamma"}

    def _divergences(self, z, mu, log_var, index) -> dict[str, tf.Tensor]:
        global_posteriors = replicas.all_gather(mu, index), replicas.all_gather(log_var, index)
        return variational.decompose_kl(z, mu, log_var, global_posteriors)
