"""Generative adversarial networks from noise: DCGAN (arXiv:1511.06434) and WGAN-GP (arXiv:1704.00028).

One update rule; the two differ in their losses, penalties and Adams, which are configuration. Neither
has batch normalisation: what a player makes of an example must not depend on how replicas share a batch.
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
    adversary: adversarial.Losses = "non_saturating"
    rate_d: float = 2e-4
    pool_size: int = 0

    def __post_init__(self):
        super().__post_init__()
        base.at_least(self, latent=1, channels=1)
        if self.crop_frames % 4:
            raise UserError(f"crop_frames={self.crop_frames}; the generator wants a multiple of 4")


SMALL = {"channels": 16, "critic_channels": 32, "batch_size": 32, "ema": 0.99}  # of pictures


class DCGAN(base.Plugin):
    """A convolutional generator of noise and its discriminator."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"critic_channels": 64},
            "image": {**SMALL, "steps": 6000, "rate_g": 5e-4, "rate_d": 5e-4, "r1": 1.0},
        },
        "full": {"audio": {"steps": 100000, "channels": 256}, "image": {"steps": 100000}},
    }

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c, critic = config, {"channels": config.critic_channels, "spectral_norm": config.spectral_norm}
        critic["offset"] = c.adversary != "wgan"  # whose losses are of differences
        if spec.kind == "image":
            self.generator = images.image_generator(spec.features, channels=c.channels, latent=c.latent)
            judge = images.image_discriminator(spec.features, **critic)
        else:
            size = {"frames": c.crop_frames, "channels": c.channels, "latent": c.latent}
            self.generator = mels.mel_decoder(spec.bins, **size)
            judge = mels.mel_discriminator(spec.bins, **critic)
        self.mover = adversarial.generator_player(self, [self.generator])
        self.adversary = adversarial.adversary_of(self, judge, "discriminator", spec.feature_shape(c.crop_frames))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of both players (Algorithm 1 of arXiv:1406.2661 and of arXiv:1704.00028).

        1. Draw noise and make fakes of it.
        2. If it is its turn, move the generator towards fakes that the discriminator takes for reals.
        3. Move the discriminator towards telling them apart.
        """
        draws = self.draws(batch, global_batch_size)
        with tf.GradientTape() as tape:
            fake = self.generator(draws.normal(0, self.config.latent))
            loss = reduction.batch_mean(self.adversary.generator_loss(fake, draws, 1), global_batch_size)
        self.mover.minimise(tape, loss)
        real, step = self.normalise(batch["x"], self.spec.overall), batch["step"][0]
        return {"adversarial": loss, **self.adversary.train(real, fake, draws, 20, step=step)}

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step`, of the averaged generator, and no update."""
        draws = self.draws(batch, global_batch_size)
        fake = self.mover.averaged(self.generator)(draws.normal(0, self.config.latent))
        loss = reduction.batch_mean(self.adversary.generator_loss(fake, draws, 1), global_batch_size)
        real = self.normalise(batch["x"], self.spec.overall)
        return {"adversarial": loss, **self.adversary.losses(real, fake, draws, 20)}

    def signatures(self) -> dict:
        """`sample`: pictures, or windows of speech, from noise."""
        generator = self.mover.averaged(self.generator)
        return {
            "sample": encoding.sampler(lambda z: self.denormalise(generator(z), self.spec.overall), self.config.latent)
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class WGANConfig(Config):
    """Keys of `wgan_gp`."""

    adversary: adversarial.Losses = "wgan"
    gradient_penalty: float = 10.0
    critics: int = 5
    rate_g: float = 1e-4
    rate_d: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9


class WGANGP(DCGAN):
    """The critic estimates the Wasserstein distance, held to slope 1 between reals and fakes."""

    Config = WGANConfig
    PRESETS = {
        "small": {
            "audio": {"critic_channels": 64},
            "image": {**SMALL, "steps": 6000, "critics": 3, "rate_g": 5e-4, "rate_d": 5e-4},
        },
        "full": DCGAN.PRESETS["full"],
    }
