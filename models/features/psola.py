"""Another pitch for the same voice: overlap-add in step with its periods, which keeps formants and duration.

TD-PSOLA of Moulines & Charpentier 1990 (Speech Communication 9, Sec. 4): each period is cut out under a window
two periods long, and these grains are put down again closer together or further apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.signal

SLACK = 0.2  # of a period, by which the next may be longer or shorter than the tracker says
OVERSAMPLING = 4  # grains are put down between samples, or their harmonics would be rough


def move(y: np.ndarray, periods: np.ndarray, ratios: np.ndarray, hop_length: int) -> np.ndarray:
    """A recording with its pitch moved.

    What is not voiced, and the first and last period of what is, stays as it was. The level stays: grains
    weigh `ratio ** -0.5`, because there are `ratio` times as many of them.

    Args:
      y: `[samples]`.
      periods: `[frames]`, in samples; NaN where nothing is voiced. Frame `t` is centred on sample `t * hop_length`.
      ratios: `[frames]`, the new F0 as a multiple of the old.
      hop_length: samples from one frame to the next.

    Returns:
      `[samples]` float32.
    """
    y = np.asarray(y, np.float64)
    made, fine = y.copy(), scipy.signal.resample_poly(y, OVERSAMPLING, 1) if len(y) else y
    for first, last in _runs(~np.isnan(periods)):
        centres = hop_length * np.arange(first, last)
        inside = max(0, centres[0] - hop_length // 2), min(len(y), centres[-1] + hop_length // 2)
        marks = _marks(y, inside, centres, periods[first:last])
        if len(marks) > 2:
            _put(made, fine, marks, np.interp(marks, centres, ratios[first:last]))
    return made.astype(np.float32)


def _runs(voiced: np.ndarray) -> Iterator[tuple[int, int]]:
    """First frame and the one after the last of each voiced stretch.

    >>> list(_runs(np.array([True, False, True, True])))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.pad(voiced.astype(int), 1)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _marks(y: np.ndarray, inside: tuple[int, int], centres: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Places in samples, one a period, all at the same point of it, found to either side of the loudest."""
    begin, end = inside
    if end <= begin:
        return np.zeros(0)
    loudest = begin + int(np.argmax(np.abs(y[begin:end])))
    ways = []
    for sign in (-1, 1):
        mark, found = float(loudest), []
        while begin <= (mark := _next(y, mark, float(np.interp(mark, centres, periods)), sign)) < end:
            found.append(mark)
        ways.append(found)
    return np.array([*ways[0][::-1], loudest, *ways[1]])


def _next(y: np.ndarray, mark: float, period: float, sign: int) -> float:
    """The mark a period after or before one: where the signal around it is most like that around the other."""
    half, slack, here = round(period / 2), round(SLACK * period), round(mark)
    guess = here + sign * round(period)
    low, high = min(here, guess - slack) - half, max(here, guess + slack) + half + 1
    if low < 0 or high > len(y):
        return mark + sign * period
    template, around = y[here - half : here + half + 1], y[guess - slack - half : guess + slack + half + 1]
    energy = np.convolve(np.square(around), np.ones(len(template)), "valid")
    likeness = np.correlate(around, template, "valid") / np.sqrt(energy + 1e-12)
    best = int(np.argmax(likeness))
    return mark + guess - here + best - slack + _vertex(likeness[max(0, best - 1) : best + 2])


def _vertex(around: np.ndarray) -> float:
    """Where, from the middle one of three equidistant values, a parabola through them is highest; at most 1/2."""
    bend = around[0] - 2 * around[1] + around[2] if len(around) == 3 else 0.0
    return float(np.clip((around[0] - around[2]) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _put(out: np.ndarray, fine: np.ndarray, marks: np.ndarray, ratios: np.ndarray) -> None:
    """Puts the periods at `marks` down again, `ratios` times as dense, in place of what is there.

    That is faded out before the first and in after the last.

    Args:
      out: `[samples]`; changed.
      fine: the signal, oversampled.
      marks: `[periods]`, in samples.
      ratios: `[periods]`.
    """
    lengths = np.diff(marks)
    before, after = np.append(lengths[0], lengths), np.append(lengths, lengths[-1])
    places = _places(marks, after, ratios)
    nearest = np.searchsorted((marks[1:] + marks[:-1]) / 2, places)
    first, last = (places[0], before[0]), (places[-1], after[nearest[-1]])
    span = _within(out, first[0] - first[1], sum(last))
    times = np.arange(span.start, span.stop)
    out[span] *= 1 - _fall((first[0] - times) / first[1]) * _fall((times - last[0]) / last[1])
    for place, n in zip(places, nearest, strict=True):
        span = _within(out, place - before[n], place + after[n])
        times = np.arange(span.start, span.stop) - place
        grain = _read(fine, OVERSAMPLING * (times + marks[n])) * ratios[n] ** -0.5
        out[span] += grain * _fall(np.where(times < 0, -times / before[n], times / after[n]))


def _places(marks: np.ndarray, lengths: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Where grains are put down: from the first mark to the last, periods shorter by the ratio at hand."""
    steps, place, found = lengths / ratios, float(marks[0]), []
    while place <= marks[-1] + 0.5:
        found.append(place)
        place += float(np.interp(place, marks, steps))
    return np.array(found)


def _read(y: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The values of a signal between its samples, on straight lines."""
    whole = np.clip(np.floor(places).astype(int), 0, len(y) - 2)
    return y[whole] + (places - whole) * (y[whole + 1] - y[whole])


def _within(y: np.ndarray, begin: float, end: float) -> slice:
    """The samples of `y` from one place to another."""
    return slice(max(0, int(np.ceil(begin))), max(0, min(len(y), int(np.floor(end)) + 1)))


def _fall(x: np.ndarray) -> np.ndarray:
    """Half a Hann window: from 1 at 0 to 0 at 1; rising and falling, neighbours sum to one."""
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(x, 0, 1))
