"""The vocoder: log-mels to complex frames to a waveform; and the discriminators of waveforms.

Log-mels are `[batch, frames, mels]`, waveforms `[batch, samples]`, of any length.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from models import layers, spectral, waveform_losses
from models.features import audio, inversion
from models.features.audio import AudioSpec

PERIODS = (2, 3, 5, 7, 11)  # of discriminators, Sec. 2.3 of arXiv:2010.05646
MOMENTUM = 0.9  # of projections; with 0.97 they swing
FIRMNESS = 0.6  # of what was said, at the first projection
LOUDER = 10.0  # that a projection may make a band
FELT = 8  # projections by which a change reaches further away; past them, less than 1e-3 was left of it
AT_FLOOR = 0.01  # nearer to the floor than half precision tells apart


def backbone(spec: AudioSpec, *, channels: int, blocks: int, kernel: int) -> keras.Model:
    """ConvNeXt over frames (Sec. 3.1 of arXiv:2306.00814): normalised mels to `[batch, frames, 2 * (n_fft // 2 + 1)]`.

    The last map begins small: what it gives is added to magnitudes that the mels themselves tell.
    """
    x = keras.Input((None, spec.n_mels), name="mels")
    h = layers.frame_norm(keras.layers.Conv1D(channels, kernel, padding="same")(x))
    for _ in range(blocks):
        h = layers.convnext1d(h, 3 * channels, kernel, gain=1 / blocks)
    begin = keras.initializers.RandomNormal(stddev=0.02)
    last = keras.layers.Dense(2 * (spec.n_fft // 2 + 1), kernel_initializer=begin, dtype="float32")
    return keras.Model(x, last(layers.frame_norm(h)), name="vocoder")


def context(spec: AudioSpec, *, blocks: int, kernel: int, projections: int) -> int:
    """Frames to either side that the samples of one hop depend on to 1e-3: the network's, then those that overlap."""
    heard = -(-spec.n_fft // 2 // spec.hop_length)  # frames to either side that a sample is under
    alike = -(-spec.n_fft // spec.hop_length) - 1  # and that a frame shares samples with
    return (blocks + 1) * (kernel // 2) + heard + min(projections, FELT) * alike


def frames(said: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """The complex frames `[batch, frames, n_fft // 2 + 1]` of what the backbone says.

    One half is added to the logarithms of the magnitudes that come of the mels alone, the other is
    phase in radians (Eq. 3 of arXiv:2306.00814). No bin is louder than four times a tone at full scale.

    Args:
      said: `[batch, frames, 2 * (n_fft // 2 + 1)]`.
      log_mels: `[batch, frames, mels]`, not normalised.
      spec: the front end.
    """
    correction, phase = tf.split(tf.cast(said, tf.float32), 2, axis=-1)
    begin = tf.math.log(spectral.mel_to_magnitude(log_mels, spec, iterations=4) + 1e-6)
    magnitude = tf.exp(tf.minimum(begin + correction, np.log(spec.n_fft)))
    return tf.complex(magnitude * tf.cos(phase), magnitude * tf.sin(phase))


def waveform(said: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec, *, projections: int) -> tf.Tensor:
    """The waveform `[batch, (frames - 1) * hop_length]` of complex frames.

    What frames disagree about is lost where they overlap, and bands come out too quiet. So, many times, the
    frames of the waveform itself take the place of what was said, their magnitudes moved towards those said,
    then each bin made as much louder as the bands over it want: alternating projections as in Griffin & Lim
    (1984), with the momentum of Perraudin et al. (2013), as part of the network as in arXiv:1903.03971. What
    was said is a guess, and counts less each time; the mels are known: a hop of frames has more bins than
    samples, but more samples than bands, so that there are waveforms with just these mels.

    Args:
      said: `[batch, frames, n_fft // 2 + 1]`.
      log_mels: `[batch, frames, mels]`, not normalised.
      spec: the front end.
      projections: how often; 0 leaves what is said to the inverse transform alone.
    """
    weights = spectral.overlap_weights(tf.shape(said)[1], spec)
    begun = spectral.istft(said, spec, weights=weights)
    wanted = tf.math.log(waveform_losses.magnitude_of(said))

    def project(y, before, left):
        frames = spectral.stft(y + MOMENTUM * (y - before), spec)
        real, imaginary = tf.math.real(frames), tf.math.imag(frames)
        power = tf.square(real) + tf.square(imaginary) + waveform_losses.TINY
        factor = tf.exp(FIRMNESS * left * (wanted - 0.5 * tf.math.log(power)))
        factor *= louder(factor * tf.sqrt(power), log_mels, spec)
        made = spectral.istft(tf.complex(factor * real, factor * imaginary), spec, weights=weights)
        return tf.ensure_shape(made, y.shape), y, left - 1 / projections

    return spectral.repeat(project, projections, begun, begun, tf.constant(1.0))[0] if projections else begun


def louder(magnitude: tf.Tensor, log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Factors that bring magnitudes one step nearer to log-mels.

    One update of `spectral.mel_to_magnitude`. Bands at the floor are made quieter only, and none by more
    than `LOUDER` louder, so that silence stays silent.
    """
    bank = audio.mel_matrix(spec)
    found = tf.matmul(magnitude, bank.T)
    most = tf.where(log_mels > spec.log_floor + AT_FLOOR, LOUDER, 1.0)
    ratio = tf.minimum(tf.exp(log_mels) / tf.maximum(found, spec.floor), most)
    return tf.matmul(ratio, bank / (bank.sum(axis=0) + inversion.EPSILON))


# ------------------------------------------------------------------ discriminators


def period_discriminator(period: int, *, channels: int) -> keras.Model:
    """Judges samples that are `period` apart (Sec. 2.3 of arXiv:2010.05646; `channels` 32 are the paper's).

    Its taps give the features of each layer.
    """
    y = keras.Input((None,), name="waveform")
    h = Folded(period)(y)
    options = {"padding": "same", "kernel_initializer": layers.dcgan_init()}
    for width, strides in ((1, 3), (4, 3), (16, 3), (32, 3), (32, 1)):
        h = layers.Tap()(layers.leaky(keras.layers.Conv2D(width * channels, (5, 1), (strides, 1), **options)(h)))
    judged = keras.layers.Conv2D(1, (3, 1), dtype="float32", **options)(h)
    return keras.Model(y, judged, name=f"period_{period}_discriminator")


class Folded(keras.layers.Layer):
    """`[batch, samples]` to `[batch, rows, period, 1]`, with silence after the last sample where a row is not full."""

    def __init__(self, period: int, **options):
        super().__init__(**options)
        self.period = period

    def call(self, y):
        """The rows."""
        full = tf.pad(y, [[0, 0], [0, -tf.shape(y)[1] % self.period]])
        return tf.reshape(full, [tf.shape(y)[0], -1, self.period, 1])


def resolution_discriminator(spec: AudioSpec, *, channels: int) -> keras.Model:
    """Judges magnitudes at one resolution (Fig. 2 of arXiv:2106.07889); its taps give the features of each layer."""
    y = keras.Input((None,), name="waveform")
    h = Magnitude(spec)(y)
    options = {"padding": "same", "kernel_initializer": layers.dcgan_init()}
    for strides in (1, 2, 2, 2, 1):
        kernel = (3, 9) if strides == 2 else (3, 3)
        h = layers.Tap()(layers.leaky(keras.layers.Conv2D(channels, kernel, (1, strides), **options)(h)))
    judged = keras.layers.Conv2D(1, 3, dtype="float32", **options)(h)
    return keras.Model(y, judged, name=f"resolution_{spec.n_fft}_discriminator")


class Magnitude(keras.layers.Layer):
    """`[batch, samples]` to magnitudes `[batch, frames, n_fft // 2 + 1, 1]`."""

    def __init__(self, spec: AudioSpec, **options):
        super().__init__(**options)
        self.spec = spec

    def call(self, y):
        """The magnitudes."""
        found = waveform_losses.magnitude(tf.cast(y, tf.float32), self.spec)[..., None]
        return tf.cast(found, self.compute_dtype)
