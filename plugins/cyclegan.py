"""CycleGAN: translation between two domains without pairs (arXiv:1703.10593).

One update rule, two network families: gated residual convolutions over time for speech, after
CycleGAN-VC (arXiv:1711.11293), and the paper's ResNet and PatchGAN for images. Names of tensors spell their path:
`ab` is `a` translated to B, `aba` is that translated back, `bb` is `b` given to the generator to B (identity).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models import schedules
from models.config_fields import option
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import images, mels
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.PairTranslatorConfig):
    """Keys of `cyclegan`. A weight is a number, or points ``[[step, weight], ...]`` between which it is linear."""

    cycle: schedules.Schedule = option(10.0, "weight of the cycle-consistency loss, |a - aba| + |b - bab|")
    identity: schedules.Schedule = option(0.0, "weight of the identity loss, |a - aa| + |b - bb|")
    loudness: schedules.Schedule = option(
        0.0, "speech: weight of the difference between the frames' log norms before and after translation"
    )


IMAGES = {"residual_weight": 0.0, "learning_rate_d": 2e-4}  # no identity loss: it keeps colours

WEIGHT_KEYS = {  # loss to the key of its weight; adversarial losses have the weight 1
    "cycle": "cycle",
    "identity": "identity",
    "residual": "residual_weight",
    "loudness": "loudness",
}


class CycleGAN(base.Plugin):
    """Two generators and two discriminators; least-squares adversarial, cycle-consistency and identity losses."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 1000},  # longer adversarial training costs intelligibility
            "image": {
                **IMAGES,
                "steps": 1600,
                "ema": 0.99,
                "r1": 10.0,  # without it the discriminators win, and the generators stay near the identity
                "channels": 24,
                "generator_num_downsamples": 1,
                "discriminator_num_downsamples": 2,
                "discriminator_channels": 32,
            },
            "photograph": {**IMAGES, **adversarial.PHOTOGRAPHS, "steps": 1500},
        },
        "medium": {"photograph": {**IMAGES, **adversarial.MEDIUM_PHOTOGRAPHS, "steps": 25000}},
        "full": {
            "audio": {"steps": 200000, "channels": 256, "blocks": 6, "discriminator_channels": 384, "crop_frames": 64},
            "image": {
                **IMAGES,
                "steps": 200000,
                "batch_size": 1,
                "channels": 64,
                "blocks": 9,
                "discriminator_channels": 64,
            },
        },
    }
    BATCHES = "unpaired"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        self.a, self.b = (spec.moments[name] for name in spec.domains[:2])
        if spec.kind == "audio":
            b = self.b if config.transport else self.a
            self.transport_ab = transport.kernel(self.a, b, spec.features).astype(np.float32)
            self.transport_ba = transport.kernel(b, self.a, spec.features).astype(np.float32)
        self.generator_ab, self.generator_ba = (self._generator(direction) for direction in ("ab", "ba"))
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator_ab, self.generator_ba])
        shape = spec.feature_shape(config.crop_frames)
        self.discriminator_a, self.discriminator_b = (
            adversarial.build_discriminator(
                self, adversarial.discriminator_network(config, spec), f"discriminator_{domain}", shape
            )
            for domain in "ab"
        )

    def _generator(self, direction: str):
        c = self.config
        if self.spec.kind == "image":
            sizes = {"channels": c.channels, "blocks": c.blocks, "num_downsamples": c.generator_num_downsamples}
            return images.resnet_generator(self.spec.features, **sizes, skip=c.generator_skip)
        sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
        return mels.mel_generator(self.spec.bins, **sizes, transport=getattr(self, f"transport_{direction}"))

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=len(self.transport_ab))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of the generators and of the discriminators (Eq. 3 and Sec. 4 of the paper).

        1. Translate in both directions and back; update the generators by the gradient of
           ``adversarial(ab) + adversarial(ba) + cycle + identity`` (Eq. 1 as least squares, Eq. 2, and the identity
           loss of Sec. 5.2).
        2. Update each discriminator on real examples and translations, half of which come from its image pool.
        """
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, ab, ba = self._generator_terms(self.generator_ab, self.generator_ba, a, b, step, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            total = reduction.total(values, self._weights(step))
        self.generator_optimizer.minimize(tape, total)
        values |= self.discriminator_b.train(b, ab, rng, step=step)
        return values | self.discriminator_a.train(a, ba, rng, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generators, without image pool and update."""
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        rng = self.rng(batch, global_batch_size)
        g_ab, g_ba = (
            self.generator_optimizer.averaged(self.generator_ab),
            self.generator_optimizer.averaged(self.generator_ba),
        )
        terms, ab, ba = self._generator_terms(g_ab, g_ba, a, b, batch["step"][0], rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        values |= self.discriminator_b.losses(b, ab, rng)
        return values | self.discriminator_a.losses(a, ba, rng)

    def _weights(self, step: tf.Tensor) -> dict:
        weights = {name: schedules.at_step(getattr(self.config, key), step) for name, key in WEIGHT_KEYS.items()}
        return {"adversarial_a": 1.0, "adversarial_b": 1.0, **weights}

    def _generator_terms(self, g_ab, g_ba, a, b, step, rng) -> tuple[dict, tf.Tensor, tf.Tensor]:
        """Losses `[batch]` of the generators by name, and the two translations."""
        c, is_speech = self.config, self.spec.kind == "audio"
        ab, ba = g_ab(a), g_ba(b)
        terms = {
            "adversarial_a": self.discriminator_a.generator_loss(ba, rng),
            "adversarial_b": self.discriminator_b.generator_loss(ab, rng),
        }
        if not schedules.is_zero(c.cycle):
            terms["cycle"] = reconstruction.l1(a, g_ba(ab)) + reconstruction.l1(b, g_ab(ba))
        if not schedules.is_zero(c.identity):
            terms["identity"] = schedules.skip_if_zero(
                schedules.at_step(c.identity, step),
                lambda: reconstruction.l1(a, g_ba(a)) + reconstruction.l1(b, g_ab(b)),
                tf.zeros_like(terms["adversarial_a"]),
            )
        if is_speech and not schedules.is_zero(c.residual_weight):
            linear_ab, linear_ba = (
                tf.nn.conv1d(x, w, 1, "SAME") for x, w in ((a, self.transport_ab), (b, self.transport_ba))
            )
            terms["residual"] = reconstruction.l1(ab, linear_ab) + reconstruction.l1(ba, linear_ba)
        if is_speech and not schedules.is_zero(c.loudness):
            mels_a, mels_ba = (self.denormalize(x, self.a) for x in (a, ba))
            mels_b, mels_ab = (self.denormalize(x, self.b) for x in (b, ab))
            terms["loudness"] = reconstruction.loudness(mels_a, mels_ab) + reconstruction.loudness(mels_b, mels_ba)
        return terms, ab, ba

    def signatures(self) -> dict:
        """`translate_ab` and `translate_ba`, at any length."""
        g_ab, g_ba = (
            self.generator_optimizer.averaged(self.generator_ab),
            self.generator_optimizer.averaged(self.generator_ba),
        )

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self.denormalize(g_ab(self.normalize(features, self.a)), self.b)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ba(features):
            return self.denormalize(g_ba(self.normalize(features, self.b)), self.a)

        return {"translate_ab": translate_ab, "translate_ba": translate_ba}
