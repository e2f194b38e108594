"""Generative adversarial networks from noise: DCGAN (arXiv:1511.06434) and WGAN-GP (arXiv:1704.00028).

One update rule; the two differ in their losses, penalties and optimizers, which are configuration. Neither has batch
normalisation: the result for an example must not depend on how replicas share a batch.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models.config_fields import option
from models.errors import UserError
from models.losses import reduction
from models.networks import images, mels
from plugins import adversarial, base, encoding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `dcgan`."""

    batch_size: int = 64
    latent: int = option(64, "latent dimensions of one image, or of one window of crop_frames frames of speech")
    channels: int = option(64, "base number of channels of the generator")
    adversarial_loss: adversarial.AdversarialLoss = "non_saturating"
    learning_rate_d: float = 2e-4
    pool_size: int = 0

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, latent=1, channels=1)
        if self.crop_frames % 4:
            raise UserError(f"crop_frames={self.crop_frames}; the generator wants a multiple of 4")


SMALL = {"channels": 16, "discriminator_channels": 32, "batch_size": 32, "ema": 0.99}  # of images


class DCGAN(base.Plugin):
    """DCGAN: a convolutional generator from noise, and a discriminator (arXiv:1511.06434)."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"discriminator_channels": 64},
            "image": {**SMALL, "steps": 6000, "learning_rate_g": 5e-4, "learning_rate_d": 5e-4, "r1": 1.0},
        },
        "full": {"audio": {"steps": 100000, "channels": 256}, "image": {"steps": 100000}},
    }

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c, sizes = config, {"channels": config.discriminator_channels, "spectral_norm": config.spectral_norm}
        sizes["offset"] = c.adversarial_loss != "wgan"  # Wasserstein losses depend on differences only
        if spec.kind == "image":
            self.generator = images.image_generator(spec.features, channels=c.channels, latent=c.latent)
            network = images.image_discriminator(spec.features, **sizes)
        else:
            size = {"frames": c.crop_frames, "channels": c.channels, "latent": c.latent}
            self.generator = mels.mel_decoder(spec.bins, **size)
            network = mels.mel_discriminator(spec.bins, **sizes)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator])
        self.discriminator = adversarial.build_discriminator(
            self, network, "discriminator", spec.feature_shape(c.crop_frames)
        )

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step (Algorithm 1 of arXiv:1406.2661 and of arXiv:1704.00028).

        1. Generate examples from noise.
        2. Every `n_critic` steps, update the generator by the gradient of its adversarial loss.
        3. Update the discriminator on real and generated examples.
        """
        rng = self.rng(batch, global_batch_size)
        with tf.GradientTape() as tape:
            fake = self.generator(rng.stream("noise").normal(self.config.latent))
            loss = reduction.batch_mean(self.discriminator.generator_loss(fake, rng), global_batch_size)
        self.generator_optimizer.minimize(tape, loss)
        real, step = self.normalize(batch["x"], self.spec.overall), batch["step"][0]
        return {"adversarial": loss, **self.discriminator.train(real, fake, rng, step=step)}

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generator, without an update."""
        rng = self.rng(batch, global_batch_size)
        fake = self.generator_optimizer.averaged(self.generator)(rng.stream("noise").normal(self.config.latent))
        loss = reduction.batch_mean(self.discriminator.generator_loss(fake, rng), global_batch_size)
        real = self.normalize(batch["x"], self.spec.overall)
        return {"adversarial": loss, **self.discriminator.losses(real, fake, rng)}

    def signatures(self) -> dict:
        """`sample`: images, or windows of log-mels, from noise."""
        generator = self.generator_optimizer.averaged(self.generator)
        return {
            "sample": encoding.sample_signature(
                lambda z: self.denormalize(generator(z), self.spec.overall), self.config.latent
            )
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class WGANConfig(Config):
    """Keys of `wgan_gp`."""

    adversarial_loss: adversarial.AdversarialLoss = "wgan"
    gradient_penalty: float = 10.0
    n_critic: int = 5
    learning_rate_g: float = 1e-4
    learning_rate_d: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9


class WGANGP(DCGAN):
    """WGAN-GP: a critic of the Wasserstein distance, whose gradient norm is held near 1 by a penalty."""

    Config = WGANConfig
    PRESETS = {
        "small": {
            "audio": {"discriminator_channels": 64},
            "image": {**SMALL, "steps": 6000, "n_critic": 3, "learning_rate_g": 5e-4, "learning_rate_d": 5e-4},
        },
        "full": DCGAN.PRESETS["full"],
    }
