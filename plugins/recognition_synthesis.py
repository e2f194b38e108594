"""Speech of any voice to each domain: a phoneme recogniser, and a decoder conditioned on the domain.

A recogniser of phonemes, which is part of the package and not trained here, gives the content of every frame, another
network F0 and voicing (phonetic posteriorgrams as in Sun et al. 2016, doi:10.1109/ICME.2016.7552917). A decoder learns
from recordings of each domain to give their log-mels from content, relative F0, voicing and level; to its output are
added the log-mels of the harmonics of F0. In a translation, F0 gets mean and deviation of the domain. As the content
depends little on the speaker, any voice can be the source.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import tensorflow as tf

from models import layers, schedules
from models.config_fields import option
from models.errors import UserError
from models.losses import reconstruction, reduction, waveform
from models.networks import speech_decoder
from models.recognition import content_encoder, voice_perturbation
from models.running_moments import RunningMoments
from models.synthesis import harmonics, intonation, trained_decoder
from plugins import adversarial, base

PITCH_SCALE = 5.0  # of relative log-F0: a few semitones are about 1
LEVEL_SCALE = 0.5
MAX_VARIANCE_SCALE = 1.2  # of decoded log-mels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `recognition_synthesis`. A weight is a number, or points ``[[step, weight], ...]``."""

    crop_frames: int = 128
    batch_size: int = 12
    decay: Literal["linear", "cosine", "constant"] = "cosine"
    learning_rate_g: float = 1e-3
    learning_rate_d: float = 2e-4
    beta1: float = 0.8
    beta2: float = 0.99
    discriminator_channels: int = 32
    pool_size: int = 0
    l1: schedules.Schedule = option(10.0, "weight of the L1 loss")
    adversarial: schedules.Schedule = option(
        1.0, "weight of the adversarial loss; 0 for training without a discriminator"
    )
    feature_matching: schedules.Schedule = option(2.0, "weight of the feature-matching loss")
    channels: int = option(256, "channels of the decoder")
    blocks: int = option(8, "residual blocks of the decoder")
    kernel: int = option(5, "kernel size in frames of the decoder's convolutions; odd")
    embedding: int = option(64, "dimensions of the domain embedding that conditions the decoder")
    pretrained: bool = option(
        True, "whether decoder and discriminator start from trained weights that are part of the package, if sizes fit"
    )
    stretch: float = option(
        1.2, "largest factor by which pitch and formants are altered before recognition during training; 1 for none"
    )
    dropout: float = option(0.1, "probability with which a component of the content is left out during training")

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, channels=1, blocks=0, kernel=1, embedding=1, stretch=1)
        base.require_at_least(self, below=1, dropout=0)
        if not self.kernel % 2:
            raise UserError(f"kernel={self.kernel}; wanted an odd number; near it: {self.kernel + 1}")


class RecognitionSynthesis(base.Plugin):
    """A decoder of content, intonation and level for any number of domains."""

    Config = Config
    KINDS = ("audio",)
    PRESETS = {
        "small": {"audio": {"steps": 1000}},
        "full": {"audio": {"steps": 50000, "channels": 512, "batch_size": 32}},
    }
    BATCHES = "mixed"
    MONITOR = "l1"
    ANY_SOURCE = True
    DOMAIN_NETWORKS = ("voices",)

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        c, domains = config, len(spec.domains)
        sizes = {"channels": c.channels, "blocks": c.blocks, "kernel": c.kernel}
        self.decoder = speech_decoder.speech_decoder(
            content_encoder.COMPONENTS + 3, spec.bins, embedding=c.embedding, **sizes
        )
        self.voices = speech_decoder.domain_embedding(domains, c.embedding)
        self.discriminator = self.taps = None
        network = None
        if not schedules.is_zero(c.adversarial):
            network = speech_decoder.mel_patch_discriminator(
                spec.bins, channels=c.discriminator_channels, spectral_norm=c.spectral_norm
            )
            self.taps = layers.FeatureTaps(network)
        if c.pretrained:
            networks = [self.decoder, self.voices, *([network] if network else [])]
            trained_decoder.initialize(networks, spec.features)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.decoder, self.voices])
        if network:
            shape = spec.feature_shape(c.crop_frames)
            self.discriminator = adversarial.build_discriminator(self, network, "discriminator", shape)
        self.intonation = intonation.Intonation(domains)
        self.decoded, self.recorded = (
            RunningMoments(domains, spec.bins, name=name) for name in ("decoded", "recorded")
        )

    def statistics(self) -> list[tf.Variable]:
        """Of F0, and of decoded and recorded log-mels, of each domain."""
        return [*self.intonation.statistics(), self.decoded.sums, self.recorded.sums]

    @property
    def context(self) -> int:
        """Frames on either side that one output frame of a translation depends on."""
        c, front_end = self.config, self.spec.features
        decoder = speech_decoder.speech_decoder_context(blocks=c.blocks, kernel=c.kernel)
        return decoder + max(content_encoder.context(front_end), intonation.context(front_end))

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step.

        1. Decode the content of altered examples with their own domain's label; update the decoder by the gradient of
           the weighted losses: L1, adversarial, feature matching (Sec. 2.3 of arXiv:2010.05646).
        2. Add F0 and the recorded and decoded log-mels to the moments of their domains.
        3. Update the discriminator on recorded and decoded log-mels.
        """
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        pitch = intonation.track(batch["x"], self.spec.features)
        self.intonation.add(pitch, batch["domain"])
        features = self._features(batch["x"], pitch, rng)
        with tf.GradientTape() as tape:
            terms, examples = self._terms((self.decoder, self.voices), features, batch, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            weights = {name: schedules.at_step(getattr(self.config, name), step) for name in values}
            total = reduction.total(values, weights)
        self.generator_optimizer.minimize(tape, total)
        for moments, log_mels in zip((self.recorded, self.decoded), examples, strict=True):
            moments.add(log_mels, batch["domain"])
        return values | (self.discriminator.train(*examples, rng, step=step) if self.discriminator else {})

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged decoder and unaltered examples, without an update."""
        rng, pitch = self.rng(batch, global_batch_size), intonation.track(batch["x"], self.spec.features)
        terms, examples = self._terms(self._averaged(), self._features(batch["x"], pitch), batch, rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        return values | (self.discriminator.losses(*examples, rng) if self.discriminator else {})

    def _averaged(self) -> tuple:
        """Decoder and domain embedding with the moving averages of their weights, if these are kept."""
        return tuple(self.generator_optimizer.averaged(network) for network in (self.decoder, self.voices))

    def _decode(self, networks: tuple, features: list[tf.Tensor], domain: tf.Tensor) -> tf.Tensor:
        """Normalised log-mels `[batch, frames, mels]` of what :meth:`_features` returns, as each domain's speaker."""
        decoder, voices = networks
        return decoder([*features, voices(tf.one_hot(domain, len(self.spec.domains)))])

    def _terms(self, networks: tuple, features: list[tf.Tensor], batch: base.Batch, rng) -> tuple[dict, tuple]:
        """Losses `[batch]` of the decoder by name; recorded and decoded log-mels, normalised."""
        x = self.normalize_by_domain(batch["x"], batch["domain"])
        y = self._decode(networks, features, batch["domain"])
        terms, c = {}, self.config
        if not schedules.is_zero(c.l1):
            terms["l1"] = reconstruction.l1(x, y)
        if self.discriminator and not schedules.is_zero(c.adversarial):
            terms["adversarial"] = self.discriminator.generator_loss(y, rng)
        if self.discriminator and not schedules.is_zero(c.feature_matching):
            terms["feature_matching"] = waveform.feature_matching(self.taps(x), self.taps(y))
        return terms, (x, y)

    def _features(self, log_mels: tf.Tensor, pitch: intonation.Pitch, rng=None) -> list[tf.Tensor]:
        """What the decoder is given of every frame.

        Args:
          log_mels: whose content and level they are, `[batch, frames, mels]`.
          pitch: F0 to speak at.
          rng: alters the content at random, in training.

        Returns:
          Content, relative log-F0, voicing and level `[batch, frames, 67]`, and the log-mels of the harmonics.
        """
        spec, altered = self.spec.features, log_mels
        if rng is not None and self.config.stretch > 1:
            altered = voice_perturbation.stretch(
                log_mels, voice_perturbation.random_stretch(rng), spec, largest=self.config.stretch
            )
        content = content_encoder.encode(altered, spec)
        if rng is not None and self.config.dropout:
            kept = rng.stream("dropout").uniform(1, content.shape[-1]) >= self.config.dropout
            content *= tf.cast(kept, content.dtype)
        voicing, relative = pitch.voicing, PITCH_SCALE * pitch.voicing * pitch.relative
        level = LEVEL_SCALE * (0.5 * tf.reduce_logsumexp(2 * log_mels, axis=-1))
        features = tf.concat([content, tf.stack([relative, voicing, level], axis=-1)], axis=-1)
        return [features, voicing[..., None] * harmonics.log_mels(pitch.log_f0, spec)]

    def _with_recorded_variance(self, y: tf.Tensor, domain: tf.Tensor) -> tf.Tensor:
        """Decoded log-mels, each band's deviation raised to that of recordings, by at most `MAX_VARIANCE_SCALE`.

        A decoder that minimises an error gives less variance than speech has; see Silén et al., "Ways to implement
        global variance in statistical speech synthesis", Interspeech 2012.
        """
        mean, scale = self.decoded.mean(domain), self.recorded.std(domain) / self.decoded.std(domain)
        return mean + (y - mean) * tf.clip_by_value(scale, 1.0, MAX_VARIANCE_SCALE)

    def signatures(self) -> dict:
        """`translate_to`, from any voice to a domain given by its index, at any length."""
        networks = self._averaged()
        source, target = (tf.TensorSpec([], tf.int32, name) for name in ("source", "target"))

        @tf.function(input_signature=[self.features_in(), source, target], autograph=False)
        def translate_to(features, source, target):
            del source  # any voice
            domain = tf.zeros([tf.shape(features)[0]], tf.int32) + target
            pitch = intonation.smooth(intonation.track(features, self.spec.features), self.spec.features)
            pitch = self.intonation.in_domain(pitch, domain)
            y = self._decode(networks, self._features(features, pitch), domain)
            return self.denormalize_by_domain(self._with_recorded_variance(y, domain), domain)

        return {"translate_to": translate_to}
