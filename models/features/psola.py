"""Pitch shifting by pitch-synchronous overlap-add, which preserves formants and duration.

TD-PSOLA of Moulines & Charpentier 1990 (Speech Communication 9, Sec. 4): each period is extracted with a window two
periods long, and these grains are overlap-added at a smaller or larger spacing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SLACK = 0.2  # tolerance of the distance between pitch marks, as a share of the tracked period
OVERSAMPLING = 4  # of the signal, so that grains can start at fractional samples without audible noise


def shift_pitch(y: np.ndarray, periods: np.ndarray, ratios: np.ndarray, hop_length: int) -> np.ndarray:
    """Shift the pitch of a recording.

    Unvoiced samples, and the first and last period of each voiced run, are unchanged. Grains are weighted by
    `ratio ** -0.5`, which preserves the level, because there are `ratio` times as many of them.

    Args:
      y: `[samples]`.
      periods: `[frames]`, in samples; NaN in unvoiced frames. Frame `t` is centred on sample `t * hop_length`.
      ratios: `[frames]`, the new F0 divided by the old.
      hop_length: samples between consecutive frames.

    Returns:
      `[samples]` float32.
    """
    import scipy.signal  # slow to load, and no worker of `preprocess` needs it

    y = np.asarray(y, np.float64)
    out, oversampled = y.copy(), scipy.signal.resample_poly(y, OVERSAMPLING, 1) if len(y) else y
    for first, last in _voiced_runs(~np.isnan(periods)):
        centres = hop_length * np.arange(first, last)
        span = max(0, centres[0] - hop_length // 2), min(len(y), centres[-1] + hop_length // 2)
        marks = _pitch_marks(y, span, centres, periods[first:last])
        if len(marks) > 2:
            _overlap_add_grains(out, oversampled, marks, np.interp(marks, centres, ratios[first:last]))
    return out.astype(np.float32)


def _voiced_runs(voiced: np.ndarray) -> Iterator[tuple[int, int]]:
    """First frame, and the frame after the last, of each voiced run.

    >>> list(_voiced_runs(np.array([True, False, True, True])))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.pad(voiced.astype(int), 1)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _pitch_marks(y: np.ndarray, span: tuple[int, int], centres: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Pitch marks in samples, one per period and in phase, searched in both directions from the loudest sample."""
    begin, end = span
    if end <= begin:
        return np.zeros(0)
    loudest = begin + int(np.argmax(np.abs(y[begin:end])))
    directions = []
    for sign in (-1, 1):
        mark, marks = float(loudest), []
        while begin <= (mark := _next_mark(y, mark, float(np.interp(mark, centres, periods)), sign)) < end:
            marks.append(mark)
        directions.append(marks)
    return np.array([*directions[0][::-1], loudest, *directions[1]])


def _next_mark(y: np.ndarray, mark: float, period: float, sign: int) -> float:
    """Mark one period after or before `mark`, at the maximum of the normalised cross-correlation."""
    half, slack, centre = round(period / 2), round(SLACK * period), round(mark)
    guess = centre + sign * round(period)
    low, high = min(centre, guess - slack) - half, max(centre, guess + slack) + half + 1
    if low < 0 or high > len(y):
        return mark + sign * period
    template, search = y[centre - half : centre + half + 1], y[guess - slack - half : guess + slack + half + 1]
    energy = np.convolve(np.square(search), np.ones(len(template)), "valid")
    correlation = np.correlate(search, template, "valid") / np.sqrt(energy + 1e-12)
    best = int(np.argmax(correlation))
    return mark + guess - centre + best - slack + _parabolic_peak(correlation[max(0, best - 1) : best + 2])


def _parabolic_peak(values: np.ndarray) -> float:
    """Offset of the maximum of a parabola through three equidistant values from the middle one, at most 1/2."""
    curvature = values[0] - 2 * values[1] + values[2] if len(values) == 3 else 0.0
    return float(np.clip((values[0] - values[2]) / (2 * curvature), -0.5, 0.5)) if curvature < 0 else 0.0


def _overlap_add_grains(out: np.ndarray, oversampled: np.ndarray, marks: np.ndarray, ratios: np.ndarray) -> None:
    """Replace the voiced run in `out` by its periods, spaced `ratios` times as densely.

    The original fades out over the first period and fades in over the last.

    Args:
      out: `[samples]`; modified in place.
      oversampled: the signal, oversampled by `OVERSAMPLING`.
      marks: `[periods]`, in samples.
      ratios: `[periods]`.
    """
    lengths = np.diff(marks)
    before, after = np.append(lengths[0], lengths), np.append(lengths, lengths[-1])
    positions = _grain_positions(marks, after, ratios)
    nearest = np.searchsorted((marks[1:] + marks[:-1]) / 2, positions)
    first, last = (positions[0], before[0]), (positions[-1], after[nearest[-1]])
    span = _slice(out, first[0] - first[1], sum(last))
    times = np.arange(span.start, span.stop)
    out[span] *= 1 - _fade_out((first[0] - times) / first[1]) * _fade_out((times - last[0]) / last[1])
    for position, n in zip(positions, nearest, strict=True):
        span = _slice(out, position - before[n], position + after[n])
        times = np.arange(span.start, span.stop) - position
        grain = _interpolate(oversampled, OVERSAMPLING * (times + marks[n])) * ratios[n] ** -0.5
        out[span] += grain * _fade_out(np.where(times < 0, -times / before[n], times / after[n]))


def _grain_positions(marks: np.ndarray, lengths: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Centres of the grains, from the first mark to the last, one period divided by the local ratio apart."""
    steps, position, positions = lengths / ratios, float(marks[0]), []
    while position <= marks[-1] + 0.5:
        positions.append(position)
        position += float(np.interp(position, marks, steps))
    return np.array(positions)


def _interpolate(y: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Values of a signal at fractional positions, by linear interpolation."""
    index = np.clip(np.floor(positions).astype(int), 0, len(y) - 2)
    return y[index] + (positions - index) * (y[index + 1] - y[index])


def _slice(y: np.ndarray, begin: float, end: float) -> slice:
    """Slice of the samples of `y` at positions from `begin` to `end`."""
    return slice(max(0, int(np.ceil(begin))), max(0, min(len(y), int(np.floor(end)) + 1)))


def _fade_out(x: np.ndarray) -> np.ndarray:
    """Half a Hann window: from 1 at 0 to 0 at 1; it sums to one with its reverse."""
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(x, 0, 1))
