"""F0 of recordings, and its transformation to that of a domain.

Log-F0 is transformed to the target's mean and deviation, as is usual in voice conversion (Toda et al. 2007,
doi:10.1109/TASL.2007.907344, Sec. IV). The source's are local, so that any voice can be the source and chunks of a long
recording agree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.features.audio_spec import AudioSpec
from models.recognition import pitch_encoder
from models.running_moments import RunningMoments

WINDOW_S = 1.6  # on either side, over which local mean and deviation are computed
MAX_SCALE = 2.0  # of the deviation; the smallest is its inverse
SMOOTHING_S = 0.02  # standard deviation of the Gaussian of :func:`smooth`
SMOOTHING_DEVIATIONS = 3  # on either side, to which the Gaussian extends


class Pitch(NamedTuple):
    """F0 of examples, all `[batch, frames]`.

    Attributes:
      log_f0: natural logarithm of F0 in Hz.
      relative: log-F0 less its local mean.
      deviation: local standard deviation of log-F0.
      voicing: probability that a frame is voiced.
    """

    log_f0: tf.Tensor
    relative: tf.Tensor
    deviation: tf.Tensor
    voicing: tf.Tensor


def track(log_mels: tf.Tensor, spec: AudioSpec) -> Pitch:
    """F0 of log-mels `[batch, frames, mels]` of a front end."""
    log_f0, voicing = pitch_encoder.track(log_mels, spec)
    mean, deviation = pitch_encoder.local_moments(log_f0, voicing, _window(spec))
    return Pitch(log_f0, log_f0 - mean, deviation, voicing)


def smooth(pitch: Pitch, spec: AudioSpec) -> Pitch:
    """F0 with a relative log-F0 that is averaged over neighbouring frames, weighted by voicing and a Gaussian.

    Errors of the tracker from frame to frame would otherwise grow with the deviation in :meth:`Intonation.in_domain`.
    """
    offsets = np.arange(-_smoothing_frames(spec), _smoothing_frames(spec) + 1) / (SMOOTHING_S * spec.frame_rate_hz)
    kernel = tf.constant(np.exp(-0.5 * offsets**2)[:, None, None], tf.float32)
    weights = pitch.voicing + 1e-3
    totals = [tf.nn.conv1d(x[..., None], kernel, 1, "SAME")[..., 0] for x in (weights * pitch.relative, weights)]
    relative = totals[0] / totals[1]
    return pitch._replace(log_f0=pitch.log_f0 - pitch.relative + relative, relative=relative)


def context(spec: AudioSpec) -> int:
    """Frames on either side on which F0 of :func:`track`, after :func:`smooth`, depends."""
    return _window(spec) + _smoothing_frames(spec) + pitch_encoder.context(spec)


def _window(spec: AudioSpec) -> int:
    return round(WINDOW_S * spec.frame_rate_hz)


def _smoothing_frames(spec: AudioSpec) -> int:
    return math.ceil(SMOOTHING_DEVIATIONS * SMOOTHING_S * spec.frame_rate_hz)


class Intonation(tf.Module):
    """Mean of log-F0 and deviation of relative log-F0 of each domain, over the voiced frames of recent training steps.

    Args:
      domains: number of domains.
    """

    def __init__(self, domains: int):
        super().__init__(name="intonation")
        self.level = RunningMoments(domains, 1, mean=pitch_encoder.CENTRAL_LOG_F0, name="log_f0")
        self.relative = RunningMoments(domains, 1, name="relative_log_f0")

    def statistics(self) -> list[tf.Variable]:
        """The variables from which mean and deviation are computed."""
        return [self.level.sums, self.relative.sums]

    def add(self, pitch: Pitch, domain: tf.Tensor) -> None:
        """Add this replica's examples of a training step, whose domains are `[batch]` int32."""
        self.level.add(pitch.log_f0[..., None], domain, pitch.voicing)
        self.relative.add(pitch.relative[..., None], domain, pitch.voicing)

    def in_domain(self, pitch: Pitch, domain: tf.Tensor) -> Pitch:
        """F0 with the mean of a domain and, as far as `MAX_SCALE` permits, its deviation."""
        deviation = self.relative.std(domain)[..., 0]
        scale = tf.clip_by_value(deviation / tf.maximum(pitch.deviation, 1e-3), 1 / MAX_SCALE, MAX_SCALE)
        relative = scale * pitch.relative
        return Pitch(self.level.mean(domain)[..., 0] + relative, relative, scale * pitch.deviation, pitch.voicing)
