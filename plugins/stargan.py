"""StarGAN: one generator between any number of domains, told where to go by a code (arXiv:1711.09020).

Each discriminator output belongs to a domain and judges examples that are of it or were sent to it, as in
StarGANv2 (arXiv:1912.01865). For speech, the generator adds to linear transport between the two domains
it is told, as `cyclegan` does.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models import schedules
from models.config_fields import option
from models.errors import UserError
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import images, mels, stargan
from plugins import adversarial, base

MOST_DOMAINS = 16  # with a linear transport for every pair of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.TranslatorConfig):
    """Keys of `stargan`. A weight is a number, or points ``[[step, weight], ...]``."""

    pool_size: int = 0
    cycle: schedules.Schedule = option(10.0, "weight of the cycle-consistency loss, |x - xyx|")
    identity: schedules.Schedule = option(
        0.0, "weight of the identity loss, |x - xx|, of translations to the example's own domain"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.pool_size:
            raise UserError(f"pool_size={self.pool_size}; stargan keeps no pool, so wanted 0")
        if self.gradient_penalty:
            raise UserError(
                f"gradient_penalty={self.gradient_penalty}; stargan's reals and fakes are judged as other domains, "
                "with nothing between them, so wanted 0: r1 or spectral_norm hold its discriminator"
            )


WEIGHTS = ("cycle", "identity", "effort")


class StarGAN(base.Plugin):
    """One generator of features and domains, one discriminator with an output for each domain."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 3000, "batch_size": 12},
            "image": {
                "steps": 3000,
                "ema": 0.99,
                "r1": 10.0,  # else the discriminator wins, and translations stay where they are
                "channels": 24,
                "generator_halvings": 1,
                "halvings": 2,
                "critic_channels": 32,
                "effort": 0.0,
                "rate_d": 2e-4,
            },
        },
        "full": {
            "audio": {"steps": 400000, "channels": 256, "blocks": 6, "critic_channels": 384, "crop_frames": 64},
            "image": {"steps": 200000, "batch_size": 16, "channels": 64, "blocks": 6, "effort": 0.0},
        },
    }
    BATCHES = "mixed"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c, count = config, len(spec.domains)
        if count < 2:
            raise UserError(f"domains {list(spec.domains)}; stargan wants two or more")
        critic = {"channels": c.critic_channels, "spectral_norm": c.spectral_norm, "outputs": count}
        if spec.kind == "image":
            size = {"channels": c.channels, "blocks": c.blocks, "halvings": c.generator_halvings, "codes": 2 * count}
            self.generator = images.resnet_generator(spec.features, **size)
            judge = images.patch_discriminator(spec.features, halvings=c.halvings, **critic)
        else:
            self.filters = self._filters()
            size = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
            self.generator = stargan.mel_generator(spec.bins, **size, transports=self.filters)
            judge = mels.mel_discriminator(spec.bins, **critic)
        self.mover = adversarial.generator_player(self, [self.generator])
        judge = stargan.judged_by_code(judge, count)
        self.adversary = adversarial.adversary_of(self, judge, "discriminator", spec.feature_shape(c.crop_frames))

    def _filters(self) -> np.ndarray:
        """Linear transports `[source, target, frames, bins, bins]`."""
        moments = [self.spec.moments[name] for name in self.spec.domains]
        if self.config.transport and len(moments) > MOST_DOMAINS:
            wanted = f"{MOST_DOMAINS} at most, or --set=transport=false"
            raise UserError(f"{len(moments)} domains, a linear transport for every pair; wanted {wanted}")
        ends = [[(a, b if self.config.transport else a) for b in moments] for a in moments]
        made = [[transport.kernel(a, b, self.spec.features) for a, b in row] for row in ends]
        return np.array(made, np.float32)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=self.filters.shape[2])

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of both players (Sec. 3.1 of the paper).

        1. Draw another domain for each example; translate to it and back.
        2. Move the generator down the gradient of ``adversarial + cycle + identity``.
        3. Move the discriminator, the output of each example's domain.
        """
        step, draws = batch["step"][0], self.draws(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, made = self._terms(self.generator, batch, draws)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            weights = {name: schedules.at_step(getattr(self.config, name), step) for name in WEIGHTS}
            total = reduction.total(values, {"adversarial": 1.0, **weights})
        self.mover.minimise(tape, total)
        return values | self.adversary.train(*made, draws, 20, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, of the averaged generator, and no update."""
        draws = self.draws(batch, global_batch_size)
        terms, made = self._terms(self.mover.averaged(self.generator), batch, draws)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return values | self.adversary.losses(*made, draws, 20)

    def _terms(self, generator, batch: base.Batch, draws) -> tuple[dict, tuple]:
        """Losses `[batch]` of the generator by name; what the discriminator is shown, with its domains."""
        c, count = self.config, len(self.spec.domains)
        source = batch["domain"]
        target = (source + 1 + tf.cast(draws.uniform(10) * (count - 1), tf.int32)) % count
        x = self._normalised(batch["x"], source)
        here, there = tf.one_hot(source, count), tf.one_hot(target, count)
        y = self._sent(generator, x, here, there)
        terms = {"adversarial": self.adversary.generator_loss((y, there), draws, 1)}
        if not schedules.is_zero(c.cycle):
            terms["cycle"] = reconstruction.l1(x, self._sent(generator, y, there, here))
        if not schedules.is_zero(c.identity):
            terms["identity"] = schedules.when_weighed(
                schedules.at_step(c.identity, batch["step"][0]),
                lambda: reconstruction.l1(x, self._sent(generator, x, here, here)),
                tf.zeros_like(terms["adversarial"]),
            )
        if self.spec.kind == "audio" and not schedules.is_zero(c.effort):
            terms["effort"] = reconstruction.l1(y, stargan.filtered(x, self.filters, here, there))
        return terms, ((x, here), (y, there))

    def _sent(self, generator, x: tf.Tensor, here: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        if self.spec.kind == "audio":
            return generator([x, here, there])
        return generator([x, tf.concat([here, there], axis=-1)])

    def _normalised(self, x: tf.Tensor, domain: tf.Tensor) -> tf.Tensor:
        """By the statistics of each example's own domain."""
        if self.spec.kind == "image":
            return x
        mean, std = self._of_domains("mean", domain), self._of_domains("std", domain)
        return (x - mean) / std

    def _of_domains(self, name: str, domain: tf.Tensor) -> tf.Tensor:
        """A statistic `[batch, 1, bins]` of each example's domain."""
        table = np.stack([getattr(self.spec.moments[each], name) for each in self.spec.domains])
        return tf.gather(tf.constant(table, tf.float32), domain)[:, None]

    def signatures(self) -> dict:
        """`translate_to`, from a domain to a domain, by their numbers, at any length."""
        generator, count = self.mover.averaged(self.generator), len(self.spec.domains)
        source, target = (tf.TensorSpec([], tf.int32, name) for name in ("source", "target"))

        @tf.function(input_signature=[self.features_in(), source, target], autograph=False)
        def translate_to(features, source, target):
            each = tf.zeros([tf.shape(features)[0]], tf.int32)
            x = self._normalised(features, each + source)
            codes = [tf.one_hot(each + domain, count) for domain in (source, target)]
            return self._denormalised(self._sent(generator, x, *codes), each + target)

        return {"translate_to": translate_to}

    def _denormalised(self, x: tf.Tensor, domain: tf.Tensor) -> tf.Tensor:
        if self.spec.kind == "image":
            return tf.clip_by_value(x, -1.0, 1.0)
        y = x * self._of_domains("std", domain) + self._of_domains("mean", domain)
        return tf.clip_by_value(y, self.spec.features.log_floor, self._of_domains("highest", domain))
