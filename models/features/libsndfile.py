"""Decoder of audio files by libsndfile; joined files have several parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from models.errors import UserError
from models.features import streams
from models.features.containers import MIN_SHARE_PRESENT
from models.features.sound_part import Part

UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's number of samples if the header states none
UNSUPPORTED_ENCODING = 4  # its error code SF_ERR_UNSUPPORTED_ENCODING

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
def _user_errors() -> Iterator[None]:
    """Convert errors of libsndfile to a UserError."""
    try:
        yield
    except TypeError:  # soundfile requires rate and channels as arguments for .raw files
        raise UserError("not readable as audio: samples without a header") from None
    except soundfile.LibsndfileError as error:
        raise UserError(f"not readable as audio: {error.error_string}") from None


def lacks_encoding(file: BinaryIO) -> bool:
    """Whether libsndfile supports the container of a file, but not the encoding of its samples."""
    try:
        soundfile.info(streams.Stream().open(file))
    except soundfile.LibsndfileError as error:
        return error.code == UNSUPPORTED_ENCODING
    return False


def read_format(file: BinaryIO, path: str = "") -> tuple[int, int]:
    """Read sample rate in Hz and number of channels of the first part.

    Args:
      file: seekable; its position changes.
      path: local path of the file, which is faster; empty for none.

    Raises:
      UserError: the file is not a recording.
    """
    with _user_errors():
        try:
            info = soundfile.info(path or streams.Stream().open(file))
        except soundfile.LibsndfileError:  # for example a tag before the header
            info = soundfile.info(streams.find_streams(file)[0].open(file))
        return info.samplerate, info.channels


def stated_seconds(file: BinaryIO) -> float:
    """Return the duration in seconds that the headers state; a part without one counts as 0."""
    seconds = 0.0
    with _user_errors():
        for stream in streams.find_streams(file):
            with _ForwardOnly(stream.open(file)) as source:
                seconds += _stated_samples(source, stream) / source.samplerate
    return seconds


def parts(file: BinaryIO, path: str, block_frames: int) -> Iterator[Part]:
    """Yield the parts of a recording, each open until the next, in blocks of at most `block_frames` samples.

    Other arguments and errors as :func:`read_format`.
    """
    with _user_errors():
        for stream in streams.find_streams(file):
            source = path if path and not stream.pieces else stream.open(file)
            with _ForwardOnly(source) as opened:
                blocks = _blocks(opened, _stated_samples(opened, stream), block_frames)
                yield Part(opened.samplerate, opened.channels, blocks)


def _stated_samples(source: soundfile.SoundFile, stream: streams.Stream) -> int:
    """Number of samples that a stream states; 0 if it states none."""
    stated = source.frames if stream.samples is None else stream.samples
    return 0 if stated == UNKNOWN_LENGTH else stated


class _ForwardOnly(soundfile.SoundFile):
    """Sound file that is read without seeking.

    A seekable `SoundFile` seeks to its current position after every block, which makes MP3 files click.
    """

    def seekable(self) -> bool:
        """Return False."""
        return False


def _blocks(source: soundfile.SoundFile, stated: int, block_frames: int) -> Iterator[np.ndarray]:
    """Yield the samples of all channels; raise a UserError if fewer exist than stated."""
    num_read = 0
    with _user_errors():
        # Not source.blocks(): if a file ends early it silently yields the previous contents of its buffer.
        while len(block := _read_block(source, num_read, stated, block_frames)):
            num_read += len(block)
            yield block
    if num_read < MIN_SHARE_PRESENT * stated:
        raise UserError(f"cut short: {num_read} of {stated} samples could be read; give the whole file")


def _read_block(source: soundfile.SoundFile, num_read: int, stated: int, block_frames: int) -> np.ndarray:
    try:
        return source.read(block_frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if not 0 < num_read < MIN_SHARE_PRESENT * stated:
            raise
        raise UserError(f"cut short or damaged after {num_read} samples: {error.error_string}") from None
