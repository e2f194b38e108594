"""The vocoder: log-mels to waveforms by one inverse Fourier transform a frame (arXiv:2306.00814, 2203.02395)."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models import layers, losses, schedules, vocoder_networks, waveform_losses
from models.errors import UserError
from plugins import adversarial, base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(adversarial.Config):
    """Keys of `vocoder`.

    Attributes:
      channels: width of the network.
      blocks: ConvNeXt blocks.
      kernel: frames that a block's convolution sees; odd.
      projections: times that frames are taken from the waveform itself and brought nearer to what was said and to
        the mels; in training too, where a weight asks for the waveform.
      mel: weight of the difference of log-mels.
      stft: weight of the differences of spectra at several resolutions.
      magnitude: weight of the difference of the magnitudes that are said, before frames overlap.
      adversarial: weight of what the discriminators say; 0 for none, and then there are none.
      matching: weight of the difference of the discriminators' features.
      periods: discriminators of samples some places apart, five at most.
      resolutions: discriminators of spectra.
      mels_from: a run; the network learns from what its model makes of the log-mels, there and back.
    """

    batch_size: int = 16
    crop_frames: int = 64
    critic_channels: int = 32
    rate_g: float = 5e-4
    rate_d: float = 2e-4
    beta1: float = 0.8
    beta2: float = 0.99
    pool_size: int = 0
    channels: int = 512
    blocks: int = 8
    kernel: int = 7
    projections: int = 0
    mel: schedules.Schedule = 45.0
    stft: schedules.Schedule = 0.0
    magnitude: schedules.Schedule = 0.0
    adversarial: schedules.Schedule = 1.0
    matching: schedules.Schedule = 2.0
    periods: int = 5
    resolutions: int = 3
    mels_from: str = ""

    def __post_init__(self):
        super().__post_init__()
        base.at_least(self, channels=1, blocks=0, kernel=1, projections=0, resolutions=0)
        base.at_least(self, below=len(vocoder_networks.PERIODS) + 1, periods=0)
        base.at_least(self, crop_frames=2)
        if not self.kernel % 2:
            raise UserError(f"kernel={self.kernel}; wanted an odd number; near it: {self.kernel + 1}")
        if self.augment:
            raise UserError("augment=True; vocoder's discriminators judge waveforms, so wanted False")


class Vocoder(base.Plugin):
    """A ConvNeXt over frames whose outputs are magnitudes and phases; discriminators of periods and of spectra.

    Phases are learnt slowly. The small preset learns magnitudes alone, and finds phases by projections.
    """

    Config = Config
    KINDS = ("audio",)
    PRESETS = {
        "small": {
            "audio": {
                "steps": 10000,
                "batch_size": 8,
                "crop_frames": 48,
                "rate_g": 1e-3,
                "channels": 192,
                "blocks": 4,
                "projections": 32,
                "magnitude": 1.0,
                "mel": 0.0,
                "adversarial": 0.0,
                "matching": 0.0,
                "monitor": "magnitude",
            }
        },
        "full": {"audio": {"steps": 500000}},
    }
    BATCHES = "waveforms"
    MONITOR = "mel"

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        sizes = {"channels": config.channels, "blocks": config.blocks, "kernel": config.kernel}
        self.network = vocoder_networks.backbone(spec.features, **sizes)
        self.generator = adversarial.generator_player(self, [self.network])
        self.scales = waveform_losses.resolutions(spec.features, max(3, config.resolutions))
        self.adversaries = [] if schedules.is_zero(config.adversarial) else self._adversaries()
        self.taps = [layers.tapped(adversary.network) for adversary in self.adversaries]

    def _adversaries(self) -> list:
        c = self.config
        judges = [
            vocoder_networks.period_discriminator(period, channels=c.critic_channels)
            for period in vocoder_networks.PERIODS[: c.periods]
        ]
        judges += [
            vocoder_networks.resolution_discriminator(scale, channels=c.critic_channels)
            for scale in self.scales[: c.resolutions]
        ]
        samples = (c.crop_frames - 1) * self.spec.features.hop_length
        return [adversarial.adversary_of(self, judge, judge.name, (samples,)) for judge in judges]

    @property
    def context(self) -> int:
        """Frames to either side that the samples of one hop depend on."""
        c = self.config
        return vocoder_networks.context(self.spec.features, blocks=c.blocks, kernel=c.kernel, projections=c.projections)

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of all players.

        1. Say the log-mels; move the network down the gradient of the weighted terms.
        2. Show each discriminator what was recorded and what was said, and move it.
        """
        step, draws = batch["step"][0], self.draws(batch, global_batch_size)
        with tf.GradientTape() as tape:
            terms, made = self._terms(self.network, batch, draws)
            values = {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}
            total = losses.total(values, self._weights(values, step))
        self.generator.minimise(tape, total)
        for n, adversary in enumerate(self.adversaries):
            values |= adversary.train(batch["waveform"], made, draws, 20 * n, step=step)
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The terms of :meth:`train_step`, of the averaged network, and no update."""
        draws = self.draws(batch, global_batch_size)
        terms, made = self._terms(self.generator.averaged(self.network), batch, draws)
        values = {name: losses.batch_mean(term, global_batch_size) for name, term in terms.items()}
        for n, adversary in enumerate(self.adversaries):
            values |= adversary.losses(batch["waveform"], made, draws, 20 * n)
        return values

    def _weights(self, values: dict, step: tf.Tensor) -> dict:
        return {name: schedules.at_step(getattr(self.config, name), step) for name in values}

    def _terms(self, network, batch: base.Batch, draws) -> tuple[dict, tf.Tensor | None]:
        """Losses `[batch]` of the network by name, and the waveforms that it made, if these are asked for."""
        c, real = self.config, batch["waveform"]
        said, terms = self._said(network, batch["x"]), {}
        mute = not self.adversaries and schedules.is_zero(c.mel) and schedules.is_zero(c.stft)
        made = None if mute else self._heard(said, batch["x"])
        if not schedules.is_zero(c.mel):
            terms["mel"] = waveform_losses.mel(real, made, self.spec.features)
        if not schedules.is_zero(c.stft):
            terms["stft"] = waveform_losses.multi_resolution_stft(real, made, self.scales)
        if not schedules.is_zero(c.magnitude):
            terms["magnitude"] = waveform_losses.frame_loss(real, said, self.spec.features)
        if self.adversaries and not schedules.is_zero(c.adversarial):
            judged = [a.generator_loss(made, draws, 20 * n + 10) for n, a in enumerate(self.adversaries)]
            terms["adversarial"] = tf.add_n(judged)
        if self.adversaries and not schedules.is_zero(c.matching):
            matched = [waveform_losses.feature_matching(taps(real), taps(made)) for taps in self.taps]
            terms["matching"] = tf.add_n(matched)
        return terms, made

    def _said(self, network, log_mels: tf.Tensor) -> tf.Tensor:
        said = network(self.normalise(log_mels, self.spec.overall))
        return vocoder_networks.complex_frames(said, log_mels, self.spec.features)

    def _heard(self, said: tf.Tensor, log_mels: tf.Tensor) -> tf.Tensor:
        projections = self.config.projections
        return vocoder_networks.waveform(said, log_mels, self.spec.features, projections=projections)

    def signatures(self) -> dict:
        """`vocode`, at any length."""
        network = self.generator.averaged(self.network)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def vocode(features):
            return self._heard(self._said(network, features), features)

        return {"vocode": vocode}
