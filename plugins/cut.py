"""CUT: one-sided translation that keeps what is where, by contrast of patches (arXiv:2007.15651).

One generator from the first domain to the second, one discriminator, no way back: a patch of the
translation should be recognised among all patches of its source by the features of the generator's own
encoder. For speech, patches are frames.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

from models import layers, schedules
from models.config_fields import option
from models.features import transport
from models.losses import reconstruction, reduction
from models.networks import images, mels
from models.stateless_random import Draws, uniform
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.TranslatorConfig):
    """Keys of `cut`. A weight is a number, or points ``[[step, weight], ...]``."""

    channels: int = 64
    blocks: int = 9
    nce: schedules.Schedule = option(
        1.0, "weight of the patchwise contrastive loss (PatchNCE) between a source and its translation"
    )
    nce_identity: schedules.Schedule = option(
        1.0, "weight of the PatchNCE loss between an example of the second domain and its identity mapping"
    )
    patches: int = option(256, "largest number of patches in the contrastive loss")
    features: int = option(256, "dimensions of the patch embeddings")
    temperature: float = option(0.07, "softmax temperature of the contrastive loss")
    recolour: bool = option(
        False,
        "images: whether random channels are inverted for the contrastive loss, so that it compares "
        "content; without, as in the paper, bright regions tend to stay bright",
    )
    effort: schedules.Schedule = 0.0


class CUT(base.Plugin):
    """A generator, projections of its features, and a discriminator."""

    Config = Config
    PRESETS = {
        "small": {
            "audio": {"steps": 1000, "channels": 128, "blocks": 3, "features": 128, "effort": 10.0},
            "image": {
                "channels": 24,
                "blocks": 3,
                "generator_halvings": 1,
                "halvings": 2,
                "critic_channels": 32,
                "steps": 4000,
                "ema": 0.99,
                "rate_g": 8e-4,
                "rate_d": 2e-4,
                "r1": 1.0,  # else the discriminator wins, and translations stay where they are
                "nce": ((0, 0.05), (1000, 0.2)),  # more of it at first, and they stay what they are
                "nce_identity": 0.0,
                "recolour": True,
                "features": 64,
                "pool_size": 0,
            },
        },
        "full": {
            "audio": {"steps": 200000, "channels": 256, "blocks": 6, "critic_channels": 384, "crop_frames": 64},
            "image": {"steps": 200000, "batch_size": 1, "rate_d": 2e-4, "pool_size": 0},
        },
    }
    BATCHES = "unpaired"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c = config
        self.a, self.b = (spec.moments[name] for name in spec.domains[:2])
        critic = {"channels": c.critic_channels, "spectral_norm": c.spectral_norm}
        if spec.kind == "image":
            sizes = {"channels": c.channels, "blocks": c.blocks, "halvings": c.generator_halvings}
            self.generator = images.resnet_generator(spec.features, **sizes)
            discriminator = images.patch_discriminator(spec.features, halvings=c.halvings, **critic)
        else:
            end = self.b if c.transport else self.a
            self.filter = transport.kernel(self.a, end, spec.features).astype(np.float32)
            sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
            self.generator = mels.mel_generator(spec.bins, **sizes, transport=self.filter)
            discriminator = mels.mel_discriminator(spec.bins, **critic)
        self.taps = {"generator": layers.tapped(self.generator)}  # in a dict: no network of its own
        self.heads = images.patch_heads(self.taps["generator"], features=c.features)
        self.mover = adversarial.generator_player(self, [self.generator, self.heads])
        shape = spec.feature_shape(c.crop_frames)
        self.adversary = adversarial.adversary_of(self, discriminator, "discriminator", shape)

    @property
    def context(self) -> int:
        """Frames to either side that one output frame of a translation depends on."""
        if self.spec.kind == "image":
            return 0
        sizes = {"blocks": self.config.blocks, "kernel": self.config.kernel}
        return mels.mel_generator_context(**sizes, taps=len(self.filter))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of both players (Sec. 3 of the paper).

        1. Translate; look up which patch of the source each patch of the translation is most like.
        2. Move generator and projections down the gradient of ``adversarial + nce + nce_identity``.
        3. Move the discriminator.
        """
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        step, draws = batch["step"][0], self.draws(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, ab = self._terms(self.generator, a, b, step, draws)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            names = ("nce", "nce_identity", "effort")
            weights = {name: schedules.at_step(getattr(self.config, name), step) for name in names}
            total = reduction.total(values, {"adversarial": 1.0, **weights})
        self.mover.minimise(tape, total)
        return values | self.adversary.train(b, ab, draws, 20, step=step)

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, of the averaged generator, and no update.

        Patches are contrasted by the features of the weights themselves.
        """
        a, b = self.normalise(batch["a"], self.a), self.normalise(batch["b"], self.b)
        draws = self.draws(batch, global_batch_size)
        terms, ab = self._terms(self.mover.averaged(self.generator), a, b, batch["step"][0], draws)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return values | self.adversary.losses(b, ab, draws, 20)

    def _terms(self, generator, a, b, step, draws) -> tuple[dict, tf.Tensor]:
        """Losses `[batch]` of the generator by name, and the translation."""
        c = self.config
        ab = generator(a)
        terms = {"adversarial": self.adversary.generator_loss(ab, draws, 1)}
        if not schedules.is_zero(c.nce):
            terms["nce"] = self._contrast(a, ab, draws, 10)
        if not schedules.is_zero(c.nce_identity):
            terms["nce_identity"] = schedules.when_weighed(
                schedules.at_step(c.nce_identity, step),
                lambda: self._contrast(b, generator(b), draws, 11),
                tf.zeros_like(terms["adversarial"]),
            )
        if self.spec.kind == "audio" and not schedules.is_zero(c.effort):
            terms["effort"] = reconstruction.l1(ab, tf.nn.conv1d(a, self.filter, 1, "SAME"))
        return terms, ab

    def _contrast(self, source: tf.Tensor, translation: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
        """Mean over the taps of the contrast at the same random places, `[batch]`.

        No gradient runs into what the source is known by.
        """
        taps, seed = self.taps["generator"], draws.of(salt)
        if self.config.recolour and self.spec.kind == "image":
            source, translation = (_recoloured(x, draws, salt + n) for x, n in ((source, 2), (translation, 4)))
        both = zip(_listed(taps(translation)), _listed(taps(source)), strict=True)
        pairs = [self._at_places(q, k, seed + n) for n, (q, k) in enumerate(both)]
        queries, keys = (_listed(self.heads(list(side))) for side in zip(*pairs, strict=True))
        told = [
            reconstruction.patch_nce(q, tf.stop_gradient(k), self.config.temperature)
            for q, k in zip(queries, keys, strict=True)
        ]
        return tf.add_n(told) / len(told)

    def _at_places(self, query: tf.Tensor, key: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features `[batch, places, channels]` of both at the same places, drawn where there are many."""
        count = math.prod(query.shape[1:-1])
        query, key = (tf.reshape(x, [-1, count, x.shape[-1]]) for x in (query, key))
        if count <= self.config.patches:
            return query, key
        places = tf.math.top_k(uniform([count], seed), self.config.patches).indices
        return tf.gather(query, places, axis=1), tf.gather(key, places, axis=1)

    def signatures(self) -> dict:
        """`translate_ab`, at any length."""
        generator = self.mover.averaged(self.generator)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def translate_ab(features):
            return self.denormalise(generator(self.normalise(features, self.a)), self.b)

        return {"translate_ab": translate_ab}


def _recoloured(x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
    """Pictures in [-1, 1], each with random channels inverted."""
    return tf.where(draws.uniform(salt, 1, 1, x.shape[-1]) < 0.5, -x, x)


def _listed(x) -> list:
    return list(x) if isinstance(x, (list, tuple)) else [x]
