"""Taking out of samples what is below hearing: offset and rumble, which must not count as level.

`y = x - h * x`, where the low-pass `h` is a Hann-windowed sinc of unit sum and `WIDTH_S`. It is symmetric, so that `y`
has no delay; of it nothing is left of a constant, less than 1 % below 12 Hz, and from 20 Hz on all to 0.05 dB.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft
import scipy.signal

FFT_KERNELS = 8  # lengths of the kernel in one transform at the most
WIDTH_S, CUTOFF_HZ = 0.4, 16.0  # a Hann window of 0.1 s would leave half of 10 Hz


@functools.lru_cache(maxsize=16)
def low_pass(sample_rate_hz: int) -> np.ndarray:
    """The symmetric low-pass `[taps]` of an odd number of taps and unit sum, float64.

    >>> len(low_pass(16000)), float(low_pass(16000).sum().round(12))
    (6401, 1.0)
    """
    taps = 2 * int(WIDTH_S * sample_rate_hz / 2) + 1
    times_s = (np.arange(taps) - taps // 2) / sample_rate_hz
    shape = np.sinc(2 * CUTOFF_HZ * times_s) * scipy.signal.windows.hann(taps + 2)[1:-1]
    return shape / shape.sum()


def highpass(parts: Iterable[np.ndarray], sample_rate_hz: int) -> Iterator[np.ndarray]:
    """A recording that arrives in parts without what is below hearing, in constant memory.

    Beyond its ends it is reflected: repeating the first sample would leave half of it, where a recording does not
    begin in silence. What is filtered is the difference to the first sample, so that a constant gives zeros
    and not rounding errors.

    Args:
      parts: arrays `[samples]` of any lengths.
      sample_rate_hz: their rate.

    Yields:
      Arrays `[samples]` float32, as many samples altogether.
    """
    kernel = low_pass(sample_rate_hz)
    half, waiting, first, begun = len(kernel) // 2, np.zeros(0), 0.0, False
    for part in (part for part in parts if len(part)):
        first = first if len(waiting) else float(part[0])
        waiting = np.concatenate([waiting, part - first])
        if not begun and len(waiting) >= half:
            waiting, begun = np.pad(waiting, (half, 0), mode="symmetric"), True
        if begun and len(waiting) > 4 * half:
            yield _filtered(waiting, kernel)
            waiting = waiting[len(waiting) - 2 * half :]
    if len(waiting):
        yield _filtered(np.pad(waiting, (0 if begun else half, half), mode="symmetric"), kernel)


def _filtered(samples: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Of samples with `len(kernel) // 2` around them to either side."""
    half = len(kernel) // 2
    if not samples.any():
        return np.zeros(len(samples) - 2 * half, np.float32)
    size = 1 << (min(len(samples), FFT_KERNELS * len(kernel)) - 1).bit_length()
    step = size - len(kernel) + 1
    below = np.empty(len(samples) - 2 * half, np.float32)
    for start in range(0, len(below), step):  # overlap-save
        spectrum = scipy.fft.rfft(samples[start : start + size].astype(np.float32), size)
        filtered = scipy.fft.irfft(spectrum * _spectrum(kernel.tobytes(), size), size)[len(kernel) - 1 :]
        below[start : start + step] = filtered[: len(below) - start]
    return (samples[half : len(samples) - half] - below).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _spectrum(kernel: bytes, size: int) -> np.ndarray:
    """The Fourier transform of a kernel of float64, zero-padded to a size; single precision."""
    return scipy.fft.rfft(np.frombuffer(kernel), size).astype(np.complex64)
