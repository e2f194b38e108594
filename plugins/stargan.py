"""StarGAN: one generator between any number of domains, conditioned on domain labels (arXiv:1711.09020).

The discriminator has one output for each domain, applied to real examples of that domain and to translations to it,
as in StarGANv2 (Sec. 2.1 of arXiv:1912.01865). For speech, the generator adds a residual to linear transport between
the two domains, as `cyclegan` does.
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

UNSUPPORTED = "not supported by stargan, has to be 0"
MAX_DOMAINS = 16  # with a linear transport for every pair of domains


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.TranslatorConfig):
    """Keys of `stargan`. A weight is a number, or points ``[[step, weight], ...]``."""

    gradient_penalty: float = option(0.0, f"{adversarial.GRADIENT_PENALTY_HELP}; {UNSUPPORTED}")
    pool_size: int = option(0, f"generated examples in the image pool; {UNSUPPORTED}")
    cycle: schedules.Schedule = option(10.0, "weight of the cycle-consistency loss, |x - xyx|")
    identity: schedules.Schedule = option(
        0.0, "weight of the identity loss, |x - xx|, of translations to the example's own domain"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.pool_size:
            raise UserError(f"pool_size={self.pool_size}; stargan has no image pool; wanted 0")
        if self.gradient_penalty:
            raise UserError(
                f"gradient_penalty={self.gradient_penalty}; stargan's real and generated examples have different "
                "domain labels, so that no interpolation between them exists; wanted 0, and r1 or spectral_norm instead"
            )


WEIGHT_KEYS = {"cycle": "cycle", "identity": "identity", "residual": "residual_weight"}  # loss to the key of its weight


class StarGAN(base.Plugin):
    """One generator conditioned on source and target domain, one discriminator with an output for each domain."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 3000, "batch_size": 12},
            "image": {
                "steps": 3000,
                "ema": 0.99,
                "r1": 10.0,  # without it the discriminator wins, and the generator stays near the identity
                "channels": 24,
                "generator_num_downsamples": 1,
                "discriminator_num_downsamples": 2,
                "discriminator_channels": 32,
                "residual_weight": 0.0,
                "learning_rate_d": 2e-4,
            },
        },
        "full": {
            "audio": {"steps": 400000, "channels": 256, "blocks": 6, "discriminator_channels": 384, "crop_frames": 64},
            "image": {"steps": 200000, "batch_size": 16, "channels": 64, "blocks": 6, "residual_weight": 0.0},
        },
    }
    BATCHES = "mixed"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c, count = config, len(spec.domains)
        if count < 2:
            raise UserError(f"domains {list(spec.domains)}; stargan wants two or more")
        sizes_d = {"channels": c.discriminator_channels, "spectral_norm": c.spectral_norm, "outputs": count}
        if spec.kind == "image":
            size = {
                "channels": c.channels,
                "blocks": c.blocks,
                "num_downsamples": c.generator_num_downsamples,
                "labels": 2 * count,
                "skip": c.generator_skip,
            }
            self.generator = images.resnet_generator(spec.features, **size)
            network = images.patch_discriminator(
                spec.features, num_downsamples=c.discriminator_num_downsamples, **sizes_d
            )
        else:
            self.filters = self._filters()
            size = {"domains": count, "channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
            self.generator = stargan.mel_generator(spec.bins, **size, transports=self.filters)
            network = mels.mel_discriminator(spec.bins, **sizes_d)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator])
        network = stargan.select_by_domain_label(network, count)
        self.discriminator = adversarial.build_discriminator(
            self, network, "discriminator", spec.feature_shape(c.crop_frames)
        )

    def _filters(self) -> np.ndarray:
        """Linear transports `[source, target, frames, bins, bins]`, or without transport one identity `[1, 1, ...]`."""
        moments = [self.spec.moments[name] for name in self.spec.domains]
        if not self.config.transport:
            return transport.identity_kernel(self.spec.bins)[None, None].astype(np.float32)
        if len(moments) > MAX_DOMAINS:
            limit = f"{MAX_DOMAINS} at most, or --set=transport=false"
            raise UserError(f"{len(moments)} domains, a linear transport for every pair; wanted {limit}")
        kernels = [[transport.kernel(a, b, self.spec.features) for b in moments] for a in moments]
        return np.array(kernels, np.float32)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=self.filters.shape[2])

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step (Sec. 3.1 of the paper).

        1. Choose a random other domain for each example; translate to it and back.
        2. Update the generator by the gradient of ``adversarial + cycle + identity`` (cycle: Eq. 4).
        3. Update the discriminator, by the output of each example's domain.
        """
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, examples = self._terms(self.generator, batch, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            weights = {name: schedules.at_step(getattr(self.config, key), step) for name, key in WEIGHT_KEYS.items()}
            total = reduction.total(values, {"adversarial": 1.0, **weights})
        self.generator_optimizer.minimize(tape, total)
        return values | self.discriminator.train(*examples, rng, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generator, without an update."""
        rng = self.rng(batch, global_batch_size)
        terms, examples = self._terms(self.generator_optimizer.averaged(self.generator), batch, rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return values | self.discriminator.losses(*examples, rng)

    def _terms(self, generator, batch: base.Batch, rng) -> tuple[dict, tuple]:
        """Losses `[batch]` of the generator by name; real examples and translations with their domain labels."""
        c, count = self.config, len(self.spec.domains)
        source = batch["domain"]
        target = (source + 1 + tf.cast(rng.stream("target_domain").uniform() * (count - 1), tf.int32)) % count
        x = self.normalize_by_domain(batch["x"], source)
        source_label, target_label = tf.one_hot(source, count), tf.one_hot(target, count)
        y = self._generate(generator, x, source_label, target_label)
        terms = {"adversarial": self.discriminator.generator_loss((y, target_label), rng)}
        if not schedules.is_zero(c.cycle):
            terms["cycle"] = reconstruction.l1(x, self._generate(generator, y, target_label, source_label))
        if not schedules.is_zero(c.identity):
            terms["identity"] = schedules.skip_if_zero(
                schedules.at_step(c.identity, batch["step"][0]),
                lambda: reconstruction.l1(x, self._generate(generator, x, source_label, source_label)),
                tf.zeros_like(terms["adversarial"]),
            )
        if self.spec.kind == "audio" and not schedules.is_zero(c.residual_weight):
            terms["residual"] = reconstruction.l1(
                y, stargan.apply_domain_pair_filter(x, self.filters, source_label, target_label)
            )
        return terms, ((x, source_label), (y, target_label))

    def _generate(self, generator, x: tf.Tensor, source_label: tf.Tensor, target_label: tf.Tensor) -> tf.Tensor:
        if self.spec.kind == "audio":
            return generator([x, source_label, target_label])
        return generator([x, tf.concat([source_label, target_label], axis=-1)])

    def signatures(self) -> dict:
        """`translate_to`, between two domains given by their indices, at any length."""
        generator, count = self.generator_optimizer.averaged(self.generator), len(self.spec.domains)
        source, target = (tf.TensorSpec([], tf.int32, name) for name in ("source", "target"))

        @tf.function(input_signature=[self.features_in(), source, target], autograph=False)
        def translate_to(features, source, target):
            zeros = tf.zeros([tf.shape(features)[0]], tf.int32)
            x = self.normalize_by_domain(features, zeros + source)
            labels = [tf.one_hot(zeros + domain, count) for domain in (source, target)]
            return self.denormalize_by_domain(self._generate(generator, x, *labels), zeros + target)

        return {"translate_to": translate_to}
