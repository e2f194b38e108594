"""Recordings in any container to mono samples at one rate, block by block, without TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from models.errors import UserError

BLOCK_FRAMES = 1 << 16  # samples a channel read from a container at a time
WHOLE = 0.98  # of the announced samples: an MP3 without an index announces an estimate, up to half a percent off
STREAMED = 0x7FFFF000  # bytes that writers into pipes announce, or more: they know no length


def probe(file: str | BinaryIO) -> int:
    """The sample rate of a recording in Hz, from its header.

    Raises:
      UserError: not a recording.
    """
    try:
        return soundfile.info(file).samplerate
    except TypeError:  # of files that end in .raw
        raise UserError("not readable as audio: samples without a header") from None
    except soundfile.LibsndfileError as error:
        raise UserError(f"not readable as audio: {error.error_string}") from None


def suggested_rate(rates_hz: Iterable[int], *, ceiling_hz: int = 22050) -> int:
    """The rate to work at for files of these rates: what nine in ten of them hold, within reason.

    A higher rate would hold empty bands in which a model can tell the domains apart by the
    recorder instead of the voice; a rate above `ceiling_hz` costs more than speech gains by it.

    >>> suggested_rate([44100, 44100, 8000]), suggested_rate([16000] * 99 + [8000])
    (8000, 16000)
    """
    poor = float(np.quantile(list(rates_hz), 0.1, method="lower"))
    return int(np.clip(poor, 8000, ceiling_hz))


def blocks(file: str | BinaryIO, sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Reads a recording as float32 mono blocks at `sample_rate_hz`, in constant memory.

    Args:
      file: a path or a seekable binary file in any container that libsndfile reads (WAV, FLAC,
        OGG, MP3, AIFF, ...), of any rate, bit depth and number of channels (which are averaged).
      sample_rate_hz: rate of the result.

    Yields:
      Arrays `[samples]` in [-1, 1].

    Raises:
      UserError: not a recording, empty, cut short, or holding infinities or NaNs.
    """
    try:
        _refuse_cut_short(file)
        with _Forwards(file) as source:
            yield from _resampled(source, sample_rate_hz)
    except TypeError:  # soundfile wants to be told rate and channels of files that end in .raw
        raise UserError("not readable as audio: samples without a header") from None
    except FileNotFoundError:
        raise UserError("not readable as audio: there is no such file") from None
    except soundfile.LibsndfileError as error:
        raise UserError(f"not readable as audio: {error.error_string}") from None


def _refuse_cut_short(file: str | BinaryIO) -> None:
    """Raises UserError where a WAV or AIFF file holds less than it announces: libsndfile would not say so."""
    if isinstance(file, str):
        with open(file, "rb") as opened:
            return _refuse_cut_short(opened)
    head = file.read(8)
    there = file.seek(0, 2)
    file.seek(0)
    order = {b"RIFF": "<", b"RIFX": ">", b"FORM": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return None
    announced = 8 + struct.unpack(f"{order}I", head[4:])[0]
    if announced < STREAMED and there < WHOLE * announced:
        raise UserError(f"cut short: {there} of {announced} bytes are there")
    return None


class _Forwards(soundfile.SoundFile):
    """A recording that is read from front to back only.

    Where it could seek, its parent seeks after every block to the place it has reached, and an MP3 clicks there.
    """

    def seekable(self) -> bool:
        """Says no."""
        return False


def _resampled(source: soundfile.SoundFile, sample_rate_hz: int) -> Iterator[np.ndarray]:
    announced, seen, made = source.frames, 0, 0
    if not announced:
        raise UserError("empty: the header announces no samples")
    stream = None
    if source.samplerate != sample_rate_hz:
        stream = soxr.ResampleStream(source.samplerate, sample_rate_hz, 1, dtype="float32")
    # Not source.blocks(): where a file ends early it gives what its buffer held before, without a word.
    while len(block := source.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        seen += len(block)
        mono = block.mean(axis=1)
        if not np.isfinite(mono).all():
            raise UserError("holds samples that are infinite or not a number")
        part = stream.resample_chunk(mono) if stream else mono
        made += len(part)
        yield part
    if seen < WHOLE * announced:
        raise UserError(f"cut short: {seen} of {announced} samples could be read")
    if stream:
        rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
        yield rest if made or len(rest) else mono[:1]  # less than half a sample is still a recording


def read(file: str | BinaryIO, sample_rate_hz: int) -> np.ndarray:
    """A whole recording, float32 `[samples]`; arguments and errors as :func:`blocks`."""
    return np.concatenate(list(blocks(file, sample_rate_hz)))
