"""CycleGAN: translation between two domains of which no pair is known (arXiv:1703.10593).

One update rule, two network families: gated residual convolutions over time for speech, after
CycleGAN-VC (arXiv:1711.11293), and the paper's ResNet and PatchGAN for pictures. Domain tensors
spell their path: `ab` is `a` sent to B, `aba` came back, `bb` is `b` sent to B where it already is.
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
class Config(adversarial.TranslatorConfig):
    """Keys of `cyclegan`. A weight is a number, or points ``[[step, weight], ...]`` between which it is linear."""

    cycle: schedules.Schedule = option(10.0, "weight of the cycle-consistency loss, |a - aba| + |b - bab|")
    identity: schedules.Schedule = option(0.0, "weight of the identity loss, |a - aa| + |b - bb|")
    loudness: schedules.Schedule = option(
        0.0, "speech: weight of the difference between the frames' log norms before and after translation"
    )


PICTURES = {"effort": 0.0, "rate_d": 2e-4}  # no identity term: it keeps colours, which translation is to change


class CycleGAN(base.Plugin):
    """Two generators and two discriminators; least-squares adversaries, cycle and identity terms."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 1000},  # longer, the adversaries begin to cost words
            "image": {
                **PICTURES,
                "steps": 1600,
                "ema": 0.99,
                "r1": 10.0,  # else the discriminators win, and translations stay where they are
                "channels": 24,
                "generator_halvings": 1,
                "halvings": 2,
                "critic_channels": 32,
            },
        },
        "full": {
            "audio": {"steps": 200000, "channels": 256, "blocks": 6, "critic_channels": 384, "crop_frames": 64},
            "image": {**PICTURES, "steps": 200000, "batch_size": 1, "channels": 64, "blocks": 9, "critic_channels": 64},
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
        self.g_ab, self.g_ba = (self._generator(w) for w in ("ab", "ba"))
        self.generators = adversarial.generator_player(self, [self.g_ab, self.g_ba])
        shape = spec.feature_shape(config.crop_frames)
        self.adversary_a, self.adversary_b = (
            adversarial.adversary_of(self, self._discriminator(), f"discriminator_{domain}", shape) for domain in "ab"
        )

    def _generator(self, way: str):
        c = self.config
        if self.spec.kind == "image":
            sizes = {"channels": c.channels, "blocks": c.blocks, "halvings": c.generator_halvings}
            return images.resnet_generator(self.spec.features, **sizes)
        sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
        return mels.mel_generator(self.spec.bins, **sizes, transport=getattr(self, f"transport_{way}"))

    def _discriminator(self):
        c = self.config
        options = {"channels": c.critic_channels, "spectral_norm": c.spectral_norm}
        if self.spec.kind == "image":
            return images.patch_discriminator(self.spec.features, halvings=c.halvings, **options)
        return mels.mel_discriminator(self.spec.bins, **options)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=len(self.transport_ab))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of both players (Sec. 4 of the paper).

        1. Translate both ways and back; move the generators down the gradient of
           ``adversarial(ab) + adversarial(ba) + cycle + identity``.
        2. Show each discriminator reals and fakes, half of them swapped for older ones, and move it.
        """
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        step, draws = batch["step"][0], self.draws(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, ab, ba = self._generator_terms(self.g_ab, self.g_ba, a, b, step, draws)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            total = reduction.total(values, self._weights(step))
        self.generators.minimise(tape, total)
        values |= self.adversary_b.train(b, ab, draws, 20, step=step)
        return values | self.adversary_a.train(a, ba, draws, 40, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, of the averaged generators, with no pool and no update."""
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        draws = self.draws(batch, global_batch_size)
        g_ab, g_ba = self.generators.averaged(self.g_ab), self.generators.averaged(self.g_ba)
        terms, ab, ba = self._generator_terms(g_ab, g_ba, a, b, batch["step"][0], draws)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        values |= self.adversary_b.losses(b, ab, draws, 20)
        return values | self.adversary_a.losses(a, ba, draws, 40)

    def _weights(self, step: tf.Tensor) -> dict:
        named = {
            n: schedules.at_step(getattr(self.config, n), step) for n in ("cycle", "identity", "effort", "loudness")
        }
        return {"adversarial_a": 1.0, "adversarial_b": 1.0, **named}

    def _generator_terms(self, g_ab, g_ba, a, b, step, draws) -> tuple[dict, tf.Tensor, tf.Tensor]:
        """Losses `[batch]` of the generators by name, and the two translations."""
        c, speech = self.config, self.spec.kind == "audio"
        ab, ba = g_ab(a), g_ba(b)
        terms = {
            "adversarial_a": self.adversary_a.generator_loss(ba, draws, 1),
            "adversarial_b": self.adversary_b.generator_loss(ab, draws, 4),
        }
        if not schedules.is_zero(c.cycle):
            terms["cycle"] = reconstruction.l1(a, g_ba(ab)) + reconstruction.l1(b, g_ab(ba))
        if not schedules.is_zero(c.identity):
            terms["identity"] = schedules.when_weighed(
                schedules.at_step(c.identity, step),
                lambda: reconstruction.l1(a, g_ba(a)) + reconstruction.l1(b, g_ab(b)),
                tf.zeros_like(terms["adversarial_a"]),
            )
        if speech and not schedules.is_zero(c.effort):
            moved = [tf.nn.conv1d(x, w, 1, "SAME") for x, w in ((a, self.transport_ab), (b, self.transport_ba))]
            terms["effort"] = reconstruction.l1(ab, moved[0]) + reconstruction.l1(ba, moved[1])
        if speech and not schedules.is_zero(c.loudness):
            a, ba = (self.denormalise(x, self.a) for x in (a, ba))
            b, ab_loud = (self.denormalise(x, self.b) for x in (b, ab))
            terms["loudness"] = reconstruction.loudness(a, ab_loud) + reconstruction.loudness(b, ba)
        return terms, ab, ba

    def signatures(self) -> dict:
        """`translate_ab` and `translate_ba`, at any length."""
        g_ab, g_ba = self.generators.averaged(self.g_ab), self.generators.averaged(self.g_ba)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self.denormalise(g_ab(self.normalise(features, self.a)), self.b)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ba(features):
            return self.denormalise(g_ba(self.normalise(features, self.b)), self.a)

        return {"translate_ab": translate_ab, "translate_ba": translate_ba}
