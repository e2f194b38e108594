"""Recognition and synthesis: what is spoken is recognised, and a decoder of each voice speaks it.

A recogniser of phonemes, which is part of the package and not trained here, gives the content of every frame, another
network F0 and voicing (phonetic posteriorgrams as in Sun et al. 2016, doi:10.1109/ICME.2016.7552917). A decoder learns
from recordings of each domain to give their log-mels from content, relative F0, voicing and level. As the content
depends little on the speaker, any voice can be the source.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models.config_fields import option
from models.losses import reconstruction, reduction
from models.networks import speech_decoder
from models.recognition import content_encoder, pitch_encoder, voice_perturbation
from plugins import base

PITCH_SCALE = 5.0  # of relative log-F0: a few semitones are about 1
LEVEL_SCALE = 0.5
PITCH_WINDOW_S = 1.6  # on either side, over which F0 is averaged


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys of `recognition_synthesis`. A weight is a number, or points ``[[step, weight], ...]``."""

    crop_frames: int = 256
    batch_size: int = 8
    decay: str = "cosine"
    learning_rate: float = option(1e-3, "learning rate of Adam")
    channels: int = option(256, "channels of the decoder")
    blocks: int = option(8, "residual blocks of the decoder")
    kernel: int = option(5, "kernel size in frames of the decoder's convolutions; odd")
    stretch: float = option(
        1.2, "largest factor by which pitch and formants are altered before recognition during training; 1 for none"
    )
    dropout: float = option(0.1, "probability with which a component of the content is left out during training")

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, channels=1, blocks=0, kernel=1, learning_rate=0, stretch=1)
        base.require_at_least(self, below=1, dropout=0)


class RecognitionSynthesis(base.Plugin):
    """A decoder of content, F0, voicing and level for any number of domains."""

    Config = Config
    KINDS = ("audio",)
    PRESETS = {
        "small": {"audio": {"steps": 1500}},
        "full": {"audio": {"steps": 50000, "channels": 512, "batch_size": 32}},
    }
    BATCHES = "mixed"
    MONITOR = "l1"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c = config
        self.decoder = speech_decoder.speech_decoder(
            content_encoder.COMPONENTS + 3,
            spec.bins,
            domains=len(spec.domains),
            channels=c.channels,
            blocks=c.blocks,
            kernel=c.kernel,
        )
        self.optimizer = self.build_optimizer(c.learning_rate, [self.decoder], betas=(0.8, 0.99))

    @property
    def context(self) -> int:
        """Frames on either side that one output frame of a translation depends on."""
        c, front_end = self.config, self.spec.features
        decoder = speech_decoder.speech_decoder_context(blocks=c.blocks, kernel=c.kernel)
        return decoder + max(
            content_encoder.context(front_end), self._pitch_window() + pitch_encoder.context(front_end)
        )

    def _pitch_window(self) -> int:
        return round(PITCH_WINDOW_S * self.spec.features.frame_rate_hz)

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step: decode the content of altered examples; update the decoder by the gradient of the L1 error."""
        with tf.GradientTape() as tape:
            values = self._losses(self.decoder, batch, global_batch_size, training=True)
        self.optimizer.minimize(tape, values["l1"])
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The L1 error with the averaged decoder and without alterations."""
        return self._losses(self.optimizer.averaged(self.decoder), batch, global_batch_size, training=False)

    def _losses(self, decoder, batch: base.Batch, global_batch_size: int, *, training: bool) -> dict[str, tf.Tensor]:
        x, domain = batch["x"], batch["domain"]
        rng = self.rng(batch, global_batch_size) if training else None
        y = decoder([self._features(x, rng), tf.one_hot(domain, len(self.spec.domains))])
        loss = reconstruction.l1(self._normalize(x, domain), y)
        return {"l1": reduction.batch_mean(loss, global_batch_size)}

    def _features(self, log_mels: tf.Tensor, rng=None) -> tf.Tensor:
        """Content, relative log-F0, voicing and level of every frame `[batch, frames, 67]`; altered with `rng`."""
        spec, heard = self.spec.features, log_mels
        if rng is not None and self.config.stretch > 1:
            heard = voice_perturbation.stretch(
                log_mels, voice_perturbation.random_stretch(rng), spec, largest=self.config.stretch
            )
        content = tf.stop_gradient(content_encoder.encode(heard, spec))
        if rng is not None and self.config.dropout:
            kept = rng.stream("dropout").uniform(1, content.shape[-1]) >= self.config.dropout
            content *= tf.cast(kept, content.dtype)
        log_f0, voicing = pitch_encoder.track(log_mels, spec)
        pitch = PITCH_SCALE * pitch_encoder.relative(log_f0, voicing, self._pitch_window())
        level = LEVEL_SCALE * (0.5 * tf.reduce_logsumexp(2 * log_mels, axis=-1))
        return tf.concat([content, tf.stack([pitch, voicing, level], axis=-1)], axis=-1)

    def _normalize(self, x: tf.Tensor, domain: tf.Tensor) -> tf.Tensor:
        return (x - self._statistic("mean", domain)) / self._statistic("std", domain)

    def _statistic(self, name: str, domain: tf.Tensor) -> tf.Tensor:
        """A statistic `[batch, 1, bins]` of each example's domain."""
        table = np.stack([getattr(self.spec.moments[each], name) for each in self.spec.domains])
        return tf.gather(tf.constant(table, tf.float32), domain)[:, None]

    def signatures(self) -> dict:
        """`translate_to`, from any voice to a domain given by its index, at any length."""
        decoder, count = self.optimizer.averaged(self.decoder), len(self.spec.domains)
        source, target = (tf.TensorSpec([], tf.int32, name) for name in ("source", "target"))

        @tf.function(input_signature=[self.features_in(), source, target], autograph=False)
        def translate_to(features, source, target):
            del source  # any voice
            domain = tf.zeros([tf.shape(features)[0]], tf.int32) + target
            y = decoder([self._features(features), tf.one_hot(domain, count)])
            y = y * self._statistic("std", domain) + self._statistic("mean", domain)
            return tf.clip_by_value(y, self.spec.features.log_floor, self._statistic("highest", domain))

        return {"translate_to": translate_to}
