"""High-pass filter that removes inaudible offset and rumble, which would count as level.

`y = x - h * x`, where the low-pass `h` is a Hann-windowed sinc of unit sum and length `WIDTH_S`. It is symmetric, so
`y` has no delay. The filter removes constants, passes less than 1 % below 12 Hz, and is flat to 0.05 dB from 20 Hz.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft
import scipy.signal

FFT_KERNELS = 8  # maximum length of one transform, in kernel lengths
WIDTH_S, CUTOFF_HZ = 0.4, 16.0  # a Hann window of 0.1 s would leave half of 10 Hz


@functools.lru_cache(maxsize=16)
def low_pass_kernel(sample_rate_hz: int) -> np.ndarray:
    """Symmetric low-pass kernel `[taps]` with an odd number of taps and unit sum, float64.

    >>> len(low_pass_kernel(16000)), float(low_pass_kernel(16000).sum().round(12))
    (6401, 1.0)
    """
    taps = 2 * int(WIDTH_S * sample_rate_hz / 2) + 1
    times_s = (np.arange(taps) - taps // 2) / sample_rate_hz
    shape = np.sinc(2 * CUTOFF_HZ * times_s) * scipy.signal.windows.hann(taps + 2)[1:-1]
    return shape / shape.sum()


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
    kernel = low_pass_kernel(sample_rate_hz)
    half, buffer, first, padded = len(kernel) // 2, np.zeros(0), 0.0, False
    for part in (part for part in parts if len(part)):
        first = first if len(buffer) else float(part[0])
        buffer = np.concatenate([buffer, part - first])
        if not padded and len(buffer) >= half:
            buffer, padded = np.pad(buffer, (half, 0), mode="symmetric"), True
        if padded and len(buffer) > 4 * half:
            yield _filter_block(buffer, kernel)
            buffer = buffer[len(buffer) - 2 * half :]
    if len(buffer):
        yield _filter_block(np.pad(buffer, (0 if padded else half, half), mode="symmetric"), kernel)


def _filter_block(samples: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter samples that have `len(kernel) // 2` samples of context on either side."""
    half = len(kernel) // 2
    if not samples.any():
        return np.zeros(len(samples) - 2 * half, np.float32)
    size = 1 << (min(len(samples), FFT_KERNELS * len(kernel)) - 1).bit_length()
    step = size - len(kernel) + 1
    low = np.empty(len(samples) - 2 * half, np.float32)
    for start in range(0, len(low), step):  # overlap-save
        spectrum = scipy.fft.rfft(samples[start : start + size].astype(np.float32), size)
        filtered = scipy.fft.irfft(spectrum * _spectrum(kernel.tobytes(), size), size)[len(kernel) - 1 :]
        low[start : start + step] = filtered[: len(low) - start]
    return (samples[half : len(samples) - half] - low).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _spectrum(kernel: bytes, size: int) -> np.ndarray:
    """Fourier transform of a float64 kernel, zero-padded to `size`, in single precision."""
    return scipy.fft.rfft(np.frombuffer(kernel), size).astype(np.complex64)
