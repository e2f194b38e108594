"""pix2pix: translation learned from pairs, files of the same name in both domains (arXiv:1611.07004).

Images are translated by a U-Net, and the discriminator is given source and result together. For speech, pairs are
time-aligned recordings, such as the same take through two microphones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from models import schedules
from models.config_fields import option
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import images, mels
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `pix2pix`. A weight is a number, or points ``[[step, weight], ...]``."""

    adversarial_loss: adversarial.AdversarialLoss = "non_saturating"
    learning_rate_d: float = 2e-4
    pool_size: int = 0
    channels: int = option(64, "base number of channels of the generator")
    blocks: int = option(3, "speech: residual blocks of the generator")
    kernel: int = option(5, "speech: kernel size in frames of the generator's gated convolutions")
    discriminator_num_downsamples: int = option(3, "images: stride-2 convolutions of the discriminator")
    l1: schedules.Schedule = option(100.0, "weight of the L1 loss, |b - ab|")
    RENAMED: ClassVar[Mapping[str, str]] = {"halvings": "discriminator_num_downsamples"}

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, channels=1, blocks=0, kernel=1, discriminator_num_downsamples=0)


class Pix2Pix(base.Plugin):
    """A generator, and a discriminator of pairs."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"channels": 128, "l1": 10.0},
            "image": {"channels": 24, "discriminator_channels": 24, "discriminator_num_downsamples": 2},
        },
        "full": {
            "audio": {"steps": 200000, "channels": 256, "blocks": 6, "discriminator_channels": 384, "l1": 10.0},
            "image": {"steps": 200000, "batch_size": 1},
        },
    }
    BATCHES = "paired"
    MONITOR = "l1"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c = config
        self.a, self.b = (spec.moments[name] for name in spec.domains[:2])
        sizes_d = {"channels": c.discriminator_channels, "spectral_norm": c.spectral_norm}
        if spec.kind == "image":
            self.generator = images.unet_generator(spec.features, channels=c.channels)
            discriminator = images.patch_discriminator(
                spec.features, num_downsamples=c.discriminator_num_downsamples, num_images=2, **sizes_d
            )
        else:
            sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
            self.filter = transport.kernel(self.a, self.a, spec.features)
            self.generator = mels.mel_generator(spec.bins, **sizes, transport=self.filter)
            discriminator = mels.mel_discriminator(2 * spec.bins, **sizes_d)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator])
        *sizes, last = spec.feature_shape(c.crop_frames)
        shape = (*sizes, 2 * last)
        self.discriminator = adversarial.build_discriminator(self, discriminator, "discriminator", shape, parts=2)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=len(self.filter))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step (Sec. 3 of the paper).

        1. Translate; update the generator by the gradient of ``adversarial + l1`` (Eq. 4).
        2. Update the discriminator on pairs of source and target, and of source and translation (Eq. 1).
        """
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, ab = self._terms(self.generator, a, b, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            total = reduction.total(values, {"adversarial": 1.0, "l1": schedules.at_step(self.config.l1, step)})
        self.generator_optimizer.minimize(tape, total)
        return values | self.discriminator.train(_pair(a, b), _pair(a, ab), rng, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generator, without an update."""
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        rng = self.rng(batch, global_batch_size)
        terms, ab = self._terms(self.generator_optimizer.averaged(self.generator), a, b, rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return values | self.discriminator.losses(_pair(a, b), _pair(a, ab), rng)

    def _terms(self, generator, a, b, rng) -> tuple[dict, tf.Tensor]:
        ab = generator(a)
        terms = {"adversarial": self.discriminator.generator_loss(_pair(a, ab), rng)}
        if not schedules.is_zero(self.config.l1):
            terms["l1"] = reconstruction.l1(b, ab)
        return terms, ab

    def signatures(self) -> dict:
        """`translate_ab`, at any length."""
        generator = self.generator_optimizer.averaged(self.generator)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self.denormalize(generator(self.normalize(features, self.a)), self.b)

        return {"translate_ab": translate_ab}


def _pair(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Source and result concatenated along the channels."""
    return tf.concat([a, b], axis=-1)
