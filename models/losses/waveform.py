"""Distances between waveforms that a vocoder minimises: by spectra of several resolutions, by mels, by features.

Waveforms are `[batch, samples]`, results `[batch]`, as in `models.losses.base`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models import spectral
from models.features import audio
from models.features.audio import AudioSpec
from models.losses import reduction

TINY = 1e-7  # power of silence in a bin: logarithms and slopes of roots stay finite
NEVER_FLAT = 1e-12  # under the root of a sum of squares that may be zero


def resolutions(spec: AudioSpec, count: int = 3) -> list[AudioSpec]:
    """Front ends with frames of half, once, twice, ... the length, hops of a quarter of that."""
    sizes = [spec.n_fft * 2**n // 2 for n in range(count)]
    return [
        dataclasses.replace(spec, n_fft=size, win_length=size, hop_length=size // 4, n_mels=8, window="hann")
        for size in sizes
    ]


def magnitude(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Magnitudes `[batch, frames, n_fft // 2 + 1]`, of which silence has a small one."""
    return magnitude_of(spectral.stft(y, spec))


def magnitude_of(frames: tf.Tensor) -> tf.Tensor:
    """The same of complex frames."""
    return tf.sqrt(tf.square(tf.math.real(frames)) + tf.square(tf.math.imag(frames)) + TINY)


def spectral_convergence(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """How far magnitudes `y` are from `x`, as a share of `x` (Eq. 4 of arXiv:1910.11480).

    >>> float(spectral_convergence(tf.ones([1, 4, 2]), tf.zeros([1, 4, 2]))[0])
    1.0
    """
    apart, whole = (tf.reduce_sum(tf.square(each), axis=[1, 2]) for each in (x - y, x))
    return tf.sqrt(apart + NEVER_FLAT) / tf.sqrt(whole)


def log_magnitude(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of the logarithms of magnitudes (Eq. 5 of arXiv:1910.11480)."""
    return reduction.per_example(tf.abs(tf.math.log(x) - tf.math.log(y)))


def multi_resolution_stft(x: tf.Tensor, y: tf.Tensor, specs: list[AudioSpec]) -> tf.Tensor:
    """Spectral convergence and log magnitude, averaged over resolutions (Eq. 6 of arXiv:1910.11480)."""
    found = []
    for spec in specs:
        pair = magnitude(x, spec), magnitude(y, spec)
        found.append(spectral_convergence(*pair) + log_magnitude(*pair))
    return tf.add_n(found) / len(found)


def said(y: tf.Tensor, frames: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Spectral convergence and log magnitude of complex frames as they are said, before they overlap.

    Args:
      y: what was recorded.
      frames: `[batch, frames, n_fft // 2 + 1]`.
      spec: the front end.
    """
    pair = magnitude(y, spec), magnitude_of(frames)
    return spectral_convergence(*pair) + log_magnitude(*pair)


def mel(x: tf.Tensor, y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Mean absolute difference of log-mels (Eq. 5 of arXiv:2010.05646), at the front end's own floor."""
    bank = audio.mel_matrix(spec).T
    logs = [tf.math.log(tf.maximum(tf.matmul(magnitude(each, spec), bank), spec.floor)) for each in (x, y)]
    return reduction.per_example(tf.abs(logs[0] - logs[1]))


def feature_matching(real: list[tf.Tensor], fake: list[tf.Tensor]) -> tf.Tensor:
    """Mean absolute difference of a discriminator's features, over its layers (Eq. 4 of arXiv:2010.05646)."""
    pairs = zip(real, fake, strict=True)
    return tf.add_n([reduction.per_example(tf.abs(tf.stop_gradient(x) - y)) for x, y in pairs]) / np.float32(len(real))
