"""Vocoder networks: log-mels to complex STFT frames to a waveform, and waveform discriminators.

Log-mels are `[batch, frames, mels]`, waveforms `[batch, samples]`, of any length.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from models import layers, spectral, waveform_losses
from models.features import audio, inversion
from models.features.audio import AudioSpec

PERIODS = (2, 3, 5, 7, 11)  # of period discriminators, Sec. 2.3 of arXiv:2010.05646
MOMENTUM = 0.9  # of projections; 0.97 oscillates
MAGNITUDE_WEIGHT = 0.6  # of the predicted magnitudes at the first projection; decreases linearly to 0
MAX_AMPLIFICATION = 10.0  # of a mel band per projection
CONTEXT_PROJECTIONS = 8  # projections that enlarge the context; in further ones, effects are below 1e-3
FLOOR_TOLERANCE = 0.01  # of log-mels at the floor, above the resolution of half precision


def backbone(spec: AudioSpec, *, channels: int, blocks: int, kernel: int) -> keras.Model:
    """ConvNeXt over frames (Sec. 3.1 of arXiv:2306.00814): normalised mels to `[batch, frames, 2 * (n_fft // 2 + 1)]`.

    The output layer is initialised with small weights, because its output corrects magnitudes computed from the mels.
    """
    x = keras.Input((None, spec.n_mels), name="mels")
    h = layers.frame_norm(keras.layers.Conv1D(channels, kernel, padding="same")(x))
    for _ in range(blocks):
        h = layers.convnext1d(h, 3 * channels, kernel, gain=1 / blocks)
    initializer = keras.initializers.RandomNormal(stddev=0.02)
    output = keras.layers.Dense(2 * (spec.n_fft // 2 + 1), kernel_initializer=initializer, dtype="float32")
    return keras.Model(x, output(layers.frame_norm(h)), name="vocoder")


def context(spec: AudioSpec, *, blocks: int, kernel: int, projections: int) -> int:
    """Context in frames on either side that affects the samples of one hop by more than 1e-3.

    The sum of the receptive field of the network and the reach of overlapping frames.
    """
    frames_over_sample = -(-spec.n_fft // 2 // spec.hop_length)  # frames on either side that contain a sample
    frames_over_frame = -(-spec.n_fft // spec.hop_length) - 1  # frames on either side that overlap a frame
    reach = frames_over_sample + min(projections, CONTEXT_PROJECTIONS) * frames_over_frame
    return (blocks + 1) * (kernel // 2) + reach


def complex_frames(output: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Complex frames `[batch, frames, n_fft // 2 + 1]` from the output of the backbone.

    The first half of the output is a correction of the log magnitudes computed from the mels, the second half the
    phase in radians (Eq. 3 of arXiv:2306.00814). Magnitudes are limited to four times that of a full-scale tone.

    Args:
      output: `[batch, frames, 2 * (n_fft // 2 + 1)]`.
      log_mels: `[batch, frames, mels]`, not normalised.
      spec: the front end.
    """
    correction, phase = tf.split(tf.cast(output, tf.float32), 2, axis=-1)
    log_magnitude = tf.math.log(spectral.mel_to_magnitude(log_mels, spec, iterations=4) + 1e-6)
    magnitude = tf.exp(tf.minimum(log_magnitude + correction, np.log(spec.n_fft)))
    return tf.complex(magnitude * tf.cos(phase), magnitude * tf.sin(phase))


def waveform(predicted: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec, *, projections: int) -> tf.Tensor:
    """Waveform `[batch, (frames - 1) * hop_length]` from predicted complex frames.

    Overlap-add alone cancels inconsistent frames, which makes bands too quiet. So the waveform is refined by
    alternating projections as in Griffin & Lim (1984), with the momentum of Perraudin et al. (2013), inside the
    network as in arXiv:1903.03971. Each projection

    1. computes the STFT of the current waveform,
    2. moves its magnitudes towards the predicted ones, with a weight that decreases linearly to zero,
    3. scales each bin towards the given mels, see :func:`mel_correction`,
    4. inverts the STFT.

    The predicted magnitudes are estimates, but the mels are given. A hop has fewer samples than bins, but more samples
    than mel bands, so waveforms with exactly these mels exist.

    Args:
      predicted: `[batch, frames, n_fft // 2 + 1]`.
      log_mels: `[batch, frames, mels]`, not normalised.
      spec: the front end.
      projections: number of projections; 0 applies the inverse STFT only.
    """
    weights = spectral.overlap_weights(tf.shape(predicted)[1], spec)
    initial = spectral.istft(predicted, spec, weights=weights)
    log_magnitude = tf.math.log(waveform_losses.frame_magnitude(predicted))

    def project(y, previous, remaining):
        frames = spectral.stft(y + MOMENTUM * (y - previous), spec)
        real, imaginary = tf.math.real(frames), tf.math.imag(frames)
        power = tf.square(real) + tf.square(imaginary) + waveform_losses.EPSILON
        factor = tf.exp(MAGNITUDE_WEIGHT * remaining * (log_magnitude - 0.5 * tf.math.log(power)))
        factor *= mel_correction(factor * tf.sqrt(power), log_mels, spec)
        projected = spectral.istft(tf.complex(factor * real, factor * imaginary), spec, weights=weights)
        return tf.ensure_shape(projected, y.shape), y, remaining - 1 / projections

    return spectral.repeat(project, projections, initial, initial, tf.constant(1.0))[0] if projections else initial


def mel_correction(magnitude: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Factors that bring magnitudes one step nearer to the given log-mels.

    One update of `spectral.mel_to_magnitude`. Bands at the floor are only attenuated, and other bands amplified by at
    most `MAX_AMPLIFICATION`, so that silence stays silent.
    """
    bank = audio.mel_matrix(spec)
    mels = tf.matmul(magnitude, bank.T)
    max_ratio = tf.where(log_mels > spec.log_floor + FLOOR_TOLERANCE, MAX_AMPLIFICATION, 1.0)
    ratio = tf.minimum(tf.exp(log_mels) / tf.maximum(mels, spec.floor), max_ratio)
    return tf.matmul(ratio, bank / (bank.sum(axis=0) + inversion.EPSILON))


# ------------------------------------------------------------------ discriminators


def period_discriminator(period: int, *, channels: int) -> keras.Model:
    """Period discriminator, which classifies samples `period` apart (Sec. 2.3 of arXiv:2010.05646).

    Feature taps return the features of each layer. The paper uses 32 `channels`.
    """
    y = keras.Input((None,), name="waveform")
    h = PeriodReshape(period)(y)
    options = {"padding": "same", "kernel_initializer": layers.dcgan_init()}
    for width, strides in ((1, 3), (4, 3), (16, 3), (32, 3), (32, 1)):
        h = layers.Tap()(layers.leaky(keras.layers.Conv2D(width * channels, (5, 1), (strides, 1), **options)(h)))
    logits = keras.layers.Conv2D(1, (3, 1), dtype="float32", **options)(h)
    return keras.Model(y, logits, name=f"period_{period}_discriminator")


class PeriodReshape(keras.layers.Layer):
    """Reshapes `[batch, samples]` to `[batch, rows, period, 1]`, zero-padded at the end."""

    def __init__(self, period: int, **options):
        super().__init__(**options)
        self.period = period

    def call(self, y):
        """Return the reshaped waveform."""
        padded = tf.pad(y, [[0, 0], [0, -tf.shape(y)[1] % self.period]])
        return tf.reshape(padded, [tf.shape(y)[0], -1, self.period, 1])


def resolution_discriminator(spec: AudioSpec, *, channels: int) -> keras.Model:
    """Resolution discriminator, which classifies STFT magnitudes at one resolution (Fig. 2 of arXiv:2106.07889).

    Feature taps return the features of each layer.
    """
    y = keras.Input((None,), name="waveform")
    h = Magnitude(spec)(y)
    options = {"padding": "same", "kernel_initializer": layers.dcgan_init()}
    for strides in (1, 2, 2, 2, 1):
        kernel = (3, 9) if strides == 2 else (3, 3)
        h = layers.Tap()(layers.leaky(keras.layers.Conv2D(channels, kernel, (1, strides), **options)(h)))
    logits = keras.layers.Conv2D(1, 3, dtype="float32", **options)(h)
    return keras.Model(y, logits, name=f"resolution_{spec.n_fft}_discriminator")


class Magnitude(keras.layers.Layer):
    """Converts `[batch, samples]` to STFT magnitudes `[batch, frames, n_fft // 2 + 1, 1]`."""

    def __init__(self, spec: AudioSpec, **options):
        super().__init__(**options)
        self.spec = spec

    def call(self, y):
        """Return the magnitudes."""
        magnitude = waveform_losses.magnitude(tf.cast(y, tf.float32), self.spec)[..., None]
        return tf.cast(magnitude, self.compute_dtype)
