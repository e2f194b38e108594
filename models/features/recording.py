"""Recordings in any container to mono samples at one rate, block by block, without TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from models.errors import UserError
from models.features import streams
from models.features.channels import Channels
from models.features.containers import WHOLE

BLOCK_FRAMES = 1 << 16  # samples a channel read from a container at a time
RATES_HZ = (1000, 768000)  # a lower one is a wrong header, and takes gigabytes at the rate wanted
MOST_CHANNELS = 64  # of which a block takes 16 MB
LARGEST = 1e15  # of a sample: beyond any scale, and its spectrum could not be held in single precision
UNKNOWN = (1 << 63) - 1  # samples, where libsndfile knows no number

ENDINGS = {  # of the files that a header makes readable, by libsndfile's name of the container
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
    sorted(
        {f".{ending}" for name, found in ENDINGS.items() if name in soundfile.available_formats() for ending in found}
    )
)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns what libsndfile says of a file into a UserError."""
    try:
        yield
    except TypeError:  # soundfile wants to be told rate and channels of files that end in .raw
        raise UserError("not readable as audio: samples without a header") from None
    except (FileNotFoundError, IsADirectoryError):
        raise UserError("not readable as audio: there is no such file") from None
    except soundfile.LibsndfileError as error:
        raise UserError(f"not readable as audio: {error.error_string}") from None


@contextlib.contextmanager
def _opened(file: str | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, str):
        with open(file, "rb") as opened:
            yield opened
    else:
        yield file


def probe(file: str | BinaryIO) -> int:
    """The sample rate of a recording in Hz, from its header; of the first, where several are joined.

    Raises:
      UserError: not a recording, or of a rate that no recorder has.
    """
    with _explained(), _opened(file) as opened:
        try:
            facts = soundfile.info(file if isinstance(file, str) else streams.Stream().open(opened))
        except soundfile.LibsndfileError:  # such as of a tag before the header
            facts = soundfile.info(streams.of(opened)[0].open(opened))
        _refuse_absurd(facts.samplerate, facts.channels)
        return facts.samplerate


def _refuse_absurd(rate_hz: int, channels: int) -> None:
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise UserError(f"a sample rate of {rate_hz} Hz; wanted {RATES_HZ[0]} to {RATES_HZ[1]} Hz: mend the header")
    if channels > MOST_CHANNELS:
        raise UserError(f"{channels} channels; wanted {MOST_CHANNELS} at most: split the file")


def suggested_rate(rates_hz: Iterable[int], *, ceiling_hz: int = 22050) -> int:
    """The rate to work at for files of these rates: what nine in ten of them hold, within reason.

    A higher rate would hold empty bands in which a model can tell the domains apart by the
    recorder instead of the voice; a rate above `ceiling_hz` costs more than speech gains by it.

    >>> suggested_rate([44100, 44100, 8000]), suggested_rate([16000] * 99 + [8000])
    (8000, 16000)
    """
    poor = float(np.quantile(list(rates_hz), 0.1, method="lower"))
    return int(np.clip(poor, 8000, ceiling_hz))


def blocks(
    file: str | BinaryIO, sample_rate_hz: int, *, channel: int = -1, meter: Channels | None = None
) -> Iterator[np.ndarray]:
    """Reads a recording as float32 mono blocks at `sample_rate_hz`, from its beginning, in constant memory.

    Args:
      file: a path or a seekable binary file in any container that libsndfile reads (WAV, FLAC,
        OGG, MP3, AIFF, ...), of any rate, bit depth and number of channels. Files that are joined
        (Ogg, MP3, FLAC) are read to the last one's end.
      sample_rate_hz: rate of the result.
      channel: the number of the channel to read; -1 for the average of all.
      meter: is given the samples of all channels.

    Yields:
      Arrays `[samples]`, in [-1, 1] but for floats that go beyond.

    Raises:
      UserError: not a recording, empty, cut short, of an absurd rate or number of channels, or holding
        infinities or NaNs.
    """
    any_samples = False
    with _explained(), _opened(file) as opened:
        for stream in streams.of(opened):
            unchanged = isinstance(file, str) and not stream.pieces  # libsndfile reads a path faster
            with _Forwards(file if unchanged else stream.open(opened)) as source:
                _refuse_absurd(source.samplerate, source.channels)
                parts = _mono(source, _announced(source, stream), channel, meter)
                for part in _resampled(parts, source.samplerate, sample_rate_hz):
                    any_samples = any_samples or len(part) > 0
                    yield part
    if not any_samples:
        raise UserError("empty: the header announces no samples")


def _announced(source: soundfile.SoundFile, stream: streams.Stream) -> int:
    """How many samples a stream has to give; 0 where it does not say."""
    announced = source.frames if stream.samples is None else stream.samples
    return 0 if announced == UNKNOWN else announced


class _Forwards(soundfile.SoundFile):
    """A recording that is read from front to back only.

    Where it could seek, its parent seeks after every block to the place it has reached, and an MP3 clicks there.
    """

    def seekable(self) -> bool:
        """Says no."""
        return False


def _mono(source: soundfile.SoundFile, announced: int, channel: int, meter: Channels | None) -> Iterator[np.ndarray]:
    """Samples of one channel, or the average; refused where there are fewer than are announced."""
    seen = 0
    # Not source.blocks(): where a file ends early it gives what its buffer held before, without a word.
    while len(block := _block(source, seen, announced)):
        seen += len(block)
        mono = block.mean(axis=1) if channel < 0 else block[:, min(channel, source.channels - 1)]
        if not np.isfinite(mono).all():
            raise UserError("holds samples that are infinite or not a number")
        if np.abs(mono).max() > LARGEST:
            raise UserError(f"holds samples of {np.abs(mono).max():.3g}; wanted 1 at full scale: damaged?")
        if meter is not None:
            meter.add(block, source.samplerate)
        yield mono
    if seen < WHOLE * announced:
        raise UserError(f"cut short: {seen} of {announced} samples could be read; give the whole file")


def _block(source: soundfile.SoundFile, seen: int, announced: int) -> np.ndarray:
    try:
        return source.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if not 0 < seen < WHOLE * announced:
            raise
        raise UserError(f"cut short or damaged after {seen} samples: {error.error_string}") from None


def _resampled(parts: Iterable[np.ndarray], rate_hz: int, wanted_hz: int) -> Iterator[np.ndarray]:
    if rate_hz == wanted_hz:
        yield from parts
        return
    stream, resampled, mono = soxr.ResampleStream(rate_hz, wanted_hz, 1, dtype="float32"), 0, np.zeros(0, np.float32)
    for mono in parts:
        part = stream.resample_chunk(mono)
        resampled += len(part)
        yield part
    rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    yield rest if resampled or len(rest) else mono[:1]  # less than half a sample is still a recording


def read(file: str | BinaryIO, sample_rate_hz: int, *, channel: int = -1) -> np.ndarray:
    """A whole recording, float32 `[samples]`; arguments and errors as :func:`blocks`."""
    return np.concatenate(list(blocks(file, sample_rate_hz, channel=channel)))
