"""MaskCycleGAN-VC: a CycleGAN for speech that learns by filling in frames (arXiv:2102.12841).

On top of CycleGAN, the generators see mels with a stretch of frames missing and a mask that says which,
and a second pair of discriminators judges what came back after both translations (the two-step
adversarial loss of arXiv:1904.04631). At translation nothing is missing.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models import augment, schedules
from models.config_fields import option
from models.errors import UserError
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import mask_cyclegan
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `mask_cyclegan`. A weight is a number, or points ``[[step, weight], ...]``."""

    crop_frames: int = 64
    batch_size: int = 1
    critic_channels: int = 128
    pool_size: int = 0
    channels: int = option(128, "channels of a generator's first gated convolution; even")
    blocks: int = option(6, "residual blocks of a generator")
    missing: int = option(25, "largest number of masked frames in an example")
    cycle: schedules.Schedule = option(10.0, "weight of the cycle-consistency loss, |a - aba| + |b - bab|")
    identity: schedules.Schedule = option(
        ((0, 5.0), (10000, 5.0), (10001, 0.0)), "weight of the identity loss, |a - aa| + |b - bb|"
    )
    second: schedules.Schedule = option(1.0, "weight of the second adversarial loss, on aba and bab")
    effort: schedules.Schedule = option(
        0.0, "weight of the L1 penalty on the generators' residual over linear transport"
    )
    transport: bool = option(
        False, "whether the generators start at linear optimal transport between the domains, not at random weights"
    )
    loudness: schedules.Schedule = option(
        0.0, "weight of the difference between the frames' log norms before and after translation"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.crop_frames % 8:
            raise UserError(f"crop_frames={self.crop_frames}; the discriminators want a multiple of 8")
        if not 0 <= self.missing < self.crop_frames:
            raise UserError(f"missing={self.missing}; wanted 0 to below crop_frames={self.crop_frames}")


WEIGHTS = ("cycle", "identity", "second", "effort", "loudness")


class MaskCycleGAN(base.Plugin):
    """Two 2-1-2-D generators that fill in frames; discriminators of the first step and of the second."""

    Config = Config
    KINDS = ("audio",)
    PRESETS = {
        "small": {
            "audio": {
                "steps": 1000,
                "batch_size": 4,
                "crop_frames": 32,
                "missing": 12,
                "channels": 32,
                "blocks": 3,
                "critic_channels": 64,
                "transport": True,
                "effort": 10.0,
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
        self.filters = [transport.kernel(*ends, spec.features).astype(np.float32) for ends in self._ways()]
        self.g_ab, self.g_ba = (self._generator(kernel) for kernel in self.filters)
        self.generators = adversarial.generator_player(self, [self.g_ab, self.g_ba])
        shape = spec.feature_shape(config.crop_frames)
        size = {"channels": config.critic_channels, "spectral_norm": config.spectral_norm}
        self.adversaries = {
            name: adversarial.adversary_of(
                self, mask_cyclegan.mel_patch_discriminator(spec.bins, **size), f"discriminator_{name}", shape
            )
            for name in self._judged()
        }

    def _ways(self):
        return ((self.a, self.b), (self.b, self.a)) if self.config.transport else ((self.a, self.a), (self.b, self.b))

    def _generator(self, kernel: np.ndarray):
        c = self.config
        begin = kernel if c.transport else None
        return mask_cyclegan.masked_generator(self.spec.bins, channels=c.channels, blocks=c.blocks, transport=begin)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        return max(mask_cyclegan.masked_generator_context(blocks=self.config.blocks), len(self.filters[0]) // 2)

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of all players (Sec. 3 of the paper).

        1. Hide a stretch of frames of each example; translate what is left, and back with nothing hidden.
        2. Move the generators down the gradient of the weighted terms.
        3. Move the discriminators of translations, then those of what came back.
        """
        step, draws = batch["step"][0], self.draws(batch, global_batch_size)
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        with tf.GradientTape() as tape:
            terms, made = self._terms(self.g_ab, self.g_ba, a, b, step, draws)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            weights = {name: schedules.at_step(getattr(self.config, name), step) for name in WEIGHTS}
            total = reduction.total(values, {"adversarial_a": 1.0, "adversarial_b": 1.0, **weights})
        self.generators.minimise(tape, total)
        for n, name in enumerate(self._judged()):
            real = a if name in ("a", "aba") else b
            values |= self.adversaries[name].train(real, made[name], draws, 100 + 20 * n, step=step)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, of the averaged generators, and no update."""
        draws = self.draws(batch, global_batch_size)
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        g_ab, g_ba = self.generators.averaged(self.g_ab), self.generators.averaged(self.g_ba)
        terms, made = self._terms(g_ab, g_ba, a, b, batch["step"][0], draws)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        for n, name in enumerate(self._judged()):
            real = a if name in ("a", "aba") else b
            values |= self.adversaries[name].losses(real, made[name], draws, 100 + 20 * n)
        return values

    def _judged(self) -> tuple[str, ...]:
        """Whose results have a discriminator: the translations', and those of both translations."""
        return ("a", "b") if schedules.is_zero(self.config.second) else ("a", "b", "aba", "bab")

    def _terms(self, g_ab, g_ba, a, b, step, draws) -> tuple[dict, dict]:
        """Losses `[batch]` of the generators by name; what the discriminators judge, by theirs."""
        c, whole = self.config, tf.ones_like(a)
        ab, ba = g_ab([a, self._mask(a, draws, 1)]), g_ba([b, self._mask(b, draws, 2)])
        made = {"a": ba, "b": ab}
        judge = self.adversaries
        terms = {
            "adversarial_a": judge["a"].generator_loss(ba, draws, 10),
            "adversarial_b": judge["b"].generator_loss(ab, draws, 14),
        }
        back = not (schedules.is_zero(c.cycle) and schedules.is_zero(c.second))
        if back:
            made |= {"aba": g_ba([ab, whole]), "bab": g_ab([ba, whole])}
        if not schedules.is_zero(c.cycle):
            terms["cycle"] = reconstruction.l1(a, made["aba"]) + reconstruction.l1(b, made["bab"])
        if not schedules.is_zero(c.second):
            judged = [judge[name].generator_loss(made[name], draws, salt) for name, salt in (("aba", 18), ("bab", 22))]
            terms["second"] = judged[0] + judged[1]
        if not schedules.is_zero(c.identity):
            terms["identity"] = schedules.when_weighed(
                schedules.at_step(c.identity, step),
                lambda: reconstruction.l1(a, g_ba([a, whole])) + reconstruction.l1(b, g_ab([b, whole])),
                tf.zeros_like(terms["adversarial_a"]),
            )
        if not schedules.is_zero(c.effort):
            moved = [tf.nn.conv1d(x, w, 1, "SAME") for x, w in zip((a, b), self.filters, strict=True)]
            terms["effort"] = reconstruction.l1(ab, moved[0]) + reconstruction.l1(ba, moved[1])
        if not schedules.is_zero(c.loudness):
            pairs = ((a, self.a, ab, self.b), (b, self.b, ba, self.a))
            loud = [reconstruction.loudness(self.denormalise(x, m), self.denormalise(y, n)) for x, m, y, n in pairs]
            terms["loudness"] = loud[0] + loud[1]
        return terms, made

    def _mask(self, x: tf.Tensor, draws, salt: int) -> tf.Tensor:
        """Ones, and zeros in a stretch of up to `missing` frames anywhere (Eq. 5 of the paper)."""
        hidden = augment.masked(x.shape[1], self.config.missing / x.shape[1], draws.uniform(salt, 2))
        return tf.broadcast_to(1 - hidden[:, :, None], tf.shape(x))

    def signatures(self) -> dict:
        """`translate_ab` and `translate_ba`, at any length."""
        g_ab, g_ba = self.generators.averaged(self.g_ab), self.generators.averaged(self.g_ba)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self._translate(g_ab, features, self.a, self.b)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ba(features):
            return self._translate(g_ba, features, self.b, self.a)

        return {"translate_ab": translate_ab, "translate_ba": translate_ba}

    def _translate(self, generator, features: tf.Tensor, source, target) -> tf.Tensor:
        frames = tf.shape(features)[1]
        silence = [[0, 0], [0, base.lacking(frames, 4)], [0, 0]]  # the network halves the frames twice
        x = tf.pad(features, silence, constant_values=self.spec.features.log_floor)
        x = self.normalise(x, source)
        return self.denormalise(generator([x, tf.ones_like(x)])[:, :frames], target)
