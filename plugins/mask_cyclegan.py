"""MaskCycleGAN-VC: a CycleGAN for speech that is trained to fill in masked frames (arXiv:2102.12841).

The generators are given log-mels with an interval of frames masked, and the mask. A second pair of discriminators is
given the cycle reconstructions `aba` and `bab` (two-step adversarial loss, Eq. 4 of arXiv:1904.04631). In a
translation no frame is masked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from models import augment, schedules
from models.config_fields import option
from models.errors import UserError
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import mask_cyclegan
from models.stateless_random import StatelessRng
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `mask_cyclegan`. A weight is a number, or points ``[[step, weight], ...]``."""

    crop_frames: int = 64
    batch_size: int = 1
    discriminator_channels: int = 128
    pool_size: int = 0
    channels: int = option(128, "channels of a generator's first gated convolution; even")
    blocks: int = option(6, "residual blocks of a generator")
    max_masked_frames: int = option(25, "largest number of masked frames in an example")
    cycle: schedules.Schedule = option(10.0, "weight of the cycle-consistency loss, |a - aba| + |b - bab|")
    identity: schedules.Schedule = option(
        ((0, 5.0), (10000, 5.0), (10001, 0.0)), "weight of the identity loss, |a - aa| + |b - bb|"
    )
    two_step_adversarial: schedules.Schedule = option(1.0, "weight of the second adversarial loss, on aba and bab")
    residual_weight: schedules.Schedule = option(
        0.0, "weight of the L1 penalty on the generators' residual over linear transport"
    )
    transport: bool = option(
        False, "whether the generators start at linear optimal transport between the domains, not at random weights"
    )
    loudness: schedules.Schedule = option(
        0.0, "weight of the difference between the frames' log norms before and after translation"
    )
    RENAMED: ClassVar[Mapping[str, str]] = {
        "missing": "max_masked_frames",
        "second": "two_step_adversarial",
        "effort": "residual_weight",
    }

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, channels=2, discriminator_channels=2, blocks=0)
        for name in ("channels", "discriminator_channels"):  # half of them are gates
            if getattr(self, name) % 2:
                raise UserError(
                    f"{name}={getattr(self, name)}; wanted an even number; near it: {getattr(self, name) + 1}"
                )
        if self.crop_frames % 8:
            raise UserError(f"crop_frames={self.crop_frames}; the discriminators want a multiple of 8")
        if not 0 <= self.max_masked_frames < self.crop_frames:
            raise UserError(
                f"max_masked_frames={self.max_masked_frames}; wanted 0 to below crop_frames={self.crop_frames}"
            )


WEIGHT_KEYS = {  # loss to the key of its weight; adversarial losses have the weight 1
    "cycle": "cycle",
    "identity": "identity",
    "two_step_adversarial": "two_step_adversarial",
    "residual": "residual_weight",
    "loudness": "loudness",
}


class MaskCycleGAN(base.Plugin):
    """Two 2-1-2-D generators that fill in frames; discriminators of translations and of cycle reconstructions."""

    Config = Config
    KINDS = ("audio",)
    PRESETS = {
        "small": {
            "audio": {
                "steps": 1000,
                "batch_size": 4,
                "crop_frames": 32,
                "max_masked_frames": 12,
                "channels": 32,
                "blocks": 3,
                "discriminator_channels": 64,
                "transport": True,
                "residual_weight": 10.0,
                "identity": 0.0,
            }
        },
        "full": {"audio": {"steps": 500000}},
    }
    BATCHES = "unpaired"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        self.a, self.b = (spec.moments[name] for name in spec.domains[:2])
        if spec.bins % 8:
            raise UserError(f"n_mels={spec.bins}; mask_cyclegan wants a multiple of 8")
        self.filters = [
            transport.kernel(*direction, spec.features).astype(np.float32) for direction in self._transport_directions()
        ]
        self.generator_ab, self.generator_ba = (self._generator(kernel) for kernel in self.filters)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator_ab, self.generator_ba])
        shape = spec.feature_shape(config.crop_frames)
        size = {"channels": config.discriminator_channels, "spectral_norm": config.spectral_norm}
        self.discriminators = {
            name: adversarial.build_discriminator(
                self, mask_cyclegan.mel_patch_discriminator(spec.bins, **size), f"discriminator_{name}", shape
            )
            for name in self._discriminator_names()
        }

    def _transport_directions(self):
        return ((self.a, self.b), (self.b, self.a)) if self.config.transport else ((self.a, self.a), (self.b, self.b))

    def _generator(self, kernel: np.ndarray):
        c = self.config
        kernel = kernel if c.transport else None
        return mask_cyclegan.masked_generator(self.spec.bins, channels=c.channels, blocks=c.blocks, transport=kernel)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        return max(mask_cyclegan.masked_generator_context(blocks=self.config.blocks), len(self.filters[0]) // 2)

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step (Sec. 3 of the paper).

        1. Mask an interval of frames of each example (Eq. 5); translate the rest, and back with nothing masked (Eq. 6).
        2. Update the generators by the gradient of the weighted losses (Eq. 7).
        3. Update the discriminators of translations, then those of cycle reconstructions.
        """
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        with tf.GradientTape() as tape:
            terms, fakes = self._terms(self.generator_ab, self.generator_ba, a, b, step, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            weights = {name: schedules.at_step(getattr(self.config, key), step) for name, key in WEIGHT_KEYS.items()}
            total = reduction.total(values, {"adversarial_a": 1.0, "adversarial_b": 1.0, **weights})
        self.generator_optimizer.minimize(tape, total)
        for name in self._discriminator_names():
            real = a if name in ("a", "aba") else b
            values |= self.discriminators[name].train(real, fakes[name], rng, step=step)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generators, without an update."""
        rng = self.rng(batch, global_batch_size)
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        g_ab, g_ba = (
            self.generator_optimizer.averaged(self.generator_ab),
            self.generator_optimizer.averaged(self.generator_ba),
        )
        terms, fakes = self._terms(g_ab, g_ba, a, b, batch["step"][0], rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        for name in self._discriminator_names():
            real = a if name in ("a", "aba") else b
            values |= self.discriminators[name].losses(real, fakes[name], rng)
        return values

    def _discriminator_names(self) -> tuple[str, ...]:
        """Names of the discriminators: of translations to each domain, and of cycle reconstructions in each domain."""
        return ("a", "b") if schedules.is_zero(self.config.two_step_adversarial) else ("a", "b", "aba", "bab")

    def _terms(self, g_ab, g_ba, a, b, step, rng) -> tuple[dict, dict]:
        """Losses `[batch]` of the generators by name, and the generated examples by the discriminators' names."""
        c, nothing_masked = self.config, tf.ones_like(a)
        ab = g_ab([a, self._mask(a, rng.stream("mask_a"))])
        ba = g_ba([b, self._mask(b, rng.stream("mask_b"))])
        fakes = {"a": ba, "b": ab}
        terms = {
            "adversarial_a": self.discriminators["a"].generator_loss(ba, rng),
            "adversarial_b": self.discriminators["b"].generator_loss(ab, rng),
        }
        if not (schedules.is_zero(c.cycle) and schedules.is_zero(c.two_step_adversarial)):
            fakes |= {"aba": g_ba([ab, nothing_masked]), "bab": g_ab([ba, nothing_masked])}
        if not schedules.is_zero(c.cycle):
            terms["cycle"] = reconstruction.l1(a, fakes["aba"]) + reconstruction.l1(b, fakes["bab"])
        if not schedules.is_zero(c.two_step_adversarial):
            second_a, second_b = (self.discriminators[n].generator_loss(fakes[n], rng) for n in ("aba", "bab"))
            terms["two_step_adversarial"] = second_a + second_b
        if not schedules.is_zero(c.identity):
            terms["identity"] = schedules.skip_if_zero(
                schedules.at_step(c.identity, step),
                lambda: (
                    reconstruction.l1(a, g_ba([a, nothing_masked])) + reconstruction.l1(b, g_ab([b, nothing_masked]))
                ),
                tf.zeros_like(terms["adversarial_a"]),
            )
        if not schedules.is_zero(c.residual_weight):
            linear_ab, linear_ba = (tf.nn.conv1d(x, w, 1, "SAME") for x, w in zip((a, b), self.filters, strict=True))
            terms["residual"] = reconstruction.l1(ab, linear_ab) + reconstruction.l1(ba, linear_ba)
        if not schedules.is_zero(c.loudness):
            pairs = ((a, self.a, ab, self.b), (b, self.b, ba, self.a))
            loudness = [reconstruction.loudness(self.denormalize(x, m), self.denormalize(y, n)) for x, m, y, n in pairs]
            terms["loudness"] = loudness[0] + loudness[1]
        return terms, fakes

    def _mask(self, x: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """Ones, and zeros in an interval of up to `missing` frames at a random position (Eq. 5 of the paper)."""
        masked = augment.specaugment_mask(x.shape[1], self.config.max_masked_frames / x.shape[1], rng.uniform(2))
        return tf.broadcast_to(1 - masked[:, :, None], tf.shape(x))

    def signatures(self) -> dict:
        """`translate_ab` and `translate_ba`, at any length."""
        g_ab, g_ba = (
            self.generator_optimizer.averaged(self.generator_ab),
            self.generator_optimizer.averaged(self.generator_ba),
        )

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self._translate(g_ab, features, self.a, self.b)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ba(features):
            return self._translate(g_ba, features, self.b, self.a)

        return {"translate_ab": translate_ab, "translate_ba": translate_ba}

    def _translate(self, generator, features: tf.Tensor, source, target) -> tf.Tensor:
        frames = tf.shape(features)[1]
        padding = [[0, 0], [0, base.padding_to_multiple(frames, 4)], [0, 0]]  # the network downsamples twice by 2
        x = tf.pad(features, padding, constant_values=self.spec.features.log_floor)
        x = self.normalize(x, source)
        return self.denormalize(generator([x, tf.ones_like(x)])[:, :frames], target)
