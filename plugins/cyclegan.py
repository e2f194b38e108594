"""CycleGAN: translation between two domains of which no pair is known (arXiv:1703.10593).

One update rule, two network families: gated residual convolutions over time for speech, after
CycleGAN-VC (arXiv:1711.11293), and the paper's ResNet and PatchGAN for pictures. Domain tensors
spell their path: `ab` is `a` sent to B, `aba` came back, `bb` is `b` sent to B where it already is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models import layers, losses, networks, schedules
from models.features import transport
from plugins import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys of `cyclegan`. A weight is a number, or points ``[[step, weight], ...]`` between which it is linear.

    Attributes:
      channels: width of the generators.
      blocks: residual blocks of a generator.
      kernel: frames that a gated convolution of the speech generator sees.
      critic_channels: width of the discriminators.
      halvings: stride-2 convolutions of the picture discriminator: 3 judge 70 x 70 pixels.
      rate_g: learning rate of the generators.
      rate_d: learning rate of the discriminators.
      cycle: weight of ``|a - aba| + |b - bab|``.
      identity: weight of ``|a - aa| + |b - bb|``.
      effort: speech: weight of what the generators add to linear transport.
      transport: speech: begin at linear optimal transport between the domains, not at the identity.
      pool_size: fakes that the discriminators are shown again; 0 for none.
    """

    channels: int = 128
    blocks: int = 3
    kernel: int = 5
    critic_channels: int = 64
    halvings: int = 3
    rate_g: float = 2e-4
    rate_d: float = 1e-4
    cycle: schedules.Schedule = 10.0
    identity: schedules.Schedule = 0.0
    effort: schedules.Schedule = 10.0
    transport: bool = True
    pool_size: int = 50


PICTURES = {"identity": 5.0, "effort": 0.0, "rate_d": 2e-4}


class CycleGAN(base.Plugin):
    """Two generators and two discriminators; least-squares adversaries, cycle and identity terms."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 1000},  # longer, the adversaries begin to cost words
            "image": {**PICTURES, "channels": 24, "halvings": 2, "critic_channels": 32},
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
        self.d_a, self.d_b = self._discriminator(), self._discriminator()
        self.optimizer_g, self.weights_g = self.adam(config.rate_g, [self.g_ab, self.g_ba], beta_1=0.5)
        self.optimizer_d, self.weights_d = self.adam(config.rate_d, [self.d_a, self.d_b], beta_1=0.5)
        shape = spec.feature_shape(config.crop_frames)
        self.pool_a, self.pool_b = (layers.ImagePool(config.pool_size, shape, n) for n in ("pool_a", "pool_b"))

    def _generator(self, way: str):
        c = self.config
        if self.spec.kind == "image":
            return networks.resnet_generator(self.spec.features, channels=c.channels, blocks=c.blocks)
        sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
        return networks.mel_generator(self.spec.bins, **sizes, transport=getattr(self, f"transport_{way}"))

    def _discriminator(self):
        c = self.config
        if self.spec.kind == "image":
            return networks.patch_discriminator(self.spec.features, channels=c.critic_channels, halvings=c.halvings)
        return networks.mel_discriminator(self.spec.bins, channels=c.critic_channels)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return networks.mel_generator_context(**sizes, taps=len(self.transport_ab))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of both players (Sec. 4 of the paper).

        1. Translate both ways and back; move the generators down the gradient of
           ``lsgan(ab) + lsgan(ba) + cycle + identity``.
        2. Swap half the fakes for older ones from the pools.
        3. Move the discriminators towards 1 on reals and 0 on these fakes.
        """
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        with tf.GradientTape() as tape:
            terms, ab, ba = self._generator_terms(a, b, batch["step"][0])
            values = {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}
            total = losses.total(values, self._weights(batch["step"][0]))
        gradients = tape.gradient(total, self.weights_g)
        self.optimizer_g.apply(gradients, self.weights_g)

        place = {"index": batch["index"], "global_batch_size": global_batch_size}
        ab = self.pool_b.query(tf.stop_gradient(ab), seed=self.draw_seed(batch, 1), **place)
        ba = self.pool_a.query(tf.stop_gradient(ba), seed=self.draw_seed(batch, 2), **place)

        with tf.GradientTape() as tape:
            critics = self._critic_terms(a, b, ab, ba, global_batch_size)
            total = tf.add_n(list(critics.values()))
        gradients = tape.gradient(total, self.weights_d)
        self.optimizer_d.apply(gradients, self.weights_d)
        return {**values, **critics}

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step` with no pool and no update."""
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        terms, ab, ba = self._generator_terms(a, b, batch["step"][0])
        values = {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return {**values, **self._critic_terms(a, b, ab, ba, global_batch_size)}

    def _weights(self, step: tf.Tensor) -> dict:
        weighed = {
            name: schedules.at_step(getattr(self.config, name), step) for name in ("cycle", "identity", "effort")
        }
        return {"adversarial_a": 1.0, "adversarial_b": 1.0, **weighed}

    def _generator_terms(self, a: tf.Tensor, b: tf.Tensor, step: tf.Tensor) -> tuple[dict, tf.Tensor, tf.Tensor]:
        """Losses `[batch]` of the generators by name, and the two translations."""
        ab, ba = self.g_ab(a), self.g_ba(b)
        terms = {
            "adversarial_a": losses.lsgan_generator(self.d_a(ba)),
            "adversarial_b": losses.lsgan_generator(self.d_b(ab)),
        }
        if not schedules.is_zero(self.config.cycle):
            terms["cycle"] = losses.l1(a, self.g_ba(ab)) + losses.l1(b, self.g_ab(ba))
        if not schedules.is_zero(self.config.identity):
            terms["identity"] = self._when_weighed(
                schedules.at_step(self.config.identity, step),
                lambda: losses.l1(a, self.g_ba(a)) + losses.l1(b, self.g_ab(b)),
                tf.zeros_like(terms["adversarial_a"]),
            )
        if self.spec.kind == "audio" and not schedules.is_zero(self.config.effort):
            moved = [tf.nn.conv1d(x, w, 1, "SAME") for x, w in ((a, self.transport_ab), (b, self.transport_ba))]
            terms["effort"] = losses.l1(ab, moved[0]) + losses.l1(ba, moved[1])
        return terms, ab, ba

    def _when_weighed(self, weight, term, nothing: tf.Tensor) -> tf.Tensor:
        """`term()` while its weight is not zero: once a schedule has ended, its passes cost nothing."""
        return tf.cond(weight > 0, term, lambda: nothing) if tf.is_tensor(weight) else term()

    def _critic_terms(self, a, b, ab, ba, global_batch_size: int) -> dict[str, tf.Tensor]:
        terms = {
            "discriminator_a": losses.lsgan_discriminator(self.d_a(a), self.d_a(ba)),
            "discriminator_b": losses.lsgan_discriminator(self.d_b(b), self.d_b(ab)),
        }
        return {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}

    def signatures(self) -> dict:
        """`translate_ab` and `translate_ba`, at any length."""

        @tf.function(input_signature=[self.features_in()])
        def translate_ab(features):
            return self.denormalise(self.g_ab(self.normalise(features, self.a)), self.b)

        @tf.function(input_signature=[self.features_in()])
        def translate_ba(features):
            return self.denormalise(self.g_ba(self.normalise(features, self.b)), self.a)

        return {"translate_ab": translate_ab, "translate_ba": translate_ba}
