"""Vocoder losses between waveforms: multi-resolution STFT, log-mel and feature matching.

Waveforms are `[batch, samples]`, results `[batch]`, as in `models.losses.reconstruction`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

from models import spectral
from models.features import audio
from models.features.audio import AudioSpec
from models.losses import reduction

EPSILON = 1e-7  # added to the power of each bin: keeps logarithms and gradients of square roots finite
NORM_EPSILON = 1e-12  # added to a sum of squares that may be zero, before the square root


def resolutions(spec: AudioSpec, count: int = 3) -> list[AudioSpec]:
    """Front ends of `count` resolutions: frames of half, once, twice, ... the length, with hops of a quarter."""
    sizes = [2 * (spec.n_fft * 2**n // 4) for n in range(count)]  # even
    return [
        dataclasses.replace(spec, n_fft=size, win_length=size, hop_length=size // 4, n_mels=1, window="hann")
        for size in sizes
    ]


def edge_frames(spec: AudioSpec) -> int:
    """Frames at each end of a part of a recording whose windows reach beyond it."""
    return math.ceil(spec.n_fft / 2 / spec.hop_length)


def magnitude(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """STFT magnitudes `[batch, frames, n_fft // 2 + 1]` of a waveform; greater than zero for silence."""
    return frame_magnitude(spectral.stft(y, spec))


def frame_magnitude(frames: tf.Tensor) -> tf.Tensor:
    """Magnitudes of complex frames; greater than zero for silence."""
    return tf.sqrt(tf.square(tf.math.real(frames)) + tf.square(tf.math.imag(frames)) + EPSILON)


def spectral_convergence(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Norm of the difference of magnitudes `x` and `y`, relative to the norm of `x` (Eq. 4 of arXiv:1910.11480).

    >>> float(spectral_convergence(tf.ones([1, 4, 2]), tf.zeros([1, 4, 2]))[0])
    1.0
    """
    difference, reference = (tf.reduce_sum(tf.square(spectrum), axis=[1, 2]) for spectrum in (x - y, x))
    return tf.sqrt(difference + NORM_EPSILON) / tf.sqrt(reference)


def log_magnitude(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of the logarithms of magnitudes (Eq. 5 of arXiv:1910.11480)."""
    return reduction.per_example(tf.abs(tf.math.log(x) - tf.math.log(y)))


def multi_resolution_stft(x: tf.Tensor, y: tf.Tensor, specs: list[AudioSpec]) -> tf.Tensor:
    """Spectral convergence and log magnitude, averaged over resolutions (Eq. 6 of arXiv:1910.11480)."""
    terms = []
    for spec in specs:
        pair = magnitude(x, spec), magnitude(y, spec)
        terms.append(spectral_convergence(*pair) + log_magnitude(*pair))
    return tf.add_n(terms) / len(terms)


def frame_loss(y: tf.Tensor, frames: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Spectral convergence and log magnitude of predicted complex frames, before overlap-add.

    Frames that reach beyond an end of the waveform, which is part of a recording, are left out.

    Args:
      y: the recorded waveforms.
      frames: predicted frames `[batch, frames, n_fft // 2 + 1]`.
      spec: the front end.
    """
    inside = slice(edge_frames(spec), -edge_frames(spec))
    pair = magnitude(y, spec)[:, inside], frame_magnitude(frames)[:, inside]
    return spectral_convergence(*pair) + log_magnitude(*pair)


def mel(x: tf.Tensor, y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Mean absolute difference of log-mels (Eq. 5 of arXiv:2010.05646), with the floor of the front end."""
    bank = audio.mel_matrix(spec).T
    logs = [tf.math.log(tf.maximum(tf.matmul(magnitude(each, spec), bank), spec.floor)) for each in (x, y)]
    return reduction.per_example(tf.abs(logs[0] - logs[1]))


def feature_matching(real: list[tf.Tensor], fake: list[tf.Tensor]) -> tf.Tensor:
    """Mean absolute difference of discriminator features, averaged over layers (Eq. 4 of arXiv:2010.05646)."""
    pairs = zip(real, fake, strict=True)
    return tf.add_n([reduction.per_example(tf.abs(tf.stop_gradient(x) - y)) for x, y in pairs]) / np.float32(len(real))
