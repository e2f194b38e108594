"""Distances between the F0 contours of two recordings of the same words.

F0 in Hz is NaN in unvoiced frames, see :func:`models.features.f0_tracking.track_f0`. Contours are paired in one of two
ways: :func:`f0_by_frame` for time-aligned recordings, :func:`f0_along_path` for recordings of different timing.
"""

from __future__ import annotations

import numpy as np

from models.errors import UserError
from models.features import audio, f0_tracking
from models.features.audio import AudioSpec
from models.metrics import speech


def f0_by_frame(x: np.ndarray, y: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """F0 in Hz of time-aligned waveforms `[samples]`, every 10 ms, `[frames]` each; the longer one is truncated."""
    f0_x, f0_y = (f0_tracking.track_f0(waveform, sample_rate_hz) for waveform in (x, y))
    frames = min(len(f0_x), len(f0_y))
    return f0_x[:frames], f0_y[:frames]


def f0_along_path(x: np.ndarray, y: np.ndarray, spec: AudioSpec) -> tuple[np.ndarray, np.ndarray]:
    """F0 in Hz of two waveforms `[samples]` along their dynamic time warping path, `[pairs]` each.

    The path is that of the mel-cepstral distortion, over active frames: :func:`models.metrics.speech.aligned_frames`.
    The F0 of a frame of the front end is that of the nearest frame of the F0 tracker.

    Args:
      x: samples at the front end's rate.
      y: samples at the front end's rate.
      spec: the front end.
    """
    log_mels = [audio.log_mel(waveform, spec) for waveform in (x, y)]
    contours = (f0_tracking.track_f0(waveform, spec.sample_rate_hz) for waveform in (x, y))
    return pair_contours(*contours, *log_mels, spec)


def pair_contours(
    f0_x: np.ndarray, f0_y: np.ndarray, log_mels_x: np.ndarray, log_mels_y: np.ndarray, spec: AudioSpec
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`f0_along_path`, of recordings whose F0 in Hz, every 10 ms, and log-mels `[frames, mels]` are given."""
    pairs = speech.aligned_frames(log_mels_x, log_mels_y, spec)
    tracks = zip((f0_x, f0_y), pairs.T, strict=True)
    return tuple(_f0_of_frames(f0_hz, frames, spec) for f0_hz, frames in tracks)


def _f0_of_frames(f0_hz: np.ndarray, frames: np.ndarray, spec: AudioSpec) -> np.ndarray:
    nearest = np.round(frames * spec.hop_length / f0_tracking.hop_length(spec.sample_rate_hz)).astype(int)
    return f0_hz[np.minimum(nearest, len(f0_hz) - 1)]


def log_f0_rmse(f0_x: np.ndarray, f0_y: np.ndarray) -> float | None:
    """RMSE of log-F0, ``sqrt(mean_t (ln f0_x[t] - ln f0_y[t])^2)``, over frames that are voiced in both contours.

    The unit is that of the natural logarithm: 0.0578 is a semitone, 0.693 an octave. The range is 0 to infinity. The
    measure ignores voicing errors, so read it beside :func:`voicing_error`. With an alignment it is the log-F0 RMSE of
    ESPnet2-TTS (arXiv:2110.07840).

    Args:
      f0_x: `[frames]` in Hz, NaN where unvoiced.
      f0_y: `[frames]` in Hz, paired with `f0_x`.

    Returns:
      The RMSE, or None if no frame is voiced in both.

    Raises:
      UserError: the contours are empty or their lengths differ.

    >>> round(log_f0_rmse(np.array([100.0, np.nan, 200]), np.array([200.0, 150, 400])) / np.log(2), 9)
    1.0
    """
    f0_x, f0_y = _check_contours(f0_x, f0_y)
    difference = np.log(f0_x) - np.log(f0_y)
    voiced = ~np.isnan(difference)
    return float(np.sqrt(np.mean(np.square(difference[voiced])))) if voiced.any() else None


def voicing_error(f0_x: np.ndarray, f0_y: np.ndarray) -> float:
    """Share of paired frames of which one is voiced and the other is not, from 0 to 1.

    The voicing decision error of Nakatani et al. 2008 (Speech Communication 50(3)). Unvoiced frames include silence;
    :func:`f0_along_path` leaves silence out. Arguments and errors as in :func:`log_f0_rmse`.

    >>> voicing_error(np.array([100.0, np.nan, 200, np.nan]), np.array([200.0, 150, 400, np.nan]))
    0.25
    """
    f0_x, f0_y = _check_contours(f0_x, f0_y)
    return float(np.mean(np.isnan(f0_x) != np.isnan(f0_y)))


def _check_contours(f0_x: np.ndarray, f0_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    f0_x, f0_y = np.asarray(f0_x, np.float64), np.asarray(f0_y, np.float64)
    if f0_x.ndim != 1 or f0_x.shape != f0_y.shape or not len(f0_x):
        raise UserError(
            f"F0 contours of shapes {f0_x.shape} and {f0_y.shape}; wanted the same number of frames [frames]"
        )
    return f0_x, f0_y
