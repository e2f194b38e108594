"""Phonetic content of each frame, nearly independent of the speaker: a phoneme recogniser with trained weights.

The encoder is a Conformer of 2 million weights on log-mels. It is a student of the phoneme recogniser of `hama`
(version 1.7.0, Apache-2.0): its weights were initialised with the teacher's, and
`python -m tests.train_content_encoder` trained them to give the teacher's posteriors (knowledge distillation,
arXiv:1503.02531) from this project's log-mels with voices altered by stretched mel axes, random filters, noise and
levels, on recordings of LibriSpeech (Panayotov et al. 2015, CC BY 4.0). All of it is English.

The content is the logarithm of a phonetic posteriorgram (Hazen et al. 2009, doi:10.1109/ASRU.2009.5372889): of the
tokens other than the blank of CTC, reduced to principal components.
"""

from __future__ import annotations

import functools
import importlib.resources

import numpy as np
import tensorflow as tf

from models.features.audio_spec import AudioSpec, band_centres
from models.networks import conformer

SPEC = AudioSpec.at(16000)  # of the log-mels that the network sees; those of other front ends are interpolated
BLOCKS = 4
ATTENTION_FRAMES = 16  # on either side
KERNEL_FRAMES = 31  # of the depthwise convolutions
COMPONENTS = 64
MIN_LOG_PROBABILITY = -12.0
CONTEXT_FRAMES = 1 + BLOCKS * (ATTENTION_FRAMES + KERNEL_FRAMES // 2)  # of the encoder, at its frame rate
WEIGHTS = "content_encoder.npz"


def context(spec: AudioSpec) -> int:
    """Frames on either side on which the content of a frame depends, at the rate of a front end."""
    return int(np.ceil(CONTEXT_FRAMES * spec.frame_rate_hz / SPEC.frame_rate_hz)) + 2 * (spec != SPEC)


def logits(log_mels: tf.Tensor, weights: conformer.Weights) -> tf.Tensor:
    """Logits `[batch, frames, 191]` of the tokens, the blank last, for log-mels `[batch, frames, 80]` of `SPEC`."""
    return conformer.encode(log_mels, weights, blocks=BLOCKS, attention_frames=ATTENTION_FRAMES)


def content_vectors(log_probabilities: tf.Tensor, weights: conformer.Weights) -> tf.Tensor:
    """Principal components `[..., 64]` of log-probabilities or logits `[..., 191]`, the blank left out.

    The others are renormalised and not below -12. The mean variance of the components in speech is 1.
    """
    tokens = tf.nn.log_softmax(log_probabilities[..., :-1])
    return tf.matmul(tf.maximum(tokens, MIN_LOG_PROBABILITY) - weights["mean"], weights["components"])


def encode(log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Content `[batch, frames, 64]` of log-mels `[batch, frames, mels]` of a front end, of recordings at its level."""
    weights = read_weights(WEIGHTS)
    content = content_vectors(logits(to_encoder_log_mels(log_mels, spec), weights), weights)
    return to_frames(content, spec, tf.shape(log_mels)[1])


def change_and_entropy(log_mels: tf.Tensor, spec: AudioSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """How phonemes follow each other and how well they are recognised, by which speech differs from other sounds.

    Args:
      log_mels: `[batch, frames, mels]` of a front end.
      spec: the front end.

    Returns:
      Mean absolute change of the content from a frame to the next, at the encoder's frame rate, and mean entropy of the
      tokens in nats, each `[batch]`.
    """
    weights = read_weights(WEIGHTS)
    values = logits(to_encoder_log_mels(log_mels, spec), weights)
    content, tokens = content_vectors(values, weights), tf.nn.log_softmax(values)
    pairs = tf.maximum(tf.shape(content)[1] - 1, 1)  # of adjacent frames; a single frame changes by 0
    change = tf.reduce_sum(tf.reduce_mean(tf.abs(content[:, 1:] - content[:, :-1]), axis=2), axis=1)
    change /= tf.cast(pairs, tf.float32)
    return change, -tf.reduce_mean(tf.reduce_sum(tf.exp(tokens) * tokens, axis=-1), axis=1)


def to_encoder_log_mels(log_mels: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Log-mels of a front end interpolated to bands and frames of `SPEC`; the floor above its highest band."""
    if spec == SPEC:
        return log_mels
    matrix, inside = band_interpolation(spec)
    bands = tf.matmul(log_mels, matrix) + np.float32(np.log(SPEC.n_fft / spec.n_fft))
    bands = tf.where(inside, tf.maximum(bands, SPEC.log_floor), SPEC.log_floor)
    ratio = spec.frame_rate_hz / SPEC.frame_rate_hz
    if ratio == 1:
        return bands
    frames = tf.cast(tf.math.ceil(tf.cast(tf.shape(log_mels)[1], tf.float32) / ratio), tf.int32)
    return resample_frames(bands, ratio, frames)


def to_frames(x: tf.Tensor, spec: AudioSpec, frames: tf.Tensor) -> tf.Tensor:
    """Frames of the encoder `[batch, any, size]` interpolated to as many frames of a front end."""
    ratio = SPEC.frame_rate_hz / spec.frame_rate_hz
    return x if ratio == 1 else resample_frames(x, ratio, frames)


def resample_frames(x: tf.Tensor, ratio: float, frames: tf.Tensor) -> tf.Tensor:
    """Frames `[batch, frames, size]` at `ratio * n` for all n, by linear interpolation; the last one is held."""
    position = tf.range(tf.cast(frames, tf.float32)) * np.float32(ratio)
    last = tf.shape(x)[1] - 1
    left = tf.minimum(tf.cast(position, tf.int32), last)
    weight = tf.clip_by_value(position - tf.cast(left, tf.float32), 0.0, 1.0)[:, None]
    return tf.gather(x, left, axis=1) * (1 - weight) + tf.gather(x, tf.minimum(left + 1, last), axis=1) * weight


@functools.lru_cache(maxsize=8)
def band_interpolation(spec: AudioSpec, target: AudioSpec = SPEC) -> tuple[np.ndarray, np.ndarray]:
    """Matrix `[mels, target mels]` from the bands of a front end to another's, and which of the latter it covers."""
    centres, targets = band_centres(spec), band_centres(target)
    eye = np.eye(len(centres))
    matrix = np.stack([np.interp(targets, centres, row) for row in eye])
    return matrix.astype(np.float32), targets <= spec.fmax_hz


@functools.cache
def read_weights(name: str) -> dict[str, np.ndarray]:
    """Weights of a file of this package, float32."""
    with (importlib.resources.files(__package__) / name).open("rb") as file, np.load(file) as weights:
        return {key: weights[key].astype(np.float32) for key in weights.files}
