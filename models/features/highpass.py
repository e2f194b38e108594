"""High-pass filter that removes inaudible offset and rumble, which would count as level.

`y = x - h * x` with a low-pass `h` without delay. The filter removes constants, passes less than 1 % below 12 Hz, and
is flat to 0.05 dB from 20 Hz.

The low-pass is a multirate filter (Crochiere & Rabiner 1983, Ch. 4) of three stages: a triangular filter that keeps one
of `decimation(sample_rate_hz)` samples, a Hann-windowed sinc of length `WIDTH_S` at the low rate, and linear
interpolation. The sinc has 201 taps at a low rate of 500 Hz; at 16 kHz it would have 6,401. A tone within 16 Hz of the
low rate is aliased to below 16 Hz, at -59 dB or less.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np

WIDTH_S, CUTOFF_HZ = 0.4, 16.0  # a Hann window of 0.1 s would leave half of 10 Hz
LOW_RATE_HZ = 500.0  # about


def decimation(sample_rate_hz: int) -> int:
    """Samples for each one at the low rate."""
    return max(1, round(sample_rate_hz / LOW_RATE_HZ))


@functools.lru_cache(maxsize=16)
def low_pass_kernel(sample_rate_hz: int) -> np.ndarray:
    """Symmetric kernel `[taps]` at the low rate, with an odd number of taps and unit sum, float32.

    >>> len(low_pass_kernel(16000)), round(float(low_pass_kernel(16000).sum()), 6)
    (201, 1.0)
    """
    rate_hz = sample_rate_hz / decimation(sample_rate_hz)
    taps = 2 * int(WIDTH_S * rate_hz / 2) + 1
    times_s = (np.arange(taps) - taps // 2) / rate_hz
    shape = np.sinc(2 * CUTOFF_HZ * times_s) * np.hanning(taps + 2)[1:-1]
    return np.float32(shape / shape.sum())


def context(sample_rate_hz: int) -> int:
    """Samples on either side that a filtered sample depends on."""
    return (len(low_pass_kernel(sample_rate_hz)) // 2 + 1) * decimation(sample_rate_hz)


@functools.lru_cache(maxsize=16)
def ramps(size: int) -> np.ndarray:
    """Weights `[2, size]` of the values at both ends of `size` samples, by which they are interpolated, float32."""
    rising = np.arange(size, dtype=np.float32) / np.float32(size)
    return np.stack([1 - rising, rising])


def highpass(parts: Iterable[np.ndarray], sample_rate_hz: int) -> Iterator[np.ndarray]:
    """High-pass filter a recording that arrives in parts, in constant memory.

    The ends are padded by reflection: repeating the first sample would leave half of an offset at the start of a
    recording that does not begin in silence. The difference to the first sample is filtered, so that a constant gives
    zeros without rounding errors.

    Args:
      parts: arrays `[samples]` of any lengths.
      sample_rate_hz: sample rate of the parts in Hz.

    Yields:
      Arrays `[samples]` float32, of the same total length.
    """
    half, size = context(sample_rate_hz), decimation(sample_rate_hz)
    buffer, first, padded = np.zeros(0, np.float32), 0.0, False
    for part in (part for part in parts if len(part)):
        first = first if len(buffer) else part[0]
        buffer = np.concatenate([buffer, np.float32(part - first)])
        if not padded and len(buffer) >= half:
            buffer, padded = np.pad(buffer, (half, 0), mode="symmetric"), True
        if padded and len(buffer) > 4 * half:
            ready = (len(buffer) - 2 * half) // size * size
            yield _filter_block(buffer[: ready + 2 * half], sample_rate_hz)
            buffer = buffer[ready:]
    if len(buffer):
        samples = len(buffer) - (half if padded else 0)
        end = half + -samples % size
        whole = np.pad(buffer, (0 if padded else half, end), mode="symmetric")
        yield _filter_block(whole, sample_rate_hz)[:samples]


def _filter_block(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Filter a multiple of `decimation` samples that have `context` samples more on either side."""
    half, size = context(sample_rate_hz), decimation(sample_rate_hz)
    inside = samples[half : len(samples) - half]
    if not samples.any():
        return np.zeros(len(inside), np.float32)
    ends = samples.reshape(-1, size) @ (ramps(size).T / np.float32(size))  # of each row, for the values at its ends
    low = np.convolve(ends[1:, 0] + ends[:-1, 1], low_pass_kernel(sample_rate_hz), mode="valid")
    interpolated = np.stack([low[:-1], low[1:]], axis=1) @ ramps(size)
    return inside - interpolated.ravel()
