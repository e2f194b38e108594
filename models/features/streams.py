"""Splits an audio file into streams that libsndfile reads correctly, each with a valid header."""

from __future__ import annotations

import bisect
import dataclasses
import io
import itertools
import os
from typing import BinaryIO

from models.features import containers, mpeg, ogg

Piece = bytes | tuple[int, int]  # literal bytes, or start and end offsets in the file
FLAC_INFO = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # start of a FLAC stream, RFC 9639, Sec. 8.1
SEARCH_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Stream:
    """A part of a file with its own header, sample rate and channels.

    Attributes:
      pieces: the pieces it consists of; empty for the unchanged file.
      samples: minimum number of samples it must decode to; None to use libsndfile's number.
    """

    pieces: tuple[Piece, ...] = ()
    samples: int | None = None

    def open(self, file: BinaryIO) -> BinaryIO:
        """Return its bytes as a file, even if unchanged: corrupted headers let libsndfile seek before the start."""
        return PieceFile(file, self.pieces or ((0, file.seek(0, os.SEEK_END)),))


class PieceFile(io.RawIOBase):
    """Pieces of a file and literal bytes, concatenated to one seekable file."""

    def __init__(self, file: BinaryIO, pieces: tuple[Piece, ...]):
        self.file, self.pieces, self.position = file, pieces, 0
        sizes = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces]
        self.starts = list(itertools.accumulate(sizes, initial=0))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position, as in `io.IOBase.seek`; negative positions become 0."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.starts[-1]}[whence]
        self.position = max(0, offset + origin)
        return self.position

    def tell(self) -> int:
        """Return the position."""
        return self.position

    def readinto(self, buffer) -> int:
        """Fill `buffer` and return the number of bytes read, which is smaller only at the end."""
        view, num_read = memoryview(buffer).cast("B"), 0
        while num_read < len(view) and self.position < self.starts[-1]:
            index = bisect.bisect_right(self.starts, self.position) - 1
            piece, offset = self.pieces[index], self.position - self.starts[index]
            count = min(len(view) - num_read, self.starts[index + 1] - self.position)
            if isinstance(piece, bytes):
                part = piece[offset : offset + count]
            else:
                self.file.seek(piece[0] + offset)
                part = self.file.read(count)
            if not part:
                break
            view[num_read : num_read + len(part)] = part
            num_read += len(part)
            self.position += len(part)
        return num_read


def skip_tags(file: BinaryIO) -> int:
    """Return the offset after the tags at the beginning of a seekable file; its position changes."""
    total, start = file.seek(0, os.SEEK_END), 0
    while skipped := mpeg.tag_bytes(_read_at(file, start, 32)):
        start = min(total, start + skipped)
    return start


def find_streams(file: BinaryIO) -> list[Stream]:
    """Return the streams of a file in order.

    Args:
      file: seekable; its position changes.

    Raises:
      UserError: the file holds less data than it states.
    """
    start = skip_tags(file)
    total = file.seek(0, os.SEEK_END)
    magic = _read_at(file, start, 4)
    if magic == b"OggS":
        streams = [Stream((link,)) for link in ogg.find_links(file)]
    elif magic == b"fLaC":
        streams = _flac_streams(file, start, total)
    elif start or mpeg.Frame.parse(magic):
        streams = [Stream(link.pieces(), link.samples) for link in mpeg.find_links(file, start)]
    else:
        streams = [Stream(_patched_pieces(containers.header_patches(file), total))]
    unchanged = [Stream(samples=stream.samples) for stream in streams if stream.pieces == ((0, total),)]
    return unchanged or streams or [Stream()]


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _patched_pieces(patches: list[tuple[int, bytes]], total: int) -> tuple[Piece, ...]:
    """Pieces of a file with the bytes at some offsets replaced."""
    pieces, at = [], 0
    for offset, content in sorted(patches):
        pieces += [(at, offset), content]
        at = offset + len(content)
    return (*pieces, (at, total)) if pieces else ()


def _flac_streams(file: BinaryIO, start: int, total: int) -> list[Stream]:
    """Joined FLAC streams; the sample count is removed from each header, because libsndfile stops reading there."""
    starts, at = [], start
    while at < total:
        block = _read_at(file, at, SEARCH_BYTES)
        offsets = sorted(offset for mark in FLAC_INFO for offset in _find_all(block, mark))
        starts += [at + offset for offset in offsets]
        at += max(1, len(block) - len(FLAC_INFO[0]) + 1)
    if not starts:
        return [Stream()]
    ends = [*starts[1:], _tags_start(file, total)]
    return [_flac_stream(file, *span) for span in zip(starts, ends, strict=True)]


def _find_all(block: bytes, mark: bytes) -> list[int]:
    offsets, at = [], block.find(mark)
    while at >= 0:
        offsets.append(at)
        at = block.find(mark, at + 1)
    return offsets


def _flac_stream(file: BinaryIO, start: int, end: int) -> Stream:
    count = _read_at(file, start + 21, 5).ljust(5, b"\0")  # 36 bits, after 4 bits of the depth
    samples = int.from_bytes(count, "big") & (1 << 36) - 1
    if not samples:
        return Stream(((start, end),))
    pieces = ((start, start + 21), bytes([count[0] & 0xF0, 0, 0, 0, 0]), (start + 26, end))
    return Stream(pieces, samples)


def _tags_start(file: BinaryIO, total: int) -> int:
    """Offset of the tags at the end of a file: ID3v1, optionally preceded by APEv2."""
    end = total - 128 if total > 128 and _read_at(file, total - 128, 3) == b"TAG" else total
    footer = _read_at(file, max(0, end - 32), 32)
    if footer[:8] == b"APETAGEX":
        size = int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
        end = max(0, end - size)
    return end
