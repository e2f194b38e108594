"""Audio files of any container to mono samples at one rate, block by block, without TensorFlow.

`blocks` and `read` decode, mix to mono and resample. Features are computed from the functions of the same names in
`models.features.audio`, which also apply the front end's high-pass filter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import BinaryIO

import numpy as np
import soxr

from models.errors import UserError
from models.features import ffmpeg, libsndfile
from models.features.channels import ChannelMeter
from models.features.sound_part import Part

SIDE = -2  # in place of the index of a channel: half the difference of the first channel and the last
BLOCK_FRAMES = 1 << 16  # samples per channel that are read at a time
RATES_HZ = (1000, 768000)  # a lower rate is a wrong header, and would take gigabytes after resampling
MAX_CHANNELS = 64  # a block of as many takes 16 MB
MAX_ABS_SAMPLE = 1e15  # beyond any scale: its spectrum would overflow single precision
SUFFIXES = tuple(sorted({*libsndfile.SUFFIXES, *ffmpeg.SUFFIXES}))  # of files that hold sound only


@contextlib.contextmanager
def _opened(file: str | BinaryIO) -> Iterator[tuple[ModuleType, BinaryIO, str]]:
    """Open a recording: the module that decodes it, the open file, and its path or an empty text."""
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(open(file, "rb")) if isinstance(file, str) else file
        except (FileNotFoundError, IsADirectoryError):
            raise UserError("not readable as audio: there is no such file") from None
        decoder = ffmpeg if ffmpeg.find_container(opened) else libsndfile
        yield decoder, opened, file if isinstance(file, str) else ""


def probe(file: str | BinaryIO) -> int:
    """Read the sample rate of a recording in Hz from its header; arguments and errors as :func:`read_format`."""
    return read_format(file)[0]


def read_format(file: str | BinaryIO) -> tuple[int, int]:
    """Read sample rate in Hz and number of channels from a header; those of the first stream if several are joined.

    Args:
      file: a path or a seekable binary file.

    Raises:
      UserError: the file is not a recording, or its rate or number of channels is out of range.
    """
    with _opened(file) as (decoder, opened, path):
        rate_hz, channels = decoder.read_format(opened, path)
    _check_format(rate_hz, channels)
    return rate_hz, channels


def durations(file: str | BinaryIO) -> Iterator[float]:
    """Yield the duration of a recording in seconds: first by its header, then of what is decoded so far.

    The header of a small file can state any duration, and a file can hold more than its header states. A caller
    with a limit therefore stops at the first value above it, and no more than that is decoded.

    Args:
      file: a path or a seekable binary file.

    Yields:
      The stated duration, 0 if the header states none; then the decoded one, block by block.

    Raises:
      UserError: as :func:`blocks`.
    """
    with _opened(file) as (decoder, opened, path):
        yield decoder.stated_seconds(opened)
        seconds = 0.0
        for part in _checked_parts(decoder, opened, path):
            for block in _mono(part, -1, None):
                seconds += len(block) / part.rate_hz
                yield seconds


def _checked_parts(decoder: ModuleType, opened: BinaryIO, path: str) -> Iterator[Part]:
    with contextlib.closing(decoder.parts(opened, path, BLOCK_FRAMES)) as parts:
        for part in parts:
            _check_format(part.rate_hz, part.channels)
            yield part


def _check_format(rate_hz: int, channels: int) -> None:
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise UserError(f"a sample rate of {rate_hz} Hz; wanted {RATES_HZ[0]} to {RATES_HZ[1]} Hz: correct the header")
    if channels > MAX_CHANNELS:
        raise UserError(f"{channels} channels; wanted at most {MAX_CHANNELS}: split the file")


def suggested_rate(rates_hz: Iterable[int], *, ceiling_hz: int = 22050) -> int:
    """Return the working sample rate for files of these rates: the 10th percentile, at most `ceiling_hz`.

    A higher rate would leave bands empty, by which a model can tell the domains apart by the recorder instead of the
    voice. A rate above `ceiling_hz` costs more than speech gains by it.

    >>> suggested_rate([44100, 44100, 8000]), suggested_rate([16000] * 99 + [8000])
    (8000, 16000)
    """
    low = float(np.quantile(list(rates_hz), 0.1, method="lower"))
    return int(np.clip(low, 8000, ceiling_hz))


def blocks(
    file: str | BinaryIO, sample_rate_hz: int, *, channel: int = -1, meter: ChannelMeter | None = None
) -> Iterator[np.ndarray]:
    """Read a recording as float32 mono blocks at `sample_rate_hz`, from its beginning, in constant memory.

    Args:
      file: a path or a seekable binary file in any container that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, ...),
        or FFmpeg if PyAV is installed (M4A, WebM, WMA, ...), of any rate, bit depth and number of channels. Joined
        files (Ogg, MP3, FLAC) are read to the end of the last one. Of a video, the first audio stream is read.
      sample_rate_hz: sample rate of the result in Hz.
      channel: index of the channel to read; -1 for the average of all, `SIDE` for half a difference.
      meter: receives the samples of all channels.

    Yields:
      Arrays `[samples]`, in [-1, 1] unless float samples exceed full scale.

    Raises:
      UserError: the file is not a recording, is empty or truncated, has a rate or number of channels out of range,
        contains infinities or NaNs, or needs PyAV, which is not installed.
    """
    any_samples = False
    with _opened(file) as (decoder, opened, path):
        for part in _checked_parts(decoder, opened, path):
            if meter is not None:
                meter.source_notes = part.notes
            for resampled in resample(_mono(part, channel, meter), part.rate_hz, sample_rate_hz):
                any_samples = any_samples or len(resampled) > 0
                yield resampled
    if not any_samples:
        raise UserError("empty: the header states no samples")


def _mono(part: Part, channel: int, meter: ChannelMeter | None) -> Iterator[np.ndarray]:
    """Yield the samples of a channel, the average or the side; raise a UserError if they are not finite."""
    for block in part.blocks:
        mono = _select(block, channel)
        peak = max(mono.max(), -mono.min())  # NaN if any sample is
        if not np.isfinite(peak):
            raise UserError("holds samples that are infinite or not a number")
        if peak > MAX_ABS_SAMPLE:
            raise UserError(f"holds samples of {peak:.3g}; wanted 1 at full scale: damaged?")
        if meter is not None:
            meter.add(block, part.rate_hz)
        yield mono


def _select(block: np.ndarray, channel: int) -> np.ndarray:
    """Return one channel of samples `[samples, channels]`, the average or the side."""
    if channel == SIDE:
        return (block[:, 0] - block[:, -1]) / 2
    if channel < 0 and block.shape[1] > 1:
        return block.mean(axis=1)
    return block[:, min(max(0, channel), block.shape[1] - 1)]


def resample(parts: Iterable[np.ndarray], rate_hz: int, target_hz: int) -> Iterator[np.ndarray]:
    """Resample float32 samples `[samples]` that arrive in parts, in constant memory."""
    if rate_hz == target_hz:
        yield from parts
        return
    resampler, num_resampled = soxr.ResampleStream(rate_hz, target_hz, 1, dtype="float32"), 0
    part = np.zeros(0, np.float32)
    for part in parts:
        resampled = resampler.resample_chunk(part)
        num_resampled += len(resampled)
        yield resampled
    tail = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    yield tail if num_resampled or len(tail) else part[:1]  # less than half a sample is still a recording


def read(file: str | BinaryIO, sample_rate_hz: int, *, channel: int = -1) -> np.ndarray:
    """Read a recording into one array, float32 `[samples]`; arguments and errors as :func:`blocks`."""
    return np.concatenate(list(blocks(file, sample_rate_hz, channel=channel)))
