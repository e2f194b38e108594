"""Pitch of speech: F0 of recordings of any length, log-F0 moments, conversion to another voice's distribution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.features import psola, recording
from models.features.f0_tracking import RANGE_HZ, hop_length, track_f0
from models.features.highpass import highpass
from models.features.stats import Moments, merge

PIECE_FRAMES = 1000  # frames tracked at once
CONTEXT_FRAMES = 50  # frames of context on either side of a piece


def split_with_f0(parts: Iterable[np.ndarray], sample_rate_hz: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split a recording that arrives in parts into pieces with their F0, in constant memory.

    A piece ends at an unvoiced frame, if there is one in its second half.

    Args:
      parts: arrays `[samples]` of any lengths.
      sample_rate_hz: sample rate of the parts in Hz.

    Yields:
      Samples, which concatenate to the recording, and their F0 in Hz as in
      :func:`models.features.f0_tracking.track_f0`, one frame for each `hop_length` samples, rounded up.
    """
    hop, buffer, start = hop_length(sample_rate_hz), np.zeros(0, np.float32), 0
    for part in parts:
        buffer = np.concatenate([buffer, part])
        while len(buffer) >= start + (PIECE_FRAMES + CONTEXT_FRAMES) * hop:
            with_context = buffer[: start + (PIECE_FRAMES + CONTEXT_FRAMES) * hop]
            f0_hz = track_f0(with_context, sample_rate_hz)[start // hop :][:PIECE_FRAMES]
            frames = _piece_frames(f0_hz)
            end = start + frames * hop
            yield buffer[start:end], f0_hz[:frames]
            dropped = max(0, end - CONTEXT_FRAMES * hop)
            buffer, start = buffer[dropped:], end - dropped
    if len(buffer) > start:
        frames = -(-(len(buffer) - start) // hop)
        yield buffer[start:], track_f0(buffer, sample_rate_hz)[start // hop :][:frames]


def _piece_frames(f0_hz: np.ndarray) -> int:
    """Length of a piece in frames: up to its last unvoiced frame, if that is in the second half, else all frames.

    >>> _piece_frames(np.array([100.0, np.nan, 100, np.nan, 100])), _piece_frames(np.array([np.nan, 100.0, 100]))
    (3, 3)
    """
    half = len(f0_hz) // 2
    unvoiced = half + np.flatnonzero(np.isnan(f0_hz[half:]))
    return int(unvoiced[-1]) if len(unvoiced) and unvoiced[-1] else len(f0_hz)


def log_f0_moments(file: str | BinaryIO, sample_rate_hz: int, *, channel: int = -1) -> Moments:
    """Moments of log-F0 (natural logarithm, F0 in Hz) over the voiced frames of a recording, in constant memory.

    Arguments and errors as :func:`models.features.recording.blocks`; offset and rumble are removed first.
    """
    parts = highpass(recording.blocks(file, sample_rate_hz, channel=channel), sample_rate_hz)
    moments = Moments.empty(1)
    for _, f0_hz in split_with_f0(parts, sample_rate_hz):
        moments = merge(moments, Moments.of(np.log(f0_hz[~np.isnan(f0_hz)])[:, None]))
    return moments


def convert_f0(f0_hz: np.ndarray, source: Moments, target: Moments) -> np.ndarray:
    """Mean-variance transformation of F0: `log f0' = (log f0 - mean_s) / std_s * std_t + mean_t`.

    Sec. 4 of arXiv:1711.11293. The result is clipped to `RANGE_HZ`; NaN is preserved.

    Args:
      f0_hz: `[frames]`.
      source: log-F0 moments of the source voice.
      target: log-F0 moments of the target voice.

    >>> low, high = (Moments.of(np.log([[f0], [1.2 * f0]])) for f0 in (100.0, 200.0))
    >>> convert_f0(np.array([100.0, 120.0]), low, high).round(6).tolist()
    [200.0, 240.0]
    """
    log_f0 = (np.log(f0_hz) - source.mean) / source.std * target.std + target.mean
    return np.clip(np.exp(log_f0), *RANGE_HZ)


def convert_pitch(
    parts: Iterable[np.ndarray], sample_rate_hz: int, source: Moments, target: Moments
) -> Iterator[np.ndarray]:
    """Convert the pitch of a recording that arrives in parts by :func:`convert_f0`, in constant memory.

    Unvoiced samples, formants, duration and level are preserved; see :mod:`models.features.psola`.

    Yields:
      Arrays `[samples]` float32, of the same total length.
    """
    for y, f0_hz in split_with_f0(parts, sample_rate_hz):
        ratios = convert_f0(f0_hz, source, target) / f0_hz
        yield psola.shift_pitch(y, sample_rate_hz / f0_hz, ratios, hop_length(sample_rate_hz))
