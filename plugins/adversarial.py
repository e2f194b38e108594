"""The keys that every adversarial plugin has, and the adversary that they describe."""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras

from models import discriminator, layers, schedules
from models.discriminator import Adversary
from models.optimizer import Player
from plugins import base

Losses = Literal["lsgan", "hinge", "non_saturating", "wgan"]  # the names of `losses.ADVERSARIES`


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
    adversary: Losses = "lsgan"
    r1: float = 0.0
    r1_every: int = 16
    gradient_penalty: float = 0.0
    spectral_norm: bool = False
    pool_size: int = 50
    augment: bool = False

    def __post_init__(self):
        super().__post_init__()
        base.at_least(self, critic_channels=1, critics=1, r1_every=1, pool_size=0)
        base.at_least(self, rate_g=0, rate_d=0, r1=0, gradient_penalty=0)
        base.at_least(self, below=1, beta1=0, beta2=0)


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
        base.at_least(self, below=3, generator_halvings=1)  # sizes of pictures are multiples of 4


def rules(config: Config) -> discriminator.Rules:
    """The rules that a configuration asks for."""
    names = ("r1", "r1_every", "gradient_penalty", "augment")
    return discriminator.Rules(loss=config.adversary, **{name: getattr(config, name) for name in names})


def generator_player(plugin: base.Plugin, networks: list[keras.Model]) -> Player:
    """The player of the generators, by the plugin's configuration."""
    c = plugin.config
    return plugin.player(c.rate_g, networks, betas=(c.beta1, c.beta2), every=c.critics)


def adversary_of(plugin: base.Plugin, network: keras.Model, name: str, shape: tuple[int, ...]) -> Adversary:
    """An adversary by the plugin's configuration.

    Args:
      plugin: whose configuration and rate it follows.
      network: the discriminator.
      name: prefix of its metrics.
      shape: of one example, for the history of fakes.
    """
    c = plugin.config
    pool = layers.ImagePool(c.pool_size, shape, f"{name}_pool") if c.pool_size else None
    player = plugin.player(c.rate_d, [network], averaged=False, betas=(c.beta1, c.beta2))
    return Adversary(network, player, rules=rules(c), name=name, pool=pool)
