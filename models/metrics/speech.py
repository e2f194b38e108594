"""Distances between recordings, computed on log-mels of the same front end.

Definitions are fixed here, because published metrics of the same name differ in dimensions, alignment, frame period
and units.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pystoi

from models.errors import UserError
from models.features import audio
from models.features.audio import AudioSpec

CEPSTRA = 13  # orders 1 to 13; order 0 is the level
DB = 20 / np.log(10)  # natural logarithm of a magnitude to dB


def cepstra(log_mels: np.ndarray, orders: int = CEPSTRA) -> np.ndarray:
    """Mel cepstra `[frames, orders]` of orders 1 to `orders` of log-mels `[frames, mels]`.

    `c[m] = 2 / M * sum_k x[k] cos(pi m (k + 1/2) / M)`, so that `x[k] = c[0] / 2 + sum_m c[m] cos(...)`. With this
    convention :func:`mel_cepstral_distortion` is a distance between log spectra in dB.
    """
    bins = log_mels.shape[-1]
    basis = np.cos(np.pi * np.outer(np.arange(1, orders + 1), np.arange(bins) + 0.5) / bins)
    return np.asarray(log_mels, np.float64) @ basis.T * (2 / bins)


def dtw_path(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Dynamic time warping path of two sequences `[frames, dims]`: pairs of frame indices `[pairs, 2]`.

    Euclidean cost, steps (1, 1), (0, 1), (1, 0), from the first frames to the last.
    """
    _, path = librosa.sequence.dtw(X=x.T, Y=y.T)
    return path[::-1]


def mel_cepstral_distortion(x: np.ndarray, y: np.ndarray, spec: AudioSpec) -> float:
    """MCD in dB between log-mels `[frames, mels]` of two recordings of the same words.

    `10 / ln 10 * sqrt(2 sum_m (c_x[m] - c_y[m])^2)` (Kubichek 1993) over orders 1 to 13, averaged over the dynamic
    time warping path of these cepstra. Inactive frames of both recordings are removed first. The frame period is the
    front end's hop.

    >>> spec = AudioSpec()
    >>> x = np.random.default_rng(0).normal(size=(20, 80))
    >>> mel_cepstral_distortion(x, x + 1.0, spec)  # invariant to level
    0.0
    """
    cx, cy = (cepstra(log_mels[_active_or_all(log_mels, spec)]) for log_mels in (x, y))
    path = dtw_path(cx, cy)
    difference = cx[path[:, 0]] - cy[path[:, 1]]
    return round(float(np.mean(10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=1)))), 9)


def aligned_frames(x: np.ndarray, y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Alignment of :func:`mel_cepstral_distortion`: pairs of indices into the frames of `x` and `y`, `[pairs, 2]`."""
    frames = [np.flatnonzero(_active_or_all(log_mels, spec)) for log_mels in (x, y)]
    path = dtw_path(*(cepstra(log_mels[active]) for log_mels, active in zip((x, y), frames, strict=True)))
    return np.stack([active[column] for active, column in zip(frames, path.T, strict=True)], axis=1)


def _active_or_all(log_mels: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Mask of the active frames, or of all frames if none is active."""
    active = audio.active_frames(log_mels, spec)
    return active if active.any() else np.ones(len(log_mels), bool)


def log_spectral_distance(x: np.ndarray, y: np.ndarray) -> float:
    """LSD in dB between log-mels `[frames, mels]` of time-aligned recordings.

    RMS over bands of the difference in dB, averaged over frames (Gray & Markel 1976, Eq. 5); the longer recording is
    truncated.

    >>> round(log_spectral_distance(np.zeros((3, 4)), np.full((5, 4), np.log(10.0))), 6)
    20.0
    """
    frames = min(len(x), len(y))
    difference = DB * (np.asarray(x[:frames], np.float64) - y[:frames])
    return float(np.mean(np.sqrt(np.mean(np.square(difference), axis=1))))


def spectral_convergence_db(reference: np.ndarray, estimate: np.ndarray, spec: AudioSpec) -> float:
    """Spectral convergence of an estimate to a reference, both `[samples]`, in dB; minus infinity if equal.

    Frobenius norm of the difference of magnitudes, relative to that of the reference (Sturmel & Daudet 2011).

    >>> y = np.sin(np.arange(4000.0))
    >>> round(spectral_convergence_db(y, 1.1 * y, AudioSpec()), 6)
    -20.0
    """
    x, y = (np.abs(audio.stft(np.asarray(samples, np.float64), spec)) for samples in (reference, estimate))
    return float(20 * np.log10(np.linalg.norm(y - x) / np.linalg.norm(x)))


def intelligibility(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float | None:
    """STOI of an estimate against a time-aligned reference, at most 1 (Taal et al. 2011, Eq. 6, by `pystoi`).

    Mean correlation of short-time envelopes (384 ms) in 15 one-third octave bands from 150 Hz, at 10 kHz, over frames
    in which the reference is active (within 40 dB of its loudest frame). STOI is meaningless for recordings of
    different words.

    Args:
      reference: `[samples]`.
      estimate: `[samples]`, as many.
      sample_rate_hz: sample rate of both in Hz.

    Returns:
      The STOI, or None if less than 0.4 s is active.

    Raises:
      UserError: the lengths differ.
    """
    if np.shape(reference) != np.shape(estimate):
        raise UserError(f"recordings of shapes {np.shape(reference)} and {np.shape(estimate)}; wanted the same length")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stoi = float(pystoi.stoi(reference, estimate, sample_rate_hz))
    return None if any("STFT frames" in str(warning.message) for warning in caught) else stoi
