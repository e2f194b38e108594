"""Distances between recordings, as log-mels of one front end.

Definitions are pinned, because published numbers with the same name are not comparable: they
differ in dimensions, alignment, frame period and units.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pystoi

from models.features import audio
from models.features.audio import AudioSpec

CEPSTRA = 13  # orders 1 to 13; order 0 is the level
DB = 20 / np.log(10)  # natural logarithm of a magnitude to dB


def cepstra(log_mels: np.ndarray, orders: int = CEPSTRA) -> np.ndarray:
    """Mel cepstra `[frames, orders]` of orders 1 to `orders` of log-mels `[frames, mels]`.

    `c[m] = 2 / M * sum_k x[k] cos(pi m (k + 1/2) / M)`, so that `x[k] = c[0] / 2 + sum_m c[m] cos(...)`,
    the convention in which the distortion below is a distance between log spectra in dB.
    """
    bins = log_mels.shape[-1]
    basis = np.cos(np.pi * np.outer(np.arange(1, orders + 1), np.arange(bins) + 0.5) / bins)
    return np.asarray(log_mels, np.float64) @ basis.T * (2 / bins)


def aligned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pairs of frames `[pairs, 2]` of two sequences `[frames, dims]` under dynamic time warping.

    Euclidean cost, steps (1, 1), (0, 1), (1, 0), from first to last frames.
    """
    _, path = librosa.sequence.dtw(X=x.T, Y=y.T)
    return path[::-1]


def mel_cepstral_distortion(x: np.ndarray, y: np.ndarray, spec: AudioSpec) -> float:
    """MCD in dB between log-mels `[frames, mels]` of two recordings of the same words.

    `10 / ln 10 * sqrt(2 sum_m (c_x[m] - c_y[m])^2)` (Kubichek 1993) over orders 1 to 13, averaged over
    the pairs of frames that dynamic time warping of these cepstra aligns; frames that do not sound
    are left out of both recordings first. The frame period is the front end's hop.

    >>> spec = AudioSpec()
    >>> x = np.random.default_rng(0).normal(size=(20, 80))
    >>> mel_cepstral_distortion(x, x + 1.0, spec)  # louder is not different
    0.0
    """
    cx, cy = (cepstra(m[_sounding(m, spec)]) for m in (x, y))
    path = aligned(cx, cy)
    difference = cx[path[:, 0]] - cy[path[:, 1]]
    return round(float(np.mean(10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=1)))), 9)


def _sounding(log_mels: np.ndarray, spec: AudioSpec) -> np.ndarray:
    active = audio.active_frames(log_mels, spec)
    return active if active.any() else np.ones(len(log_mels), bool)


def log_spectral_distance(x: np.ndarray, y: np.ndarray) -> float:
    """LSD in dB between log-mels `[frames, mels]` of recordings that run in step.

    The root mean square over bands of the difference in dB, averaged over frames (Gray & Markel
    1976, Eq. 5); the longer one is cut.

    >>> round(log_spectral_distance(np.zeros((3, 4)), np.full((5, 4), np.log(10.0))), 6)
    20.0
    """
    frames = min(len(x), len(y))
    difference = DB * (np.asarray(x[:frames], np.float64) - y[:frames])
    return float(np.mean(np.sqrt(np.mean(np.square(difference), axis=1))))


def spectral_convergence_db(y: np.ndarray, made: np.ndarray, spec: AudioSpec) -> float:
    """How far the magnitudes of samples `made` are from those of `y`, both `[samples]`, in dB: minus infinity is equal.

    The Frobenius norm of the difference over that of the magnitudes of `y` (Sturmel & Daudet 2011).

    >>> y = np.sin(np.arange(4000.0))
    >>> round(spectral_convergence_db(y, 1.1 * y, AudioSpec()), 6)
    -20.0
    """
    wanted, found = (np.abs(audio.stft(np.asarray(each, np.float64), spec)) for each in (y, made))
    return float(20 * np.log10(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)))


def intelligibility(y: np.ndarray, made: np.ndarray, sample_rate_hz: int) -> float | None:
    """STOI of samples `made` beside `y` that they run in step with, 1 at best (Taal et al. 2011, by `pystoi`).

    None where less than 0.4 s sounds. Between recordings of different words it says nothing.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = float(pystoi.stoi(y, made, sample_rate_hz))
    return None if any("STFT frames" in str(one.message) for one in said) else found
