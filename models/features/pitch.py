"""The pitch of speech: its F0 every 10 ms, how that is distributed, and moving it to another voice's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import librosa
import numpy as np

from models.features import psola, recording
from models.features.highpass import highpass
from models.features.stats import Moments, merge

RANGE_HZ = (60.0, 500.0)  # of speech, children's included
FRAME_RATE_HZ = 100
FRAME_S = 0.064  # two periods of the lowest pitch, and room to compare them
STEP_SEMITONES = 0.2  # of the tracker; half of it takes three times as long
PIECE_FRAMES = 1000  # tracked at once
CONTEXT_FRAMES = 50  # seen to either side of them


def hop_length(sample_rate_hz: int) -> int:
    """Samples from one frame to the next.

    >>> hop_length(22050)
    220
    """
    return max(1, sample_rate_hz // FRAME_RATE_HZ)


def track(y: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """F0 in Hz of mono speech by probabilistic YIN (Mauch & Dixon 2014), NaN where nothing is voiced.

    Args:
      y: `[samples]`; of fewer than `FRAME_S` nothing is known to be voiced.
      sample_rate_hz: their rate; 1000 at least.

    Returns:
      `[1 + samples // hop_length]`; frame `t` is centred on sample `t * hop_length`.
    """
    hop, frame = hop_length(sample_rate_hz), 2 * int(np.ceil(FRAME_S * sample_rate_hz / 2))
    if len(y) < frame or not np.any(y):
        return np.full(1 + len(y) // hop, np.nan)
    lengths = {"frame_length": frame, "hop_length": hop, "resolution": STEP_SEMITONES}
    return librosa.pyin(y, fmin=RANGE_HZ[0], fmax=RANGE_HZ[1], sr=sample_rate_hz, **lengths)[0]


def pieces(parts: Iterable[np.ndarray], sample_rate_hz: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A recording that arrives in parts, piece by piece with its F0, in constant memory.

    A piece ends where nothing is voiced, if there is such a frame in its second half.

    Args:
      parts: arrays `[samples]` of any lengths.
      sample_rate_hz: their rate.

    Yields:
      Samples, which concatenate to the recording, and their F0 in Hz as :func:`track` gives it, a frame
      for each `hop_length` of them that has begun.
    """
    hop, waiting, before = hop_length(sample_rate_hz), np.zeros(0, np.float32), 0
    for part in parts:
        waiting = np.concatenate([waiting, part])
        while len(waiting) >= before + (PIECE_FRAMES + CONTEXT_FRAMES) * hop:
            seen = waiting[: before + (PIECE_FRAMES + CONTEXT_FRAMES) * hop]
            f0_hz = track(seen, sample_rate_hz)[before // hop :][:PIECE_FRAMES]
            frames = _end(f0_hz)
            reached = before + frames * hop
            yield waiting[before:reached], f0_hz[:frames]
            forgotten = max(0, reached - CONTEXT_FRAMES * hop)
            waiting, before = waiting[forgotten:], reached - forgotten
    if len(waiting) > before:
        frames = -(-(len(waiting) - before) // hop)
        yield waiting[before:], track(waiting, sample_rate_hz)[before // hop :][:frames]


def _end(f0_hz: np.ndarray) -> int:
    """Frames of a piece: up to its last that is not voiced, if that is in the second half; else all.

    >>> _end(np.array([100.0, np.nan, 100, np.nan, 100])), _end(np.array([np.nan, 100.0, 100]))
    (3, 3)
    """
    half = len(f0_hz) // 2
    silent = half + np.flatnonzero(np.isnan(f0_hz[half:]))
    return int(silent[-1]) if len(silent) and silent[-1] else len(f0_hz)


def survey(file: str | BinaryIO, sample_rate_hz: int, *, channel: int = -1) -> Moments:
    """Moments of the natural logarithm of F0 in Hz, over the voiced frames of a recording, in constant memory.

    Arguments and errors as :func:`models.features.recording.blocks`; offset and rumble are taken out.
    """
    parts = highpass(recording.blocks(file, sample_rate_hz, channel=channel), sample_rate_hz)
    moments = Moments.empty(1)
    for _, f0_hz in pieces(parts, sample_rate_hz):
        moments = merge(moments, Moments.of(np.log(f0_hz[~np.isnan(f0_hz)])[:, None]))
    return moments


def mean_variance(f0_hz: np.ndarray, source: Moments, target: Moments) -> np.ndarray:
    """F0 moved from one voice to another: `log f0' = (log f0 - mean_s) / std_s * std_t + mean_t`.

    Sec. 4 of arXiv:1711.11293. Kept within `RANGE_HZ`; NaN stays.

    Args:
      f0_hz: `[frames]`.
      source: of the log-F0 of the voice it is of.
      target: of the other's.

    >>> low, high = (Moments.of(np.log([[f0], [1.2 * f0]])) for f0 in (100.0, 200.0))
    >>> mean_variance(np.array([100.0, 120.0]), low, high).round(6).tolist()
    [200.0, 240.0]
    """
    moved = (np.log(f0_hz) - source.mean) / source.std * target.std + target.mean
    return np.clip(np.exp(moved), *RANGE_HZ)


def moved(parts: Iterable[np.ndarray], sample_rate_hz: int, source: Moments, target: Moments) -> Iterator[np.ndarray]:
    """A recording that arrives in parts, its pitch moved by :func:`mean_variance`, in constant memory.

    What is not voiced stays, formants and duration do, and so does the level; see :mod:`models.features.psola`.

    Yields:
      Arrays `[samples]` float32, of the same length altogether.
    """
    for y, f0_hz in pieces(parts, sample_rate_hz):
        ratios = mean_variance(f0_hz, source, target) / f0_hz
        yield psola.move(y, sample_rate_hz / f0_hz, ratios, hop_length(sample_rate_hz))
