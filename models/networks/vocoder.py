"""Networks of the vocoder: log-mels to complex frames to a waveform, and the discriminators of waveforms.

Log-mels are `[batch, frames, mels]`, waveforms `[batch, samples]`, of any length.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from models import layers, spectral
from models.features import audio, inversion
from models.features.audio import AudioSpec
from models.losses import waveform as waveform_losses

PERIODS = (2, 3, 5, 7, 11)  # of discriminators, Sec. 2.3 of arXiv:2010.05646
MOMENTUM = 0.9  # of the alternating projections; with 0.97 they oscillate
PREDICTION_WEIGHT = 0.6  # of the predicted magnitudes at the first projection
MAX_GAIN = 10.0  # of a mel band in one projection
MAX_REACH = 8  # projections that extend the receptive field; after them, less than 1e-3 of a change is left
FLOOR_TOLERANCE = 0.01  # log-mels nearer to the floor than half precision resolves


def backbone(spec: AudioSpec, *, channels: int, blocks: int, kernel: int) -> keras.Model:
    """ConvNeXt over frames (Sec. 3.1 of arXiv:2306.00814): normalised mels to `[batch, frames, 2 * (n_fft // 2 + 1)]`.

    The last layer's initial weights are small: its output is a correction of the magnitudes estimated from the mels.
    """
    x = keras.Input((None, spec.n_mels), name="mels")
    h = layers.frame_norm(keras.layers.Conv1D(channels, kernel, padding="same")(x))
    for _ in range(blocks):
        h = layers.convnext1d(h, 3 * channels, kernel, gain=1 / blocks)
    initializer = keras.initializers.RandomNormal(stddev=0.02)
    last = keras.layers.Dense(2 * (spec.n_fft // 2 + 1), kernel_initializer=initializer, dtype="float32")
    return keras.Model(x, last(layers.frame_norm(h)), name="vocoder")


def context(spec: AudioSpec, *, blocks: int, kernel: int, projections: int) -> int:
    """Frames on either side that the samples of one hop depend on, to 1e-3: of the network and of the overlaps."""
    frames_over_sample = -(-spec.n_fft // 2 // spec.hop_length)
    overlapping_frames = -(-spec.n_fft // spec.hop_length) - 1
    return (blocks + 1) * (kernel // 2) + frames_over_sample + min(projections, MAX_REACH) * overlapping_frames


def complex_frames(outputs: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Complex frames `[batch, frames, n_fft // 2 + 1]` from the backbone's outputs.

    One half of the outputs is added to the log magnitudes that are estimated from the mels, the other half is the
    phase in radians (Eq. 3 of arXiv:2306.00814). Magnitudes are limited to four times that of a full-scale tone.

    Args:
      outputs: of :func:`backbone`, `[batch, frames, 2 * (n_fft // 2 + 1)]`.
      log_mels: `[batch, frames, mels]`, not normalised.
      spec: the front end.
    """
    correction, phase = tf.split(tf.cast(outputs, tf.float32), 2, axis=-1)
    initial = tf.math.log(spectral.mel_to_magnitude(log_mels, spec, iterations=4) + 1e-6)
    magnitude = tf.exp(tf.minimum(initial + correction, np.log(spec.n_fft)))
    return tf.complex(magnitude * tf.cos(phase), magnitude * tf.sin(phase))


def waveform(predicted: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec, *, projections: int) -> tf.Tensor:
    """The waveform `[batch, (frames - 1) * hop_length]` of complex frames.

    Predicted frames are inconsistent where they overlap, and cancel, so that bands become too quiet. Alternating
    projections (Griffin & Lim 1984, with the momentum of Perraudin et al. 2013, as part of the network as in
    arXiv:1903.03971) repeat two steps: take the frames of the waveform itself and move their magnitudes towards the
    predicted ones, then scale each bin by what the mel bands over it lack. The weight of the prediction falls with
    each projection, that of the mels does not: they are known. A hop has more frequency bins than samples, but more
    samples than mel bands, so waveforms with exactly these mels exist.

    Args:
      predicted: complex frames `[batch, frames, n_fft // 2 + 1]`.
      log_mels: `[batch, frames, mels]`, not normalised.
      spec: the front end.
      projections: number of iterations; 0 for the inverse transform of the predicted frames.
    """
    weights = spectral.overlap_weights(tf.shape(predicted)[1], spec)
    initial = spectral.istft(predicted, spec, weights=weights)
    predicted_log_magnitude = tf.math.log(waveform_losses.frame_magnitude(predicted))

    def project(y, previous, weight):
        frames = spectral.stft(y + MOMENTUM * (y - previous), spec)
        real, imaginary = tf.math.real(frames), tf.math.imag(frames)
        power = tf.square(real) + tf.square(imaginary) + waveform_losses.EPSILON
        gain = tf.exp(PREDICTION_WEIGHT * weight * (predicted_log_magnitude - 0.5 * tf.math.log(power)))
        gain *= mel_gain(gain * tf.sqrt(power), log_mels, spec)
        projected = spectral.istft(tf.complex(gain * real, gain * imaginary), spec, weights=weights)
        return tf.ensure_shape(projected, y.shape), y, weight - 1 / projections

    if not projections:
        return initial
    return spectral.repeat(project, projections, initial, initial, tf.constant(1.0))[0]


def mel_gain(magnitude: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Gains `[batch, frames, n_fft // 2 + 1]` that bring magnitudes one step nearer to log-mels.

    One update of `spectral.mel_to_magnitude`. The gain is at most 1 for bands at the floor, so that silence stays
    silent, and at most `MAX_GAIN` for others.
    """
    bank = audio.mel_matrix(spec)
    mels = tf.matmul(magnitude, bank.T)
    max_gain = tf.where(log_mels > spec.log_floor + FLOOR_TOLERANCE, MAX_GAIN, 1.0)
    ratio = tf.minimum(tf.exp(log_mels) / tf.maximum(mels, spec.floor), max_gain)
    return tf.matmul(ratio, bank / (bank.sum(axis=0) + inversion.EPSILON))


def period_discriminator(period: int, *, channels: int) -> keras.Model:
    """Discriminator of samples that are `period` apart (Sec. 2.3 of arXiv:2010.05646; `channels` 32 in the paper).

    The features of each layer are tapped.
    """
    y = keras.Input((None,), name="waveform")
    h = PeriodRows(period)(y)
    options = {"padding": "same", "kernel_initializer": layers.dcgan_initializer()}
    for width, strides in ((1, 3), (4, 3), (16, 3), (32, 3), (32, 1)):
        h = layers.FeatureTap()(
            layers.leaky_relu(keras.layers.Conv2D(width * channels, (5, 1), (strides, 1), **options)(h))
        )
    logits = keras.layers.Conv2D(1, (3, 1), dtype="float32", **options)(h)
    return keras.Model(y, logits, name=f"period_{period}_discriminator")


class PeriodRows(keras.layers.Layer):
    """`[batch, samples]` to `[batch, rows, period, 1]`, the last row padded with zeros."""

    def __init__(self, period: int, **options):
        super().__init__(**options)
        self.period = period

    def call(self, y):
        """The rows."""
        padded = tf.pad(y, [[0, 0], [0, -tf.shape(y)[1] % self.period]])
        return tf.reshape(padded, [tf.shape(y)[0], -1, self.period, 1])


def resolution_discriminator(spec: AudioSpec, *, channels: int) -> keras.Model:
    """Discriminator of magnitudes at one resolution (Fig. 2 of arXiv:2106.07889), the features of each layer tapped."""
    y = keras.Input((None,), name="waveform")
    h = Magnitude(spec)(y)
    options = {"padding": "same", "kernel_initializer": layers.dcgan_initializer()}
    for strides in (1, 2, 2, 2, 1):
        kernel = (3, 9) if strides == 2 else (3, 3)
        h = layers.FeatureTap()(layers.leaky_relu(keras.layers.Conv2D(channels, kernel, (1, strides), **options)(h)))
    logits = keras.layers.Conv2D(1, 3, dtype="float32", **options)(h)
    return keras.Model(y, logits, name=f"resolution_{spec.n_fft}_discriminator")


class Magnitude(keras.layers.Layer):
    """`[batch, samples]` to magnitudes `[batch, frames, n_fft // 2 + 1, 1]`."""

    def __init__(self, spec: AudioSpec, **options):
        super().__init__(**options)
        self.spec = spec

    def call(self, y):
        """The magnitudes."""
        magnitude = waveform_losses.magnitude(tf.cast(y, tf.float32), self.spec)[..., None]
        return tf.cast(magnitude, self.compute_dtype)
