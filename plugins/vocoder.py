"""A vocoder: log-mels to waveforms by one inverse Fourier transform a frame (arXiv:2306.00814, 2203.02395)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from models import layers, schedules
from models.config_fields import option
from models.errors import UserError
from models.losses import reduction, waveform
from models.networks import vocoder
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `vocoder`."""

    batch_size: int = 16
    crop_frames: int = 64
    discriminator_channels: int = 32
    learning_rate_g: float = 5e-4
    learning_rate_d: float = 2e-4
    beta1: float = 0.8
    beta2: float = 0.99
    pool_size: int = 0
    channels: int = option(512, "channels of the network")
    blocks: int = option(8, "ConvNeXt blocks")
    kernel: int = option(7, "kernel size in frames of a block's depthwise convolution; odd")
    projections: int = option(
        0,
        "iterations of alternating projections (Griffin-Lim with the mels as a constraint) after the "
        "network; also during training if a loss needs the waveform",
    )
    mel: schedules.Schedule = option(45.0, "weight of the log-mel loss")
    stft: schedules.Schedule = option(0.0, "weight of the multi-resolution STFT loss")
    magnitude: schedules.Schedule = option(
        0.0, "weight of the magnitude loss on the predicted frames, before overlap-add"
    )
    adversarial: schedules.Schedule = option(
        1.0, "weight of the adversarial loss; 0 for training without discriminators"
    )
    feature_matching: schedules.Schedule = option(2.0, "weight of the feature-matching loss")
    periods: int = option(5, "number of multi-period discriminators, at most 5")
    resolutions: int = option(3, "number of multi-resolution discriminators")
    mels_from: str = option(
        "", "path of a run; the vocoder trains on log-mels that this run's model has encoded and decoded"
    )
    RENAMED: ClassVar[Mapping[str, str]] = {"matching": "feature_matching"}

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, channels=1, blocks=0, kernel=1, projections=0, resolutions=0)
        base.require_at_least(self, below=len(vocoder.PERIODS) + 1, periods=0)
        base.require_at_least(self, crop_frames=2)
        if not self.kernel % 2:
            raise UserError(f"kernel={self.kernel}; wanted an odd number; near it: {self.kernel + 1}")
        for name in ("augment", "spectral_norm"):
            if getattr(self, name):
                raise UserError(f"{name}=True; not supported by the discriminators of vocoder; wanted False")


class Vocoder(base.Plugin):
    """A ConvNeXt over frames that predicts magnitudes and phases; period and resolution discriminators.

    Phases take long to learn. The small preset learns magnitudes only and estimates phases by alternating projections.
    """

    Config = Config
    KINDS = ("audio",)
    PRESETS = {
        "small": {
            "audio": {
                "steps": 10000,
                "batch_size": 8,
                "crop_frames": 48,
                "learning_rate_g": 1e-3,
                "channels": 192,
                "blocks": 4,
                "projections": 32,
                "magnitude": 1.0,
                "mel": 0.0,
                "adversarial": 0.0,
                "feature_matching": 0.0,
                "monitor": "magnitude",
            }
        },
        "full": {"audio": {"steps": 500000}},
    }
    BATCHES = "waveforms"
    MONITOR = "mel"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        self.edge = waveform.edge_frames(spec.features)
        if config.crop_frames < 2 * self.edge + 2:
            raise UserError(f"crop_frames={config.crop_frames}; wanted {2 * self.edge + 2} or more for this front end")
        sizes = {"channels": config.channels, "blocks": config.blocks, "kernel": config.kernel}
        self.generator = vocoder.backbone(spec.features, **sizes)
        self.generator_optimizer = adversarial.generator_optimizer(self, [self.generator])
        self.scales = waveform.resolutions(spec.features, max(3, config.resolutions))
        self.discriminators = [] if schedules.is_zero(config.adversarial) else self._build_discriminators()
        self.taps = tuple(layers.FeatureTaps(d.network) for d in self.discriminators)

    def _build_discriminators(self) -> list:
        c = self.config
        networks = [
            vocoder.period_discriminator(period, channels=c.discriminator_channels)
            for period in vocoder.PERIODS[: c.periods]
        ]
        networks += [
            vocoder.resolution_discriminator(scale, channels=c.discriminator_channels)
            for scale in self.scales[: c.resolutions]
        ]
        samples = (c.crop_frames - 1 - 2 * self.edge) * self.spec.features.hop_length
        return [adversarial.build_discriminator(self, network, network.name, (samples,)) for network in networks]

    @property
    def context(self) -> int:
        """Frames to either side that the samples of one hop depend on."""
        c = self.config
        return vocoder.context(self.spec.features, blocks=c.blocks, kernel=c.kernel, projections=c.projections)

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step (Sec. 3.3 of arXiv:2306.00814).

        1. Generate waveforms from log-mels; update the generator by the gradient of the weighted losses.
        2. Update each discriminator on recorded and generated waveforms.
        """
        step, rng = batch["step"][0], self.rng(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, generated = self._terms(self.generator, batch, rng)
            values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
            total = reduction.total(values, self._weights(values, step))
        self.generator_optimizer.minimize(tape, total)
        for discriminator in self.discriminators:
            values |= discriminator.train(self._inside(batch["waveform"]), generated, rng, step=step)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The losses of :meth:`train_step` with the averaged generator, without an update."""
        rng = self.rng(batch, global_batch_size)
        terms, generated = self._terms(self.generator_optimizer.averaged(self.generator), batch, rng)
        values = {name: reduction.batch_mean(term, global_batch_size) for name, term in terms.items()}
        for discriminator in self.discriminators:
            values |= discriminator.losses(self._inside(batch["waveform"]), generated, rng)
        return values

    def _weights(self, values: dict, step: tf.Tensor) -> dict:
        return {name: schedules.at_step(getattr(self.config, name), step) for name in values}

    def _terms(self, network, batch: base.Batch, rng) -> tuple[dict, tf.Tensor | None]:
        """Losses `[batch]` of the generator by name, and the generated waveforms where a loss needs them."""
        c, real = self.config, self._inside(batch["waveform"])
        frames, terms = self._frames(network, batch["x"]), {}
        needs_waveform = self.discriminators or not (schedules.is_zero(c.mel) and schedules.is_zero(c.stft))
        generated = self._inside(self._waveform(frames, batch["x"])) if needs_waveform else None
        if not schedules.is_zero(c.mel):
            terms["mel"] = waveform.mel(real, generated, self.spec.features)
        if not schedules.is_zero(c.stft):
            terms["stft"] = waveform.multi_resolution_stft(real, generated, self.scales)
        if not schedules.is_zero(c.magnitude):
            terms["magnitude"] = waveform.frame_loss(batch["waveform"], frames, self.spec.features)
        if self.discriminators and not schedules.is_zero(c.adversarial):
            terms["adversarial"] = tf.add_n([d.generator_loss(generated, rng) for d in self.discriminators])
        if self.discriminators and not schedules.is_zero(c.feature_matching):
            distances = [waveform.feature_matching(taps(real), taps(generated)) for taps in self.taps]
            terms["feature_matching"] = tf.add_n(distances)
        return terms, generated

    def _inside(self, y: tf.Tensor) -> tf.Tensor:
        """Waveforms of a crop without their ends, where the log-mels also depend on what lies beyond the crop."""
        edge = self.edge * self.spec.features.hop_length
        return y[:, edge:-edge]

    def _frames(self, network, log_mels: tf.Tensor) -> tf.Tensor:
        """Complex frames `[batch, frames, n_fft // 2 + 1]`."""
        outputs = network(self.normalize(log_mels, self.spec.overall))
        return vocoder.complex_frames(outputs, log_mels, self.spec.features)

    def _waveform(self, frames: tf.Tensor, log_mels: tf.Tensor) -> tf.Tensor:
        projections = self.config.projections
        return vocoder.waveform(frames, log_mels, self.spec.features, projections=projections)

    def signatures(self) -> dict:
        """`vocode`, at any length."""
        generator = self.generator_optimizer.averaged(self.generator)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def vocode(features):
            return self._waveform(self._frames(generator, features), features)

        return {"vocode": vocode}
