"""Audio files of any container to mono samples at one rate, block by block, without TensorFlow.

`blocks` and `read` decode, mix to mono and resample. Features are computed from the functions of the same names in
`models.features.audio`, which also apply the front end's high-pass filter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from models.errors import UserError
from models.features import streams
from models.features.channels import ChannelMeter
from models.features.containers import MIN_SHARE_PRESENT

SIDE = -2  # in place of the index of a channel: half the difference of the first channel and the last
BLOCK_FRAMES = 1 << 16  # samples per channel that are read at a time
RATES_HZ = (1000, 768000)  # a lower rate is a wrong header, and would take gigabytes after resampling
MAX_CHANNELS = 64  # a block of as many takes 16 MB
MAX_ABS_SAMPLE = 1e15  # beyond any scale: its spectrum would overflow single precision
UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's number of samples if the header states none

EXTENSIONS = {  # by libsndfile's container name; only formats with a header
    "WAV": ("wav", "wave"),
    "WAVEX": ("wav",),
    "RF64": ("rf64", "bw64"),
    "W64": ("w64",),
    "AIFF": ("aif", "aiff", "aifc"),
    "AU": ("au", "snd"),
    "CAF": ("caf",),
    "FLAC": ("flac",),
    "OGG": ("ogg", "oga", "opus"),
    "MP3": ("mp3", "mp2", "mp1", "mpga"),
    "NIST": ("sph", "nist"),
    "VOC": ("voc",),
    "IRCAM": ("ircam", "sf"),
    "PVF": ("pvf",),
    "AVR": ("avr",),
    "SVX": ("8svx", "16svx", "svx", "iff"),
    "PAF": ("paf", "fap"),
    "HTK": ("htk",),
    "MAT4": ("mat",),
    "MAT5": ("mat",),
    "SDS": ("sds",),
    "MPC2K": ("snd",),
    "WVE": ("wve",),
    "XI": ("xi",),
}
SUFFIXES = tuple(
    sorted({f".{ext}" for name, exts in EXTENSIONS.items() if name in soundfile.available_formats() for ext in exts})
)


@contextlib.contextmanager
def _libsndfile_errors() -> Iterator[None]:
    """Convert errors of libsndfile to a UserError."""
    try:
        yield
    except TypeError:  # soundfile requires rate and channels as arguments for .raw files
        raise UserError("not readable as audio: samples without a header") from None
    except (FileNotFoundError, IsADirectoryError):
        raise UserError("not readable as audio: there is no such file") from None
    except soundfile.LibsndfileError as error:
        raise UserError(f"not readable as audio: {error.error_string}") from None


@contextlib.contextmanager
def _open_binary(file: str | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, str):
        with open(file, "rb") as opened:
            yield opened
    else:
        yield file


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
    with _libsndfile_errors(), _open_binary(file) as opened:
        try:
            info = soundfile.info(file if isinstance(file, str) else streams.Stream().open(opened))
        except soundfile.LibsndfileError:  # for example a tag before the header
            info = soundfile.info(streams.find_streams(opened)[0].open(opened))
        _check_format(info.samplerate, info.channels)
        return info.samplerate, info.channels


def durations(file: str | BinaryIO) -> Iterator[float]:
    """Yield the duration of a recording in seconds: first by its header, then of what is decoded so far.

    The header of a small file can announce any duration, and a file can hold more than its header announces. A caller
    with a limit therefore stops at the first value above it, and no more than that is decoded.

    Args:
      file: a path or a seekable binary file.

    Yields:
      The announced duration, 0 if the header states none; then the decoded one, block by block.

    Raises:
      UserError: as :func:`blocks`.
    """
    with _libsndfile_errors(), _open_binary(file) as opened:
        parts = streams.find_streams(opened)
        seconds = 0.0
        for stream in parts:
            with _ForwardOnly(stream.open(opened)) as source:
                seconds += _announced_samples(source, stream) / source.samplerate
        yield seconds
        seconds = 0.0
        for stream in parts:
            with _ForwardOnly(stream.open(opened)) as source:
                _check_format(source.samplerate, source.channels)
                for part in _mono(source, _announced_samples(source, stream), -1, None):
                    seconds += len(part) / source.samplerate
                    yield seconds


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
      file: a path or a seekable binary file in any container that libsndfile reads (WAV, FLAC,
        OGG, MP3, AIFF, ...), of any rate, bit depth and number of channels. Joined files (Ogg, MP3,
        FLAC) are read to the end of the last one.
      sample_rate_hz: sample rate of the result in Hz.
      channel: index of the channel to read; -1 for the average of all, `SIDE` for half a difference.
      meter: receives the samples of all channels.

    Yields:
      Arrays `[samples]`, in [-1, 1] unless float samples exceed full scale.

    Raises:
      UserError: the file is not a recording, is empty or truncated, has a rate or number of channels out of range,
        or contains infinities or NaNs.
    """
    any_samples = False
    with _libsndfile_errors(), _open_binary(file) as opened:
        for stream in streams.find_streams(opened):
            unchanged = isinstance(file, str) and not stream.pieces  # libsndfile reads a path faster
            with _ForwardOnly(file if unchanged else stream.open(opened)) as source:
                _check_format(source.samplerate, source.channels)
                parts = _mono(source, _announced_samples(source, stream), channel, meter)
                for part in resample(parts, source.samplerate, sample_rate_hz):
                    any_samples = any_samples or len(part) > 0
                    yield part
    if not any_samples:
        raise UserError("empty: the header announces no samples")


def _announced_samples(source: soundfile.SoundFile, stream: streams.Stream) -> int:
    """Number of samples that a stream announces; 0 if it announces none."""
    announced = source.frames if stream.samples is None else stream.samples
    return 0 if announced == UNKNOWN_LENGTH else announced


class _ForwardOnly(soundfile.SoundFile):
    """Sound file that is read without seeking.

    A seekable `SoundFile` seeks to its current position after every block, which makes MP3 files click.
    """

    def seekable(self) -> bool:
        """Return False."""
        return False


def _mono(
    source: soundfile.SoundFile, announced: int, channel: int, meter: ChannelMeter | None
) -> Iterator[np.ndarray]:
    """Yield the samples of a channel, the average or the side; raise a UserError if fewer exist than announced."""
    num_read = 0
    # Not source.blocks(): if a file ends early it silently yields the previous contents of its buffer.
    while len(block := _read_block(source, num_read, announced)):
        num_read += len(block)
        mono = _select(block, channel)
        if not np.isfinite(mono).all():
            raise UserError("holds samples that are infinite or not a number")
        if np.abs(mono).max() > MAX_ABS_SAMPLE:
            raise UserError(f"holds samples of {np.abs(mono).max():.3g}; wanted 1 at full scale: damaged?")
        if meter is not None:
            meter.add(block, source.samplerate)
        yield mono
    if num_read < MIN_SHARE_PRESENT * announced:
        raise UserError(f"cut short: {num_read} of {announced} samples could be read; give the whole file")


def _select(block: np.ndarray, channel: int) -> np.ndarray:
    """Return one channel of samples `[samples, channels]`, the average or the side."""
    if channel == SIDE:
        return (block[:, 0] - block[:, -1]) / 2
    return block.mean(axis=1) if channel < 0 else block[:, min(channel, block.shape[1] - 1)]


def _read_block(source: soundfile.SoundFile, num_read: int, announced: int) -> np.ndarray:
    try:
        return source.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if not 0 < num_read < MIN_SHARE_PRESENT * announced:
            raise
        raise UserError(f"cut short or damaged after {num_read} samples: {error.error_string}") from None


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
