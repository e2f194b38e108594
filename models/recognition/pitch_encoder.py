"""F0 and voicing of speech from log-mels, by a small convolutional network whose weights are part of the package.

Its inputs are the harmonics below 2.4 kHz, its output is a distribution over F0, as that of CREPE (Kim et al.,
arXiv:1802.06182), so that an exported graph needs no waveform. `python -m tests.train_pitch_encoder` trained it on F0
that `models.features.pitch` had tracked in recordings of LibriSpeech (Panayotov et al. 2015, CC BY 4.0), with the mel
axis stretched at random, which moves F0 by a known factor.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.features.audio_spec import AudioSpec
from models.recognition import content_encoder

BANDS = 48  # lowest of the encoder's log-mels
LAYERS = 4
KERNEL = 5
CHANNELS = 96
LOWEST_HZ, BINS_PER_OCTAVE, BINS = 55.0, 24, 78  # up to 520 Hz
REFINED_BINS = 3  # on either side of the most probable one, whose mean is the F0
CENTRAL_LOG_F0 = 5.1  # of the voices of men and women: 164 Hz
CONTEXT_FRAMES = LAYERS * (KERNEL // 2)
WEIGHTS = "pitch_encoder.npz"


def logits(log_mels: tf.Tensor, weights) -> tf.Tensor:
    """Logits `[batch, frames, 1 + BINS]` of unvoiced and of each F0, for log-mels of `content_encoder.SPEC`."""
    h = (log_mels[..., :BANDS] - weights["mean"]) / weights["std"]
    for n in range(LAYERS):
        y = tf.nn.conv1d(h, weights[f"kernel_{n}"], 1, "SAME") + weights[f"bias_{n}"]
        h = tf.nn.silu(y) if n == 0 else h + tf.nn.silu(y)
    return tf.matmul(h, weights["output"]) + weights["output_bias"]


def bin_frequencies() -> np.ndarray:
    """Natural logarithms `[BINS]` of the F0 in Hz of each bin."""
    return np.float32(np.log(LOWEST_HZ) + np.log(2) / BINS_PER_OCTAVE * np.arange(BINS))


def decode(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Log-F0 (natural logarithm, Hz) and probability of voicing, both `[batch, frames]`, of logits."""
    probabilities = tf.nn.softmax(values)
    voiced = probabilities[..., 1:]
    best = tf.argmax(voiced, -1, output_type=tf.int32)[..., None]
    near = tf.cast(tf.abs(tf.range(BINS) - best) <= REFINED_BINS, tf.float32) * voiced
    log_f0 = tf.reduce_sum(near * bin_frequencies(), -1) / (tf.reduce_sum(near, -1) + 1e-12)
    return tf.maximum(log_f0, np.float32(np.log(LOWEST_HZ))), 1 - probabilities[..., 0]


def track(log_mels: tf.Tensor, spec: AudioSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Log-F0 and probability of voicing, both `[batch, frames]`, for log-mels of a front end, of any length."""
    x = content_encoder.to_encoder_log_mels(log_mels, spec)
    values = logits(x, content_encoder.read_weights(WEIGHTS))
    return decode(content_encoder.to_frames(values, spec, tf.shape(log_mels)[1]))


def local_moments(log_f0: tf.Tensor, voicing: tf.Tensor, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation of log-F0 up to `width` frames away, weighted by `voicing`; all `[batch, frames]`.

    Where nothing is voiced, the mean is the frame's own log-F0 and the deviation 0.
    """
    x = log_f0 - CENTRAL_LOG_F0  # sums of small numbers are more exact
    terms = tf.stack([x * x, x, tf.ones_like(x)], axis=-1)
    sums = tf.cumsum(tf.pad(voicing[..., None] * terms, [[0, 0], [width + 1, width], [0, 0]]), axis=1)
    totals = sums[:, 2 * width + 1 :] - sums[:, : -2 * width - 1] + 1e-3 * terms
    squares, mean = (totals[..., n] / totals[..., 2] for n in (0, 1))
    return mean + CENTRAL_LOG_F0, tf.sqrt(tf.maximum(squares - mean * mean, 0.0))


def context(spec: AudioSpec) -> int:
    """Frames on either side on which F0 depends, at the rate of a front end."""
    return int(np.ceil(CONTEXT_FRAMES * spec.frame_rate_hz / content_encoder.SPEC.frame_rate_hz)) + 2
