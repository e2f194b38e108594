"""Configuration keys of all adversarial plugins, and the optimizers and discriminators that they describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import keras

from models import discriminator, image_pool, schedules
from models.config_fields import option
from models.discriminator import Discriminator
from models.errors import UserError
from models.networks import images, mels, projected_discriminator
from models.optimizer import Optimizer
from plugins import base

AdversarialLoss = Literal["lsgan", "hinge", "non_saturating", "wgan"]  # keys of `ADVERSARIAL_LOSSES`
DiscriminatorFeatures = Literal["none", "efficientnet_lite0"]
R1_HELP = "weight of the R1 penalty: squared gradient of the discriminators on real examples (arXiv:1801.04406)"
GRADIENT_PENALTY_HELP = "weight of the gradient penalty between real and generated examples (arXiv:1704.00028)"
WITHOUT_FEATURES = "for discriminator_features=none only"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys that adversarial plugins share."""

    discriminator_channels: int = option(64, "base number of channels of the discriminators")
    learning_rate_g: float = option(2e-4, "learning rate of the generators")
    learning_rate_d: float = option(1e-4, "learning rate of the discriminators")
    beta1: float = option(0.5, "Adam's decay of the first moment, in all optimisers")
    beta2: float = option(0.999, "Adam's decay of the second moment, in all optimisers")
    n_critic: int = option(1, "discriminator steps for each generator step (n_critic of arXiv:1701.07875)")
    adversarial_loss: AdversarialLoss = option("lsgan", "adversarial loss")
    r1: float = option(0.0, R1_HELP)
    r1_interval: int = option(16, "interval in steps between R1 penalties")
    gradient_penalty: float = option(0.0, GRADIENT_PENALTY_HELP)
    spectral_norm: bool = option(False, "whether the discriminators use spectral normalisation")
    pool_size: int = option(
        50, "generated examples in the image pool from which the discriminators are also trained; 0 for no pool"
    )
    augment: bool = option(
        False, "whether the discriminators' inputs are augmented: DiffAugment for images, SpecAugment masks for speech"
    )
    RENAMED: ClassVar[Mapping[str, str]] = {
        "critic_channels": "discriminator_channels",
        "rate_g": "learning_rate_g",
        "rate_d": "learning_rate_d",
        "critics": "n_critic",
        "adversary": "adversarial_loss",
        "r1_every": "r1_interval",
    }

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, discriminator_channels=1, n_critic=1, r1_interval=1, pool_size=0)
        base.require_at_least(self, learning_rate_g=0, learning_rate_d=0, r1=0, gradient_penalty=0)
        base.require_at_least(self, below=1, beta1=0, beta2=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslatorConfig(Config):
    """Keys that plugins share whose generators are residual networks, over linear transport for speech."""

    channels: int = option(128, "base number of channels of a generator")
    blocks: int = option(3, "residual blocks of a generator")
    kernel: int = option(5, "speech: kernel size in frames of the generator's gated convolutions")
    generator_num_downsamples: int = option(
        2, "images: stride-2 convolutions of the generator; 2 as in the papers, 1 keeps small structures"
    )
    generator_skip: bool = option(
        False,
        "images: whether the generator's output is added to its input, so that it starts near the identity",
    )
    discriminator_num_downsamples: int = option(
        3, "images: stride-2 convolutions of the discriminator; 3 give a receptive field of 70 x 70 pixels"
    )
    residual_weight: schedules.Schedule = option(
        10.0, "speech: weight of the L1 penalty on the generator's residual over linear transport"
    )
    transport: bool = option(
        True, "speech: whether the generator starts at linear optimal transport between the domains, not the identity"
    )
    RENAMED: ClassVar[Mapping[str, str]] = {
        "generator_halvings": "generator_num_downsamples",
        "halvings": "discriminator_num_downsamples",
        "effort": "residual_weight",
    }

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, channels=1, blocks=0, kernel=1, discriminator_num_downsamples=0)
        base.require_at_least(self, below=3, generator_num_downsamples=1)  # sizes of images are multiples of 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairTranslatorConfig(TranslatorConfig):
    """Keys that plugins share which have one discriminator for each target domain."""

    r1: float = option(0.0, f"{R1_HELP}; {WITHOUT_FEATURES}")
    gradient_penalty: float = option(0.0, f"{GRADIENT_PENALTY_HELP}; {WITHOUT_FEATURES}")
    discriminator_features: DiscriminatorFeatures = option(
        "none",
        "images: pretrained network on whose features the discriminators work (projected GAN, arXiv:2111.01007); "
        "needs its package, and r1 and gradient_penalty have to be 0",
    )
    discriminator_input_size: int = option(
        128, "images: pixels of the longer side to which smaller images are enlarged for the pretrained network"
    )

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, discriminator_input_size=32)
        penalties = [f"{name}={getattr(self, name)}" for name in ("r1", "gradient_penalty") if getattr(self, name)]
        if penalties and self.discriminator_features != "none":
            conflict = f"{' and '.join(penalties)} with discriminator_features={self.discriminator_features}"
            raise UserError(f"{conflict}; wanted r1=0 and gradient_penalty=0, or discriminator_features=none")


PHOTOGRAPHS = {  # changes of the defaults for small photographs
    "generator_skip": True,
    "generator_num_downsamples": 1,
    "channels": 24,
    "blocks": 3,
    "ema": 0.99,
    "pool_size": 0,
    "augment": True,
    "adversarial_loss": "hinge",
    "discriminator_features": "efficientnet_lite0",
    "learning_rate_g": 8e-4,
    "learning_rate_d": 2e-4,
}


MEDIUM_PHOTOGRAPHS = {  # about an hour of a GPU with 128 x 128 pixels, by calculation
    **PHOTOGRAPHS,
    "generator_num_downsamples": 2,
    "channels": 64,
    "blocks": 6,
    "batch_size": 8,
    "ema": 0.999,
    "discriminator_input_size": 224,
    "learning_rate_g": 4e-4,
}


def discriminator_network(config: PairTranslatorConfig, spec: base.Spec) -> keras.Model:
    """A discriminator of speech or images, by the plugin's configuration."""
    c, sizes = config, {"channels": config.discriminator_channels}
    if spec.kind == "audio":
        return mels.mel_discriminator(spec.bins, spectral_norm=c.spectral_norm, **sizes)
    if c.discriminator_features != "none":
        size = c.discriminator_input_size
        return projected_discriminator.projected_discriminator(spec.features, size=size, **sizes)
    num_downsamples = c.discriminator_num_downsamples
    sizes |= {"num_downsamples": num_downsamples, "spectral_norm": c.spectral_norm}
    return images.patch_discriminator(spec.features, **sizes)


def discriminator_config(config: Config, parts: int = 1) -> discriminator.DiscriminatorConfig:
    """The discriminators' configuration as the plugin's describes it; `parts` as of :func:`build_discriminator`."""
    return discriminator.DiscriminatorConfig(
        loss=config.adversarial_loss,
        r1=config.r1,
        r1_interval=config.r1_interval,
        gradient_penalty=config.gradient_penalty,
        augment=config.augment,
        parts=parts,
    )


def generator_optimizer(plugin: base.Plugin, networks: list[keras.Model]) -> Optimizer:
    """The optimizer of the generators, by the plugin's configuration."""
    c = plugin.config
    return plugin.build_optimizer(c.learning_rate_g, networks, betas=(c.beta1, c.beta2), update_interval=c.n_critic)


def build_discriminator(
    plugin: base.Plugin, network: keras.Model, name: str, shape: tuple[int, ...], *, parts: int = 1
) -> Discriminator:
    """A discriminator with its optimizer and image pool, by the plugin's configuration.

    Args:
      plugin: the plugin.
      network: the discriminator's network.
      name: prefix of its metrics and of its random streams.
      shape: of one example, for the image pool.
      parts: images or spectrograms of which an example consists, one after the other in its last axis.
    """
    c = plugin.config
    pool = image_pool.ImagePool(c.pool_size, shape, f"{name}_pool") if c.pool_size else None
    optimizer = plugin.build_optimizer(c.learning_rate_d, [network], averaged=False, betas=(c.beta1, c.beta2))
    return Discriminator(network, optimizer, config=discriminator_config(c, parts), name=name, pool=pool)
