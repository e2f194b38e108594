"""CUT: one-sided translation with a patchwise contrastive loss (arXiv:2007.15651).

One generator from the first domain to the second and one discriminator. Content is kept by the contrastive loss: by
the features of the generator's own encoder, a patch of the translation is to be recognised among all patches of its
source. For speech, patches are frames.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from models import layers, schedules
from models.config_fields import option
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import images, mels
from models.stateless_random import StatelessRng, uniform
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.PairTranslatorConfig):
    """Keys of `cut`. A weight is a number, or points ``[[step, weight], ...]``."""

    channels: int = 64
    blocks: int = 9
    nce: schedules.Schedule = option(
        1.0, "weight of the patchwise contrastive loss (PatchNCE) between a source and its translation"
    )
    nce_identity: schedules.Schedule = option(
        1.0, "weight of the PatchNCE loss between an example of the second domain and its identity mapping"
    )
    num_patches: int = option(256, "largest number of patches in the contrastive loss")
    features: int = option(256, "dimensions of the patch embeddings")
    temperature: float = option(0.07, "softmax temperature of the contrastive loss")
    invert_channels: bool = option(
        False,
        "images: whether random channels are inverted for the contrastive loss, so that it compares "
        "content; without, as in the paper, bright regions tend to stay bright",
    )
    residual_weight: schedules.Schedule = 0.0
    RENAMED: ClassVar[Mapping[str, str]] = {"patches": "num_patches", "recolour": "invert_channels"}

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, num_patches=1, features=1, temperature=0.001)


WEIGHT_KEYS = {
    "nce": "nce",
    "nce_identity": "nce_identity",
    "residual": "residual_weight",
}  # loss to the key of its weight


class CUT(base.Plugin):
    """A generator, projections of its features, and a discriminator."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 1000, "channels": 128, "blocks": 3, "features": 128, "residual_weight": 10.0},
            "image": {
                "channels": 24,
                "blocks": 3,
                "generator_num_downsamples": 1,
                "discriminator_num_downsamples": 2,
                "discriminator_channels": 32,
                "steps": 4000,
                "ema": 0.99,
                "learning_rate_g": 8e-4,
                "learning_rate_d": 2e-4,
                "r1": 1.0,  # without it the discriminator wins, and the generator stays near the identity
                "nce": ((0, 0.05), (1000, 0.2)),  # a larger weight at first keeps the generator at the identity
                "nce_identity": 0.0,
                "invert_channels": True,
                "features": 64,
                "pool_size": 0,
            },
            "photograph": {
                **adversarial.PHOTOGRAPHS,
                "steps": 1500,
                "nce": ((0, 0.05), (1000, 0.2)),
                "nce_identity": 0.0,
                "invert_channels": True,
                "features": 64,
            },
        },
        "medium": {
            "photograph": {
                **adversarial.MEDIUM_PHOTOGRAPHS,
                "steps": 40000,
                "nce": ((0, 0.05), (1000, 0.2)),
                "nce_identity": 0.0,
                "invert_channels": True,
            },
        },
        "full": {
            "audio": {"steps": 200000, "channels": 256, "blocks": 6, "discriminator_channels": 384, "crop_frames": 64},
            "image": {"steps": 200000, "batch_size": 1, "learning_rate_d": 2e-4, "pool_size": 0},
        },
    }
    BATCHES = "unpaired"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c = config
        self.a, self.b = (spec.moments[name] for name in spec.domains[:2])
        if spec.kind == "image":
            sizes = {"channels": c.channels, "blocks": c.blocks, "num_downsamples": c.generator_num_downsamples}
            self.generator = images.resnet_generator(spec.features, **sizes, skip=c.generator_skip)
        else:
            target = self.b if c.transport else self.a
            self.filter = transport.kernel(self.a, target, spec.features).astype(np.float32)
            sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
            self.generator = mels.mel_generator(spec.bins, **sizes, transport=self.filter)
        self.taps = layers.FeatureTaps(self.generator)
        self.heads = images.patch_heads(self.taps.channels, features=c.features)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator, self.heads])
        shape = spec.feature_shape(c.crop_frames)
        network = adversarial.discriminator_network(c, spec)
        self.discriminator = adversarial.build_discriminator(self, network, "discriminator", shape)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=len(self.filter))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step (Sec. 3 of the paper).

        1. Translate; compare patches of translations with patches of their sources.
        2. Update generator and projection heads by the gradient of ``adversarial + nce + nce_identity`` (Eq. 5).
        3. Update the discriminator.
        """
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, ab = self._terms(self.generator, a, b, step, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            weights = {name: schedules.at_step(getattr(self.config, key), step) for name, key in WEIGHT_KEYS.items()}
            total = reduction.total(values, {"adversarial": 1.0, **weights})
        self.generator_optimizer.minimize(tape, total)
        return values | self.discriminator.train(b, ab, rng, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generator, without an update.

        Patches are compared by the features of the generator with its current weights.
        """
        a, b = self.normalize(batch["a"], self.a), self.normalize(batch["b"], self.b)
        rng = self.rng(batch, global_batch_size)
        terms, ab = self._terms(self.generator_optimizer.averaged(self.generator), a, b, batch["step"][0], rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return values | self.discriminator.losses(b, ab, rng)

    def _terms(self, generator, a, b, step, rng) -> tuple[dict, tf.Tensor]:
        """Losses `[batch]` of the generator by name, and the translation."""
        c = self.config
        ab = generator(a)
        terms = {"adversarial": self.discriminator.generator_loss(ab, rng)}
        if not schedules.is_zero(c.nce):
            terms["nce"] = self._contrastive_loss(a, ab, rng.stream("nce"))
        if not schedules.is_zero(c.nce_identity):
            terms["nce_identity"] = schedules.skip_if_zero(
                schedules.at_step(c.nce_identity, step),
                lambda: self._contrastive_loss(b, generator(b), rng.stream("nce_identity")),
                tf.zeros_like(terms["adversarial"]),
            )
        if self.spec.kind == "audio" and not schedules.is_zero(c.residual_weight):
            terms["residual"] = reconstruction.l1(ab, tf.nn.conv1d(a, self.filter, 1, "SAME"))
        return terms, ab

    def _contrastive_loss(self, source: tf.Tensor, translation: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
        """Mean over the feature taps of the PatchNCE loss (Eq. 3 of the paper) at random positions, `[batch]`.

        No gradient passes into the features of the source.
        """
        if self.config.invert_channels and self.spec.kind == "image":
            source = _invert_random_channels(source, rng.stream("recolour_source"))
            translation = _invert_random_channels(translation, rng.stream("recolour_translation"))
        features = zip(self.taps(translation), self.taps(source), strict=True)
        pairs = [self._at_random_positions(q, k, rng.stream(f"positions_{n}")) for n, (q, k) in enumerate(features)]
        queries, keys = (_as_list(self.heads(list(side))) for side in zip(*pairs, strict=True))
        losses = [
            reconstruction.patch_nce(q, tf.stop_gradient(k), self.config.temperature)
            for q, k in zip(queries, keys, strict=True)
        ]
        return tf.add_n(losses) / len(losses)

    def _at_random_positions(self, query, key, rng: StatelessRng) -> tuple[tf.Tensor, tf.Tensor]:
        """Features `[batch, positions, channels]` of both at the same positions, at most `patches` random ones."""
        count = math.prod(query.shape[1:-1])
        query, key = (tf.reshape(x, [-1, count, x.shape[-1]]) for x in (query, key))
        if count <= self.config.num_patches:
            return query, key
        positions = tf.math.top_k(uniform([count], rng.key()), self.config.num_patches).indices
        return tf.gather(query, positions, axis=1), tf.gather(key, positions, axis=1)

    def signatures(self) -> dict:
        """`translate_ab`, at any length."""
        generator = self.generator_optimizer.averaged(self.generator)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self.denormalize(generator(self.normalize(features, self.a)), self.b)

        return {"translate_ab": translate_ab}


def _invert_random_channels(x: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
    """Images in [-1, 1] with random channels of each inverted."""
    return tf.where(rng.uniform(1, 1, x.shape[-1]) < 0.5, -x, x)


def _as_list(x) -> list:
    return list(x) if isinstance(x, (list, tuple)) else [x]
