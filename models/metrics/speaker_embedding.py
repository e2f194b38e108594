"""Speaker embeddings of recordings by a small convolutional encoder in NumPy, whose weights are part of the package.

The encoder was trained on LibriSpeech (Panayotov et al. 2015, CC BY 4.0) by `python -m tests.train_speaker_encoder`,
with the additive angular margin loss (arXiv:1801.07698) and statistics pooling (Snyder et al. 2017). The mean spectrum
of a recording is subtracted first, so that a filter that gives a voice the mean spectrum of another is no conversion.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence

import librosa
import numpy as np
import soxr

RATE_HZ = 16000
WINDOW, HOP, FFT_SIZE = 400, 200, 512  # samples
MELS, MIN_HZ, MAX_HZ = 64, 50.0, 7600.0
POWER_FLOOR = 1e-7
ACTIVE_RANGE = (
    9.0  # frames below the loudest band of the recording by more, natural logarithm of power (39 dB), are left out
)
SCALE = 2.0  # standard deviation of log-mels, roughly
LEAK = 0.1  # slope of the leaky ReLU below zero
DILATIONS = (1, 2, 3, 1)  # of the convolutions
MIN_FRAMES = 32  # shorter recordings are repeated; the convolutions span 15 frames
EMBEDDING_SIZE = 96
WEIGHTS = "speaker_encoder.npz"


def log_mels(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Log mel powers `[active frames, 64]` of a recording `[samples]` at any rate, without their mean over time.

    Recordings are scaled to a peak of 0.7. There are no frames if the recording is silent.
    """
    y = soxr.resample(np.asarray(waveform, np.float32), sample_rate_hz, RATE_HZ)
    peak = np.abs(y).max(initial=0.0)
    if peak == 0:
        return np.zeros((0, MELS), np.float32)
    y = np.pad(y * np.float32(0.7 / peak), (0, max(0, WINDOW - len(y))))
    frames = np.lib.stride_tricks.sliding_window_view(y, WINDOW)[::HOP] * _window()
    power = np.square(np.abs(np.fft.rfft(frames, FFT_SIZE))) @ _mel_filters()
    x = np.log(np.maximum(power, POWER_FLOOR)).astype(np.float32)
    loudest = x.max(axis=1)
    x = x[loudest > loudest.max() - ACTIVE_RANGE]
    return x - x.mean(axis=0)


@functools.cache
def _window() -> np.ndarray:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@functools.cache
def _mel_filters() -> np.ndarray:
    filters = librosa.filters.mel(sr=RATE_HZ, n_fft=FFT_SIZE, n_mels=MELS, fmin=MIN_HZ, fmax=MAX_HZ)
    return filters.T.astype(np.float32)


def embed(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Embedding `[96]` of unit length of a recording `[samples]`; zeros for silence.

    The cosine similarity of two embeddings is high for recordings of one speaker, about 0 for those of different ones.
    """
    x = log_mels(waveform, sample_rate_hz)
    if not len(x):
        return np.zeros(EMBEDDING_SIZE)
    x = np.resize(x, (max(MIN_FRAMES, len(x)), MELS)) / SCALE
    weights = _weights()
    for n, dilation in enumerate(DILATIONS):
        x = _convolve(x, weights[f"kernel_{n}"], dilation) + weights[f"bias_{n}"]
        x = np.where(x > 0, x, LEAK * x)
    embedding = np.concatenate([x.mean(axis=0), x.std(axis=0)]) @ weights["projection"]
    return unit_length(embedding.astype(np.float64))


def embed_speaker(recordings: Sequence[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """Mean embedding `[96]` of the recordings of a speaker, of unit length."""
    return unit_length(np.mean([embed(y, sample_rate_hz) for y in recordings], axis=0))


def unit_length(x: np.ndarray) -> np.ndarray:
    """Return a vector divided by its Euclidean norm; zeros stay zeros.

    >>> unit_length(np.array([3.0, 4.0])).tolist()
    [0.6, 0.8]
    """
    return x / max(float(np.linalg.norm(x)), 1e-12)


def _convolve(x: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """Dilated convolution of `[frames, channels]` with `[taps, channels, filters]`, without padding."""
    length = len(x) - (len(kernel) - 1) * dilation
    return sum(x[n * dilation : n * dilation + length] @ tap for n, tap in enumerate(kernel))


@functools.cache
def _weights() -> dict[str, np.ndarray]:
    with (importlib.resources.files("models.metrics") / WEIGHTS).open("rb") as file, np.load(file) as weights:
        return {name: weights[name].astype(np.float32) for name in weights.files}
