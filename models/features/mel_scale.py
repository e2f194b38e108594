"""Mel scale and filter bank of Slaney (1998, Auditory Toolbox), with the values of librosa.

Their own implementation, because librosa's loads Numba, at the start of every process of a job.
"""

from __future__ import annotations

import numpy as np

HZ_PER_MEL = 200 / 3  # of the linear part
BREAK_HZ, BREAK_MEL = 1000.0, 15.0  # where the logarithmic part begins
LOG_STEP = np.log(6.4) / 27.0  # of the logarithmic part, per mel


def hz_to_mel(hz: float) -> float:
    """Return the mels of a frequency in Hz.

    >>> hz_to_mel(0.0), round(hz_to_mel(1000.0), 6), round(hz_to_mel(6400.0), 6)
    (0.0, 15.0, 42.0)
    """
    return float(BREAK_MEL + np.log(hz / BREAK_HZ) / LOG_STEP if hz >= BREAK_HZ else hz / HZ_PER_MEL)


def mel_to_hz(mels: np.ndarray) -> np.ndarray:
    """Return the frequencies in Hz of mels of any shape, float64."""
    logarithmic = BREAK_HZ * np.exp(LOG_STEP * (mels - BREAK_MEL))
    return np.where(mels >= BREAK_MEL, logarithmic, HZ_PER_MEL * mels)


def band_edges_hz(n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Edges of `n_mels` overlapping bands in Hz, ascending, `[n_mels + 2]` float64.

    Band `n` rises from edge `n`, has its centre at edge `n + 1`, and falls to edge `n + 2`.
    """
    return mel_to_hz(np.linspace(hz_to_mel(fmin_hz), hz_to_mel(fmax_hz), n_mels + 2))


def filter_bank(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Triangular filters of unit area on the bins of an FFT, `[n_mels, n_fft // 2 + 1]` float32.

    A band narrower than the distance of two bins may be zero.
    """
    edges_hz = band_edges_hz(n_mels, fmin_hz, fmax_hz)
    widths_hz = np.diff(edges_hz)[:, None]
    distances_hz = edges_hz[:, None] - np.fft.rfftfreq(n_fft, 1.0 / sample_rate_hz)
    rising, falling = -distances_hz[:-2] / widths_hz[:-1], distances_hz[2:] / widths_hz[1:]
    triangles = np.float32(np.maximum(0, np.minimum(rising, falling)))
    return np.float32(triangles * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None])
