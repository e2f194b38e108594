"""Configuration keys of all adversarial plugins, and the optimizers and discriminators that they describe."""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras

from models import discriminator, image_pool, schedules
from models.discriminator import Discriminator
from models.optimizer import Optimizer
from plugins import base

AdversarialLoss = Literal["lsgan", "hinge", "non_saturating", "wgan"]  # the names of `losses.ADVERSARIES`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys that adversarial plugins share.

    Attributes:
      critic_channels: width of the discriminators.
      rate_g: learning rate of the generators.
      rate_d: learning rate of the discriminators.
      beta1: decay of the first moment of every player's Adam.
      beta2: decay of the second.
      critics: steps of the discriminators for each of the generators' (n_critic of arXiv:1701.07875).
      adversary: which losses the players minimise.
      r1: weight of the squared slope of the discriminators on real examples (arXiv:1801.04406).
      r1_every: steps between those that pay for r1.
      gradient_penalty: weight of the penalty of arXiv:1704.00028 between reals and fakes.
      spectral_norm: whether the discriminators' kernels are divided by their largest singular value.
      pool_size: fakes that the discriminators are shown again; 0 for none.
      augment: whether discriminators see all through DiffAugment (pictures) or SpecAugment's masks (speech).
    """

    critic_channels: int = 64
    rate_g: float = 2e-4
    rate_d: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    critics: int = 1
    adversary: AdversarialLoss = "lsgan"
    r1: float = 0.0
    r1_every: int = 16
    gradient_penalty: float = 0.0
    spectral_norm: bool = False
    pool_size: int = 50
    augment: bool = False

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, critic_channels=1, critics=1, r1_every=1, pool_size=0)
        base.require_at_least(self, rate_g=0, rate_d=0, r1=0, gradient_penalty=0)
        base.require_at_least(self, below=1, beta1=0, beta2=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslatorConfig(Config):
    """Keys that plugins share whose generators are residual networks, over linear transport for speech.

    Attributes:
      channels: width of a generator.
      blocks: residual blocks of a generator.
      kernel: frames that a gated convolution of the speech generator sees.
      generator_halvings: stride-2 convolutions of the picture generator; 2 in the papers; 1 keeps small things.
      halvings: stride-2 convolutions of the picture discriminator: 3 judge 70 x 70 pixels.
      effort: speech: weight of what a generator adds to linear transport.
      transport: speech: begin at linear optimal transport between the domains, not at the identity.
    """

    channels: int = 128
    blocks: int = 3
    kernel: int = 5
    generator_halvings: int = 2
    halvings: int = 3
    effort: schedules.Schedule = 10.0
    transport: bool = True

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, below=3, generator_halvings=1)  # sizes of pictures are multiples of 4


def discriminator_config(config: Config) -> discriminator.DiscriminatorConfig:
    """The discriminators' configuration as the plugin's describes it."""
    return discriminator.DiscriminatorConfig(
        loss=config.adversary,
        r1=config.r1,
        r1_interval=config.r1_every,
        gradient_penalty=config.gradient_penalty,
        augment=config.augment,
    )


def generator_optimizer(plugin: base.Plugin, networks: list[keras.Model]) -> Optimizer:
    """The optimizer of the generators, by the plugin's configuration."""
    c = plugin.config
    return plugin.build_optimizer(c.rate_g, networks, betas=(c.beta1, c.beta2), update_interval=c.critics)


def build_discriminator(plugin: base.Plugin, network: keras.Model, name: str, shape: tuple[int, ...]) -> Discriminator:
    """A discriminator with its optimizer and image pool, by the plugin's configuration.

    Args:
      plugin: the plugin.
      network: the discriminator's network.
      name: prefix of its metrics and of its random streams.
      shape: of one example, for the image pool.
    """
    c = plugin.config
    pool = image_pool.ImagePool(c.pool_size, shape, f"{name}_pool") if c.pool_size else None
    optimizer = plugin.build_optimizer(c.rate_d, [network], averaged=False, betas=(c.beta1, c.beta2))
    return Discriminator(network, optimizer, config=discriminator_config(c), name=name, pool=pool)
