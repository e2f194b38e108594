"""Modulation spectra of speech: how fast and how much log-mels vary over time."""

from __future__ import annotations

import numpy as np
import scipy.signal

from models.errors import UserError
from models.features import audio
from models.features.audio import AudioSpec

SEGMENT_S = 1.0  # resolution of 1 Hz
MAX_RATE_HZ = 25.0  # of modulation; syllables are at 2 to 8 Hz
MIN_FRAMES = 8
MIN_POWER = 1e-6  # dB^2; floor of the power of a constant band
DB = 20 / np.log(10)  # natural logarithm of a magnitude to dB


def modulation_spectrum(log_mels: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Modulation spectrum of log-mels `[frames, mels]` in dB re 1 dB^2, averaged over bands, `[rates]`.

    The log-scaled power spectrum of each band's trajectory over time (Takamichi et al. 2014, ICASSP), over segments
    (Takamichi et al. 2016, IEEE/ACM TASLP 24(4)), so that recordings of different lengths can be compared:

    1. Inactive frames at both ends are removed; trajectories are converted to dB.
    2. Segments of 1 s overlap by half; the mean of each band is removed and a Hann window is applied. A recording
       shorter than 1 s is one segment, zero-padded after the window.
    3. Powers ``|DFT|^2 / sum(window^2)`` are averaged over segments, so that white noise of variance v has power v.
       They are raised to at least `MIN_POWER`.
    4. ``10 log10`` of the powers is averaged over bands. Modulation rates are 1 Hz (one bin) to `MAX_RATE_HZ`.

    Raises:
      UserError: fewer than `MIN_FRAMES` frames from the first active frame to the last.
    """
    active = np.flatnonzero(audio.active_frames(log_mels, spec)) if len(log_mels) else []
    x = DB * np.asarray(log_mels[active[0] : active[-1] + 1] if len(active) else log_mels, np.float64)
    if len(x) < MIN_FRAMES:
        raise UserError(f"{len(x)} active frames for a modulation spectrum; wanted {MIN_FRAMES} or more")
    segment = round(SEGMENT_S * spec.frame_rate_hz)
    length = min(len(x), segment)
    segments = np.lib.stride_tricks.sliding_window_view(x, length, axis=0)[:: max(1, segment // 2)]
    window = scipy.signal.get_window("hann", length)
    centred = segments - segments.mean(axis=-1, keepdims=True)  # [segments, mels, length]
    powers = np.square(np.abs(np.fft.rfft(centred * window, segment))).mean(axis=0) / np.square(window).sum()
    rates_hz = np.fft.rfftfreq(segment, 1 / spec.frame_rate_hz)
    selected = (rates_hz > 0) & (rates_hz <= MAX_RATE_HZ)
    return 10 * np.log10(np.maximum(powers[:, selected], MIN_POWER)).mean(axis=0)


def modulation_spectrum_distance(x: np.ndarray, y: np.ndarray, spec: AudioSpec) -> float:
    """RMS difference of the modulation spectra of two recordings in dB, over modulation rates.

    ``sqrt(mean_f (m_x[f] - m_y[f])^2)`` with :func:`modulation_spectrum` `m`. The range is 0 to infinity; the value
    is 0 for equal recordings and invariant to level. No alignment is needed, and the words may differ if recordings
    are long. Smoothed trajectories, a typical effect of statistical models, have too little power at high rates.

    Args:
      x: log-mels `[frames, mels]`.
      y: log-mels `[frames, mels]` of any length.
      spec: the front end.

    Raises:
      UserError: a recording is too short, see :func:`modulation_spectrum`.

    >>> x = np.random.default_rng(0).normal(size=(200, 80))
    >>> round(modulation_spectrum_distance(x, 0.5 * x, AudioSpec()), 6)  # half the modulation
    6.0206
    """
    difference = modulation_spectrum(x, spec) - modulation_spectrum(y, spec)
    return float(np.sqrt(np.mean(np.square(difference))))
