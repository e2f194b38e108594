"""F0 of speech every 10 ms, from autocorrelations of all frames at once and a path through their peaks.

The method is that of Boersma 1993 (Proc. Institute of Phonetic Sciences 17, 97-110), of which Praat's tracker is the
reference: the autocorrelation of a windowed frame is divided by that of the window, its peaks are the candidates, and
the Viterbi algorithm selects one of them, or "unvoiced", in each frame. Here only frequencies below 2 kHz take part:
the autocorrelation is then a sum of few cosines, exact at any lag, and noise counts less.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft

RANGE_HZ = (60.0, 500.0)  # F0 of speech, including children
FRAME_RATE_HZ = 100
FRAME_S = 0.05  # three periods of the lowest F0
BAND_HZ = (1000.0, 2000.0)  # harmonics fade out between these frequencies
LAG_RATE_HZ = 16000  # inverse of the step between lags
CANDIDATES = 8  # peaks of a frame
BLOCK_FRAMES = 256  # frames analysed at once, which limits memory

# Strengths and costs of the path, in units of the normalised autocorrelation
VOICING_THRESHOLD = 0.5  # strength of "unvoiced"
SILENCE_THRESHOLD = 0.03  # peak of a frame relative to the loudest one, below which "unvoiced" becomes stronger
OCTAVE_COST = 0.02  # of an F0 an octave lower: a period of two periods is a period too
JUMP_COST = 0.5  # of a change of F0 by an octave between two frames
VOICING_COST = 0.5  # of a change between voiced and unvoiced


class Analysis(NamedTuple):
    """What turns frames at one sample rate into autocorrelations.

    Attributes:
      window: `[samples]`.
      transform: `[bins, 1 + lags]`, from power spectra to autocorrelations at lag 0 and at `lags_s`, divided
        by those of the window.
      lags_s: `[lags]` in seconds, equidistant, one more at either end than `RANGE_HZ` needs.
      fft_length: samples to which frames are padded, so that the autocorrelation does not wrap around.
    """

    window: np.ndarray
    transform: np.ndarray
    lags_s: np.ndarray
    fft_length: int


def hop_length(sample_rate_hz: int) -> int:
    """Samples between consecutive frames.

    >>> hop_length(22050)
    220
    """
    return max(1, sample_rate_hz // FRAME_RATE_HZ)


def track_f0(y: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """F0 of mono speech in Hz, within `RANGE_HZ`; NaN in unvoiced frames.

    The result does not depend on the level, but frames far below the loudest one are unvoiced.

    Args:
      y: `[samples]`; a signal shorter than `FRAME_S` is unvoiced.
      sample_rate_hz: sample rate of `y` in Hz, at least 1000.

    Returns:
      `[1 + samples // hop_length]`; frame `t` is centred on sample `t * hop_length`.
    """
    if len(y) < FRAME_S * sample_rate_hz or not np.any(y):
        return np.full(1 + len(y) // hop_length(sample_rate_hz), np.nan)
    analysis = _analysis(sample_rate_hz)
    blocks = ((*_candidates(frames, analysis), _peaks(frames)) for frames in _frames(y, sample_rate_hz))
    f0_hz, strengths, peaks = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    loudness = peaks / peaks.max() / (SILENCE_THRESHOLD / (1 + VOICING_THRESHOLD))
    unvoiced = VOICING_THRESHOLD + np.maximum(0, 2 - loudness)
    path = _best_path(f0_hz, np.concatenate([strengths, unvoiced[:, None]], axis=1))
    return np.pad(f0_hz, ((0, 0), (0, 1)), constant_values=np.nan)[np.arange(len(path)), path]


@functools.lru_cache(maxsize=8)
def _analysis(sample_rate_hz: int) -> Analysis:
    length = 2 * int(np.ceil(FRAME_S * sample_rate_hz / 2))
    shortest, longest = (int(LAG_RATE_HZ / f0_hz) for f0_hz in reversed(RANGE_HZ))
    lags_s = np.arange(shortest - 1, longest + 3) / LAG_RATE_HZ
    fft_length = scipy.fft.next_fast_len(length + int(np.ceil(lags_s[-1] * sample_rate_hz)), real=True)
    window = np.hanning(length + 1)[:-1]
    frequencies = np.arange(fft_length // 2 + 1) * sample_rate_hz / fft_length
    cosines = np.cos(2 * np.pi * np.outer(frequencies, np.append(0, lags_s)))
    cosines[0] /= 2  # the other bins stand for the negative frequencies too
    of_window = np.square(np.abs(scipy.fft.rfft(window, fft_length))) @ cosines
    fade = np.clip((BAND_HZ[1] - frequencies) / (BAND_HZ[1] - BAND_HZ[0]), 0, 1)
    transform = cosines * np.sin(np.pi / 2 * fade[:, None]) ** 2 / of_window
    return Analysis(np.float32(window), np.float32(transform[fade > 0]), lags_s, fft_length)


def _frames(y: np.ndarray, sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Yield blocks of frames `[block, samples]` without offset; beyond its ends the signal is zero."""
    hop, length = hop_length(sample_rate_hz), len(_analysis(sample_rate_hz).window)
    padded = np.pad(np.asarray(y, np.float32), length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    for start in range(0, len(frames), BLOCK_FRAMES):
        block = frames[start : start + BLOCK_FRAMES]
        yield block - block.mean(axis=1, keepdims=True)


def _peaks(frames: np.ndarray) -> np.ndarray:
    return np.abs(frames).max(axis=1)


def _candidates(frames: np.ndarray, analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """F0 in Hz of the strongest peaks of the autocorrelation of each frame, and their strengths.

    Args:
      frames: `[frames, samples]`.
      analysis: at their sample rate.

    Returns:
      Two arrays `[frames, CANDIDATES]`; the strength is minus infinity where there are fewer peaks.
    """
    spectra = scipy.fft.rfft(frames * analysis.window, analysis.fft_length)[:, : len(analysis.transform)]
    correlations = (np.square(spectra.real) + np.square(spectra.imag)) @ analysis.transform
    normalised = correlations[:, 1:] / np.maximum(correlations[:, :1], np.finfo(np.float32).tiny)
    before, here, after = normalised[:, :-2], normalised[:, 1:-1], normalised[:, 2:]
    octaves = OCTAVE_COST * np.log2(analysis.lags_s[1:-1] * RANGE_HZ[1])
    scores = np.where((here > before) & (here >= after), here - octaves, -np.inf)
    selected = np.argpartition(-scores, CANDIDATES, axis=1)[:, :CANDIDATES]
    before, here, after = (np.take_along_axis(x, selected, axis=1) for x in (before, here, after))
    curvature = 2 * here - before - after
    offsets = np.clip((after - before) / np.maximum(2 * curvature, np.finfo(np.float32).tiny), -0.5, 0.5)
    f0_hz = np.clip(1 / (analysis.lags_s[1:-1][selected] + offsets / LAG_RATE_HZ), *RANGE_HZ)
    heights = here + (after - before) * offsets / 4
    is_peak = np.isfinite(np.take_along_axis(scores, selected, axis=1))
    return f0_hz, np.where(is_peak, np.minimum(heights, 1) - octaves[selected], -np.inf)


def _best_path(f0_hz: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Candidate of each frame that maximises the sum of strengths less the costs of changes, by the Viterbi algorithm.

    Args:
      f0_hz: `[frames, candidates]`.
      strengths: `[frames, candidates + 1]`; the last one is that of "unvoiced".

    Returns:
      Indices `[frames]`; `candidates` stands for "unvoiced".
    """
    octaves = np.log2(f0_hz)
    gains = np.full((len(f0_hz) - 1, strengths.shape[1], strengths.shape[1]), -VOICING_COST)
    gains[:, :-1, :-1] = -JUMP_COST * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
    gains[:, -1, -1] = 0
    scores, previous = strengths[0], []
    for gain, strength in zip(gains, strengths[1:], strict=True):
        through = scores[:, None] + gain
        previous.append(through.argmax(axis=0))
        scores = through.max(axis=0) + strength
    path = [int(scores.argmax())]
    for best in reversed(previous):
        path.append(int(best[path[-1]]))
    return np.array(path[::-1])
