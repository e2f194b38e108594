"""Speaker embeddings of recordings by a small recurrent encoder, whose weights are part of the package.

The encoder is a student of GE2E (Wan et al., arXiv:1710.10467; weights of `resemblyzer`, Copyright 2019 Resemble.AI,
Apache-2.0): its matrices were initialised with factors of the teacher's, and `python -m tests.train_speaker_encoder`
trained them to give the teacher's embeddings (knowledge distillation, arXiv:1503.02531), on recordings of LibriSpeech
(Panayotov et al. 2015, CC BY 4.0) and on conversions between its speakers. Mel bands and windows are those of GE2E.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping, Sequence

import librosa
import numpy as np
import scipy.ndimage
import soxr
import tensorflow as tf

RATE_HZ = 16000
WINDOW, HOP = 400, 160  # samples
MELS = 40
PEAK = 0.7  # of the waveform
POWER_FLOOR = 1e-6
ACTIVE_RANGE = 7.0  # natural logarithm of power (30 dB) below the loudest frame from which frames are pauses
HANGOVER_FRAMES = 9  # on both sides of active frames that are not pauses
EMBEDDING_SIZE = 256
WINDOW_FRAMES, STEP_FRAMES = 160, 80  # of the windows that are embedded
MIN_COVERAGE = 0.75  # share of the last window that frames have to cover
LAYERS = 3
BATCH_WINDOWS = 64  # that are encoded at once, which limits memory
WEIGHTS = "speaker_encoder.npz"


def speech_frames(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Log mel powers `[frames, 40]` of a recording `[samples]` at any rate, without pauses; no frames for silence.

    The recording is scaled to a peak of 0.7.
    """
    y = soxr.resample(np.asarray(waveform, np.float32), sample_rate_hz, RATE_HZ)
    peak = np.abs(y).max(initial=0.0)
    if peak == 0:
        return np.zeros((0, MELS), np.float32)
    padded = np.pad(y * np.float32(PEAK / peak), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * _window()
    power = np.square(np.abs(np.fft.rfft(frames))) @ _mel_filters()
    energy = np.log(np.maximum(power.sum(axis=1), POWER_FLOOR))
    active = scipy.ndimage.binary_dilation(energy > energy.max() - ACTIVE_RANGE, np.ones(2 * HANGOVER_FRAMES + 1))
    return np.log(np.maximum(power[active], POWER_FLOOR)).astype(np.float32)


@functools.cache
def _window() -> np.ndarray:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@functools.cache
def _mel_filters() -> np.ndarray:
    return librosa.filters.mel(sr=RATE_HZ, n_fft=WINDOW, n_mels=MELS).T.astype(np.float32)


def embed(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Embedding `[256]` of unit length of a recording `[samples]`; zeros for silence.

    No entry is negative. The cosine similarity of two embeddings is about 0.9 for recordings of one speaker, and 0.5 to
    0.8 for those of different ones.
    """
    return embed_all([waveform], sample_rate_hz)[0]


def embed_all(waveforms: Sequence[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """Embeddings `[n, 256]` of recordings, as :func:`embed`, faster than one by one."""
    return embed_frames([speech_frames(y, sample_rate_hz) for y in waveforms], _weights())


def embed_speaker(recordings: Sequence[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """Mean embedding `[256]` of the recordings of a speaker, of unit length."""
    return unit_length(embed_all(recordings, sample_rate_hz).mean(axis=0))


def embed_frames(clips: Sequence[np.ndarray], weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Embeddings `[n, 256]` of :func:`speech_frames` by the weights of an encoder; zeros without frames."""
    parts = [cut_windows(frames) for frames in clips]
    windows = np.concatenate([*parts, np.zeros((0, WINDOW_FRAMES, MELS), np.float32)])
    batches = [windows[n : n + BATCH_WINDOWS] for n in range(0, len(windows), BATCH_WINDOWS)]
    encoded = [_encode_batch(tf.constant(batch, tf.float32), weights).numpy() for batch in batches]
    encoded = np.concatenate([*encoded, np.zeros((0, EMBEDDING_SIZE))])
    groups = np.split(encoded, np.cumsum([len(x) for x in parts])[:-1])
    return unit_length(np.stack([group.sum(axis=0) for group in groups]).astype(np.float64))


def cut_windows(frames: np.ndarray) -> np.ndarray:
    """Windows `[windows, 160, 40]` of the frames of a recording, with silence after its end; none without frames."""
    if not len(frames):
        return np.zeros((0, WINDOW_FRAMES, MELS), np.float32)
    starts = window_starts(len(frames))
    padding = max(0, starts[-1] + WINDOW_FRAMES - len(frames))
    padded = np.pad(frames, ((0, padding), (0, 0)), constant_values=np.log(POWER_FLOOR))
    return np.stack([padded[start : start + WINDOW_FRAMES] for start in starts])


def window_starts(num_frames: int) -> list[int]:
    """First frames of the windows of a recording; the last window may extend beyond its end by a quarter.

    >>> window_starts(10), window_starts(279), window_starts(280)
    ([0], [0, 80], [0, 80, 160])
    """
    return [0, *range(STEP_FRAMES, num_frames - int(MIN_COVERAGE * WINDOW_FRAMES) + 1, STEP_FRAMES)]


def encode_windows(log_mels: tf.Tensor, weights: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Embeddings `[windows, 256]` of windows of :func:`speech_frames` `[windows, 160, 40]`, of unit length.

    Three LSTM layers; their matrices are products of two, except the first, which has few inputs.
    """
    x = tf.transpose(tf.exp(log_mels), [1, 0, 2])
    for n in range(LAYERS):
        factors = [weights["kernel_0"]] if n == 0 else [weights[f"kernel_in_{n}"], weights[f"kernel_out_{n}"]]
        inputs = functools.reduce(tf.matmul, factors, x) + weights[f"bias_{n}"]
        x = _lstm(inputs, weights[f"recurrent_in_{n}"], weights[f"recurrent_out_{n}"])
    return tf.math.l2_normalize(tf.nn.relu(x[-1] @ weights["projection"] + weights["offset"]), -1)


def _lstm(inputs: tf.Tensor, recurrent_in: tf.Tensor, recurrent_out: tf.Tensor) -> tf.Tensor:
    """Outputs `[time, batch, units]` of an LSTM layer, from the products of its inputs and weights.

    Args:
      inputs: `[time, batch, 4 * units]`, with biases; gates are in the order input, forget, cell, output.
      recurrent_in: `[units, rank]`, first factor of the recurrent weights.
      recurrent_out: `[rank, 4 * units]`, second factor.
    """

    def step(state, value):
        h, c = state
        i, f, g, o = tf.split(value + (h @ recurrent_in) @ recurrent_out, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    zeros = tf.zeros([tf.shape(inputs)[1], tf.shape(recurrent_in)[0]])
    return tf.scan(step, inputs, (zeros, zeros))[0]


_encode_batch = tf.function(encode_windows, reduce_retracing=True)


def unit_length(x: np.ndarray) -> np.ndarray:
    """Return vectors divided by their Euclidean norms along the last axis; zeros stay zeros.

    >>> unit_length(np.array([3.0, 4.0])).tolist()
    [0.6, 0.8]
    """
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


@functools.cache
def _weights() -> dict[str, np.ndarray]:
    with (importlib.resources.files("models.metrics") / WEIGHTS).open("rb") as file, np.load(file) as weights:
        return {name: weights[name].astype(np.float32) for name in weights.files}
