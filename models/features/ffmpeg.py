"""Decoder of the audio files that libsndfile does not read, by FFmpeg in the optional package PyAV (extra `av`).

The first bytes determine the container, and FFmpeg opens the file as that container only: its own detection also
accepts playlists, which name other files or addresses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib.util
import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.errors import UserError
from models.features import libsndfile, streams
from models.features.containers import MIN_SHARE_PRESENT
from models.features.sound_part import Part

INSTALL = "pip install 'crossfade[av]'"
INSTALLED = importlib.util.find_spec("av") is not None
HEAD_BYTES = 16
SLACK_S = 0.1  # priming and padding of encoders, which some containers count


@dataclasses.dataclass(frozen=True)
class Container:
    """A container format.

    Attributes:
      demuxer: FFmpeg's name.
      title: name for users.
      marks: offsets and bytes, one of which is in every file.
      sound: extensions of files that hold sound only; a folder stands for them.
      video: extensions of files that mostly hold pictures too; their sound is read if the user names them.
      states_length: whether it states a duration; else FFmpeg estimates one.
    """

    demuxer: str
    title: str
    marks: tuple[tuple[int, bytes], ...]
    sound: tuple[str, ...] = ()
    video: tuple[str, ...] = ()
    states_length: bool = True


CONTAINERS = (
    Container(
        "mp4",
        "MP4",
        ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide")),
        (".m4a", ".m4b"),
        (".mp4", ".m4v", ".mov", ".3gp", ".3g2"),
    ),
    Container("matroska", "Matroska or WebM", ((0, b"\x1aE\xdf\xa3"),), (".mka", ".weba"), (".webm", ".mkv")),
    Container("asf", "WMA", ((0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),), (".wma",), (".wmv", ".asf")),
    Container("amr", "AMR", ((0, b"#!AMR"),), (".amr", ".awb"), states_length=False),
    Container("aac", "AAC", tuple((0, bytes([0xFF, n])) for n in (0xF0, 0xF1, 0xF8, 0xF9)), (".aac",), (), False),
    Container("wv", "WavPack", ((0, b"wvpk"),), (".wv",)),
    Container("tta", "TTA", ((0, b"TTA1"),), (".tta",)),
    Container("ape", "Monkey's Audio", ((0, b"MAC "),), (".ape",)),
)
SHARED = (  # containers of libsndfile, read here if it does not know the encoding
    Container("aiff", "AIFF", ((0, b"FORM"),)),
    Container("caf", "CAF", ((0, b"caff"),)),
)
SOUND_SUFFIXES = tuple(suffix for container in CONTAINERS for suffix in container.sound)
VIDEO_SUFFIXES = tuple(suffix for container in CONTAINERS for suffix in container.video)
SUFFIXES = SOUND_SUFFIXES if INSTALLED else ()


def find_container(file: BinaryIO) -> Container | None:
    """Return the container of a file that this module reads; None if libsndfile reads it, or nothing does.

    Args:
      file: seekable; its position changes.
    """
    file.seek(streams.skip_tags(file))
    head = file.read(HEAD_BYTES)
    if own := _match(CONTAINERS, head):
        return own
    shared = _match(SHARED, head) if INSTALLED else None
    return shared if shared and libsndfile.lacks_encoding(file) else None


def _match(containers: Iterable[Container], head: bytes) -> Container | None:
    return next((c for c in containers if any(head.startswith(mark, at) for at, mark in c.marks)), None)


def read_format(file: BinaryIO, path: str = "") -> tuple[int, int]:
    """Read sample rate in Hz and number of channels of the first frame.

    Args:
      file: seekable; its position changes.
      path: unused; the argument of `libsndfile.read_format`.

    Raises:
      UserError: PyAV is not installed, or the file holds no sound that FFmpeg decodes.
    """
    with contextlib.closing(parts(file, path, 1)) as opened:
        for part in opened:
            return part.rate_hz, part.channels
    raise UserError("empty: it holds no samples")


def stated_seconds(file: BinaryIO) -> float:
    """Return the duration in seconds that the file states, 0 if it states none; errors as `read_format`."""
    with _open(file) as (container, stream, states_length):
        return _stated_seconds(container, stream) if states_length else 0.0


def parts(file: BinaryIO, path: str, block_frames: int) -> Iterator[Part]:
    """Yield the parts of a recording: a new one wherever rate or number of channels change.

    Their blocks are of `block_frames` samples or slightly more. Other arguments and errors as :func:`read_format`.
    """
    with _open(file) as (container, stream, states_length):
        stated = _stated_seconds(container, stream) if states_length else 0.0
        count, notes = len(container.streams.audio), ()
        if count > 1:
            notes = (f"holds {count} audio streams: the first is read",)
        frames = _frames(container, stream, stated)
        for (rate_hz, channels), group in itertools.groupby(frames, lambda f: (f.sample_rate, f.layout.nb_channels)):
            yield Part(rate_hz, channels, _blocks(group, channels, block_frames), notes)


@contextlib.contextmanager
def _open(file: BinaryIO) -> Iterator[tuple]:
    """Open a file: FFmpeg's container, its first audio stream, and whether it states its length."""
    container = find_container(file)
    if container is None:
        raise UserError("not readable as audio: unknown container")
    if not INSTALLED:
        raise UserError(f"{container.title} needs the package av: {INSTALL}; or convert the file")
    import av

    with _user_errors():
        opened = av.open(streams.Stream().open(file), format=container.demuxer, metadata_errors="ignore")
    with opened:
        if not opened.streams.audio:
            raise UserError("not readable as audio: it holds no sound")
        stream = opened.streams.audio[0]
        if stream.codec_context is None:
            raise UserError("not readable as audio: FFmpeg has no decoder of its encoding")
        yield opened, stream, container.states_length


@contextlib.contextmanager
def _user_errors(what: str = "not readable as audio") -> Iterator[None]:
    """Convert errors of FFmpeg to a UserError."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, OSError) and error.errno == errno.EIO:  # which the demuxers raise for damaged files
            reason = "damaged"
        raise UserError(f"{what}: {reason}") from None


def _stated_seconds(container, stream) -> float:
    """Duration of the audio stream; that of the file only if nothing else is in it."""
    import av

    seconds = [float(stream.duration * stream.time_base)] if stream.duration and stream.time_base else []
    if container.duration and len(container.streams) == 1:
        seconds.append(container.duration / av.time_base)
    return max(0.0, min(seconds, default=0.0))


def _frames(container, stream, stated_s: float) -> Iterator:
    """Yield decoded frames; raise a UserError if they are damaged, or shorter than stated."""
    seconds, packets = 0.0, container.demux(stream)
    while True:
        with _user_errors(f"cut short or damaged after {seconds:.1f} s" if seconds else "not readable as audio"):
            packet = next(packets, None)
            frames = packet.decode() if packet else []
        if packet is None:
            break
        if packet.is_corrupt:
            raise UserError(f"cut short or damaged after {seconds:.1f} s; give the whole file")
        for frame in frames:
            seconds += frame.samples / frame.sample_rate if frame.sample_rate else 0.0
            yield frame
    if seconds < MIN_SHARE_PRESENT * stated_s - SLACK_S:
        raise UserError(f"cut short: {seconds:.1f} of {stated_s:.1f} s could be read; give the whole file")


def _blocks(frames: Iterable, channels: int, block_frames: int) -> Iterator[np.ndarray]:
    """Yield the samples of frames `[samples, channels]` in larger blocks."""
    parts, count = [], 0
    for frame in frames:
        parts.append(_samples(frame, channels))
        count += frame.samples
        if count >= block_frames:
            yield np.concatenate(parts)
            parts, count = [], 0
    if parts:
        yield np.concatenate(parts)


def _samples(frame, channels: int) -> np.ndarray:
    """Samples of a frame as float32 `[samples, channels]`, full scale at 1."""
    array = frame.to_ndarray()  # [channels, samples] if the format is planar, else [1, samples * channels]
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    scale = -float(np.iinfo(array.dtype).min) if np.issubdtype(array.dtype, np.integer) else 1.0
    return np.float32(array / scale)
