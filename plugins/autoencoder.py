"""The autoencoder: compression to a latent vector and reconstruction (Hinton & Salakhutdinov 2006)."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models.losses import reconstruction, reduction
from plugins import base, encoding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(encoding.Config):
    """Keys of `ae`."""


class Autoencoder(base.Plugin):
    """Minimises ``||x - decode(encode(x))||^2`` over the examples of all domains."""

    Config = Config
    PRESETS = encoding.PRESETS
    MONITOR = "reconstruction"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        self.encoder, self.decoder = encoding.build_encoder_decoder(self, outputs=config.latent)
        self.optimizer = self.build_optimizer(config.learning_rate, [self.encoder, self.decoder])

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of Adam.

        1. Encode and decode the batch.
        2. Update both networks by the gradient of the squared error.
        """
        with tf.GradientTape() as tape:
            values = self._losses(self.encoder, self.decoder, batch, global_batch_size)
        self.optimizer.minimize(tape, values["reconstruction"])
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The mean squared error of normalised features with the averaged networks."""
        encoder, decoder = (self.optimizer.averaged(network) for network in (self.encoder, self.decoder))
        return self._losses(encoder, decoder, batch, global_batch_size)

    def _losses(self, encoder, decoder, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        x = self.normalize(batch["x"], self.spec.overall)
        return {"reconstruction": reduction.batch_mean(reconstruction.l2(x, decoder(encoder(x))), global_batch_size)}

    def signatures(self) -> dict:
        """`encode`, `decode` and `reconstruct`."""
        encoder, decoder = (self.optimizer.averaged(network) for network in (self.encoder, self.decoder))

        def encode(features):
            return encoder(self.normalize(features, self.spec.overall))

        def decode(code):
            return self.denormalize(decoder(code), self.spec.overall)

        return encoding.signatures(self, encode, decode)
