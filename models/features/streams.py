"""A file of audio as what libsndfile reads right: its streams one by one, each under a header that is true."""

from __future__ import annotations

import bisect
import dataclasses
import io
import itertools
import os
from typing import BinaryIO

from models.features import containers, mpeg, ogg

Piece = bytes | tuple[int, int]  # bytes of its own, or offsets from and to which they are in the file
FLAC_INFO = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # a FLAC stream begins so, RFC 9639, Sec. 8.1
SEARCH_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Stream:
    """A part of a file that has a header, a rate and channels of its own.

    Attributes:
      pieces: what it consists of; nothing if it is the file as it stands.
      samples: how many must come out of it at least; None where libsndfile says.
    """

    pieces: tuple[Piece, ...] = ()
    samples: int | None = None

    def open(self, file: BinaryIO) -> BinaryIO:
        """Its bytes, as a file; also the whole one, since corrupted headers let libsndfile seek to places before it."""
        return Pieces(file, self.pieces or ((0, file.seek(0, os.SEEK_END)),))


class Pieces(io.RawIOBase):
    """Pieces of a file, and bytes between them, as one seekable file."""

    def __init__(self, file: BinaryIO, pieces: tuple[Piece, ...]):
        self.file, self.pieces, self.place = file, pieces, 0
        sizes = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces]
        self.starts = list(itertools.accumulate(sizes, initial=0))

    def readable(self) -> bool:
        """Says yes."""
        return True

    def seekable(self) -> bool:
        """Says yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        self.place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.starts[-1]}[whence])
        return self.place

    def tell(self) -> int:
        """As of any file."""
        return self.place

    def readinto(self, buffer) -> int:
        """As of any file; fewer bytes than there is room for only at the end."""
        view, done = memoryview(buffer).cast("B"), 0
        while done < len(view) and self.place < self.starts[-1]:
            number = bisect.bisect_right(self.starts, self.place) - 1
            piece, within = self.pieces[number], self.place - self.starts[number]
            count = min(len(view) - done, self.starts[number + 1] - self.place)
            if isinstance(piece, bytes):
                part = piece[within : within + count]
            else:
                self.file.seek(piece[0] + within)
                part = self.file.read(count)
            if not part:
                break
            view[done : done + len(part)] = part
            done += len(part)
            self.place += len(part)
        return done


def of(file: BinaryIO) -> list[Stream]:
    """The streams of a file, in their order.

    Args:
      file: seekable; its position is moved.

    Raises:
      UserError: it holds less than it announces.
    """
    total, start = file.seek(0, os.SEEK_END), 0
    while skipped := mpeg.tag_bytes(_at(file, start, 32)):
        start = min(total, start + skipped)
    magic = _at(file, start, 4)
    if magic == b"OggS":
        streams = [Stream((link,)) for link in ogg.links(file)]
    elif magic == b"fLaC":
        streams = _flac(file, start, total)
    elif start or mpeg.Frame.of(magic):
        streams = [Stream(link.pieces(), link.samples) for link in mpeg.links(file, start)]
    else:
        streams = [Stream(_patched(containers.patches(file), total))]
    as_it_is = [Stream(samples=stream.samples) for stream in streams if stream.pieces == ((0, total),)]
    return as_it_is or streams or [Stream()]


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _patched(patches: list[tuple[int, bytes]], total: int) -> tuple[Piece, ...]:
    """The pieces of a file that has other bytes at some offsets."""
    pieces, at = [], 0
    for offset, content in sorted(patches):
        pieces += [(at, offset), content]
        at = offset + len(content)
    return (*pieces, (at, total)) if pieces else ()


def _flac(file: BinaryIO, start: int, total: int) -> list[Stream]:
    """FLAC streams, joined; of each the number of samples is taken out of its header, beyond which nothing is read."""
    starts, at = [], start
    while at < total:
        block = _at(file, at, SEARCH_BYTES)
        places = sorted(place for mark in FLAC_INFO for place in _places(block, mark))
        starts += [at + place for place in places]
        at += max(1, len(block) - len(FLAC_INFO[0]) + 1)
    if not starts:
        return [Stream()]
    ends = [*starts[1:], _before_tags(file, total)]
    return [_flac_stream(file, *place) for place in zip(starts, ends, strict=True)]


def _places(block: bytes, mark: bytes) -> list[int]:
    places, at = [], block.find(mark)
    while at >= 0:
        places.append(at)
        at = block.find(mark, at + 1)
    return places


def _flac_stream(file: BinaryIO, start: int, end: int) -> Stream:
    count = _at(file, start + 21, 5).ljust(5, b"\0")  # 36 bits, after 4 of the depth
    samples = int.from_bytes(count, "big") & (1 << 36) - 1
    if not samples:
        return Stream(((start, end),))
    pieces = ((start, start + 21), bytes([count[0] & 0xF0, 0, 0, 0, 0]), (start + 26, end))
    return Stream(pieces, samples)


def _before_tags(file: BinaryIO, total: int) -> int:
    """Where the tags at the end of a file begin: ID3v1, and APEv2 before it."""
    end = total - 128 if total > 128 and _at(file, total - 128, 3) == b"TAG" else total
    foot = _at(file, max(0, end - 32), 32)
    if foot[:8] == b"APETAGEX":
        size = int.from_bytes(foot[12:16], "little") + (32 if foot[23] & 0x80 else 0)
        end = max(0, end - size)
    return end
