"""The GE2E speaker encoder in NumPy, with the weights of the package `resemblyzer`; neither needs PyTorch.

Three LSTM layers of 256 units over 40 mel bands every 10 ms, a linear layer, ReLU, and unit length; the embedding of a
recording is the mean over windows of 1.6 s (Wan et al., arXiv:1710.10467). Preprocessing and windows are those of
`resemblyzer` 0.1.4, so that the embeddings are the same.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from collections.abc import Mapping

import librosa
import numpy as np
import scipy.ndimage

from models import torch_weights

RATE_HZ = 16000
HOP_SAMPLES = 160
N_FFT = 400
N_MELS = 40
LAYERS = 3
EMBEDDING_SIZE = 256
WINDOW_FRAMES = 160
STEP_FRAMES = 77  # 1.3 windows per second
MIN_COVERAGE = 0.75  # share of the last window that samples have to cover
LEVEL_DB = -30.0  # quieter recordings are amplified to this RMS level
VAD_SAMPLES = 480  # 30 ms
VAD_AVERAGE = 8  # VAD frames of the moving average
VAD_DILATION = 7  # VAD frames by which speech is extended


def embed(waveform: np.ndarray) -> np.ndarray:
    """Return the embedding `[256]` of a recording `[samples]` at 16 kHz: of unit length, or 0 without speech."""
    speech = _remove_pauses(_raise_level(np.asarray(waveform, np.float32)))
    if not len(speech):
        return np.zeros(EMBEDDING_SIZE, np.float32)
    starts = window_starts(len(speech))
    padded = np.pad(speech, (0, max(0, (starts[-1] + WINDOW_FRAMES) * HOP_SAMPLES - len(speech))))
    mels = librosa.feature.melspectrogram(y=padded, sr=RATE_HZ, n_fft=N_FFT, hop_length=HOP_SAMPLES, n_mels=N_MELS)
    windows = np.stack([mels.T[start : start + WINDOW_FRAMES] for start in starts])
    return unit_length(encode_windows(windows.astype(np.float32), _weights()).mean(axis=0))


def window_starts(num_samples: int) -> list[int]:
    """Return the first frames of the windows of a recording; there is at least one window.

    >>> window_starts(16000), window_starts(4 * 16000)
    ([0], [0, 77, 154, 231])
    """
    frames = int(np.ceil((num_samples + 1) / HOP_SAMPLES))
    starts = list(range(0, max(1, frames - WINDOW_FRAMES + STEP_FRAMES + 1), STEP_FRAMES))
    covered = num_samples - starts[-1] * HOP_SAMPLES
    is_short = covered < MIN_COVERAGE * WINDOW_FRAMES * HOP_SAMPLES
    return starts[:-1] if is_short and len(starts) > 1 else starts


def encode_windows(mels: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return embeddings `[windows, 256]` of mel power spectrograms `[windows, frames, 40]`, of unit length."""
    x = mels
    for layer in range(LAYERS):
        x = lstm(x, *(weights[f"lstm.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
    return unit_length(np.maximum(x[:, -1] @ weights["linear.weight"].T + weights["linear.bias"], 0))


def lstm(
    x: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: np.ndarray, bias_hh: np.ndarray
) -> np.ndarray:
    """Return the outputs `[batch, time, units]` of an LSTM layer for `x` `[batch, time, features]`.

    Weights `[4 * units, inputs]` and biases `[4 * units]` are in PyTorch's order of gates: input, forget, cell, output.
    """
    inputs = x @ weight_ih.T + (bias_ih + bias_hh)
    h = np.zeros((len(x), weight_hh.shape[1]), np.float32)
    c, outputs = np.zeros_like(h), []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(inputs[:, t] + h @ weight_hh.T, 4, axis=-1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2


def unit_length(x: np.ndarray) -> np.ndarray:
    """Vectors along the last axis scaled to unit length; zero vectors stay zero."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.finfo(np.float32).tiny)


def _raise_level(y: np.ndarray) -> np.ndarray:
    """Amplify a recording `[samples]` to an RMS level of -30 dB; a louder or silent one is returned unchanged."""
    if not np.any(y):
        return y
    level_db = 10 * np.log10(np.mean(np.square(y), dtype=np.float64))
    return y * np.float32(max(1.0, 10 ** ((LEVEL_DB - level_db) / 20)))


def _remove_pauses(y: np.ndarray) -> np.ndarray:
    """Remove the frames of 30 ms without speech from a recording `[samples]`; short pauses stay."""
    import webrtcvad

    frames = y[: len(y) // VAD_SAMPLES * VAD_SAMPLES].reshape(-1, VAD_SAMPLES)
    if not len(frames):
        return y[:0]
    pcm = np.round(np.clip(frames, -1, 1) * 32767).astype("<i2")
    vad = webrtcvad.Vad(3)
    is_speech = np.array([vad.is_speech(frame.tobytes(), RATE_HZ) for frame in pcm], float)
    padded = np.pad(is_speech, ((VAD_AVERAGE - 1) // 2, VAD_AVERAGE // 2))
    average = np.convolve(padded, np.ones(VAD_AVERAGE), "valid") / VAD_AVERAGE
    mask = scipy.ndimage.binary_dilation(np.round(average).astype(bool), np.ones(VAD_DILATION))
    return frames[mask].reshape(-1)


@functools.cache
def _weights() -> dict[str, np.ndarray]:
    """Weights of the installed package, which is not imported: it would import PyTorch."""
    folder = importlib.util.find_spec("resemblyzer").submodule_search_locations[0]
    return torch_weights.read(pathlib.Path(folder, "pretrained.pt"), "model_state")
