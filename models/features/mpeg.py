"""The links of an MPEG audio file (ISO 11172-3, 13818-3): its frames, counted, without tags and joins.

libmpg123, by which libsndfile reads them, believes the index of the first link, guesses the length where there is none,
and takes the pictures in tags for sound.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from typing import BinaryIO

from models.errors import UserError
from models.features.containers import WHOLE

RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version: MPEG-1, 2, 2.5
KBITS = {  # by MPEG-1 or not, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
BLOCK_BYTES = 1 << 18
GAP_FRAMES = 3  # that an encoder's delay and padding take at most
INDEX_BITRATE = 9  # of the frame that is made for an index: it has to hold one


@dataclasses.dataclass(frozen=True)
class Frame:
    """What the four bytes at the head of a frame say."""

    head: bytes
    size: int
    samples: int
    format: tuple[int, int, int, bool]  # version, layer, rate, mono: the same in all frames of a stream

    @classmethod
    def of(cls, head: bytes) -> Frame | None:
        """The frame that begins with four bytes, None if none does; those of free format are not known."""
        if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
            return None
        version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
        bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
        if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
            return None
        rate_hz, padding = RATES_HZ[version][rate], head[2] >> 1 & 1
        bits = 1000 * KBITS[version == 3, layer][bitrate - 1]
        samples = {1: 384, 2: 1152, 3: 1152 if version == 3 else 576}[layer]
        size = 4 * (12 * bits // rate_hz + padding) if layer == 1 else samples // 8 * bits // rate_hz + padding
        return cls(head, size, samples, (version, layer, rate_hz, head[3] >> 6 == 3))

    @property
    def index_offset(self) -> int:
        """Where in the frame an index stands: after the side information."""
        version, _, _, mono = self.format
        return 4 + ((17 if mono else 32) if version == 3 else (9 if mono else 17))


@dataclasses.dataclass
class Link:
    """Frames that belong together.

    Attributes:
      first: its first frame.
      announced: frames that its index counts; None without one.
      ranges: offsets from and to which its frames lie, that of the index first.
      frames: how many there are, without the index.
      torn: whether the file ends within one more.
    """

    first: Frame
    announced: int | None
    ranges: list[list[int]]
    frames: int = 0
    torn: bool = False

    @property
    def samples(self) -> int:
        """How many must come out of it at least."""
        return max(0, self.frames - GAP_FRAMES) * self.first.samples

    def add(self, at: int, frame: Frame, *, is_index: bool) -> None:
        """The next frame, from a place in the file on."""
        if self.ranges[-1][1] != at:
            self.ranges.append([at, at])
        self.ranges[-1][1] = at + frame.size
        self.frames += not is_index

    def pieces(self) -> tuple[bytes | tuple[int, int], ...]:
        """What libsndfile is to read: the frames, after an index that counts them.

        Raises:
          UserError: there are fewer than the index counts.
        """
        ranges = [(start, end) for start, end in self.ranges]
        if self.announced and self.frames < self._least(self.announced):
            raise UserError(f"cut short: {self.frames} of {self.announced} MPEG frames are there; give the whole file")
        if self.announced and abs(self.announced - self.frames) <= 1 or self.first.format[1] != 3:
            return tuple(ranges)
        if self.announced is not None:
            ranges[0] = (ranges[0][0] + self.first.size, ranges[0][1])
        return (self._index(), *ranges)

    def _least(self, announced: int) -> float:
        """Frames that a whole file has; some encoders count the index as one."""
        return announced if self.torn else min(announced - 1, WHOLE * announced)

    def _index(self) -> bytes:
        """A frame of silence that holds the number of frames, as encoders of a varying bit rate write it."""
        head = bytes(self.first.head)
        head = bytes([0xFF, head[1] | 1, INDEX_BITRATE << 4 | head[2] & 0x0C, head[3]])
        frame = Frame.of(head)
        index = b"Xing" + struct.pack(">II", 1, self.frames)
        return (head + bytes(frame.index_offset - 4) + index).ljust(frame.size, b"\0")


def links(file: BinaryIO, start: int) -> list[Link]:
    """The links of a file, from a place on; none where no frames are.

    A link ends where another index stands, where tags do, or where the format changes.
    """
    window, found_links, at = _Window(file), [], start
    joined = contiguous = False  # with the frame before: in one link, and without a gap
    while at < window.total:
        frame, last = window.frame(at), found_links[-1].first.format if found_links else None
        if frame is None or not (contiguous and frame.format == last or _begins(window, at, last)):
            if contiguous and window.is_torn(at, last):
                found_links[-1].torn = True
            skipped = _tag(window, at)
            joined, contiguous = joined and not skipped, False
            at = at + skipped if skipped else _sync(window, at + 1, last)
            continue
        count = _count(window.bytes(at, frame.index_offset + 12)[frame.index_offset :])
        if not joined or count is not None or frame.format != last:
            found_links.append(Link(frame, count, [[at, at]]))
        found_links[-1].add(at, frame, is_index=count is not None)
        joined = contiguous = True
        at += frame.size
    return [link for link in found_links if link.frames]


def _count(index: bytes) -> int | None:
    """The number of frames that an index has; 0 where it leaves it open, None where it is no index."""
    if index[:4] not in (b"Xing", b"Info") or len(index) < 12:
        return None
    flags, frames = struct.unpack(">II", index[4:12])
    return frames if flags & 1 else 0


def tag_bytes(head: bytes) -> int:
    """Bytes of the ID3v2, APEv2 or ID3v1 tag that begins with these 32, 0 if none does.

    >>> tag_bytes(b"ID3" + bytes([4, 0, 0, 0, 0, 1, 0])), tag_bytes(b"TAG"), tag_bytes(b"RIFF")
    (138, 128, 0)
    """
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        footer = 10 if head[5] & 0x10 else 0
        return 10 + footer + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        size, flags = struct.unpack("<I4xI", head[12:24])
        return 32 + size if flags & 1 << 29 else 32  # its header; a footer alone
    return 128 if head[:3] == b"TAG" else 0


def _tag(window: _Window, at: int) -> int:
    size = tag_bytes(window.bytes(at, 32))
    return size if at + size <= window.total else 0


def _sync(window: _Window, at: int, wanted: tuple | None) -> int:
    """Where the next frame is, of the format wanted and with another after it, or a tag; else the file's end."""
    while at < window.total:
        block = window.bytes(at, BLOCK_BYTES)
        for mark in (b"ID3", b"APETAGEX"):
            if 0 <= (place := block.find(mark)) and _tag(window, at + place):
                block = block[:place]
        place = block.find(b"\xff")
        while place >= 0:
            if _begins(window, at + place, wanted):
                return at + place
            place = block.find(b"\xff", place + 1)
        if _tag(window, at + len(block)):
            return at + len(block)
        at += len(block)
    return window.total


def _begins(window: _Window, at: int, wanted: tuple | None) -> bool:
    """Whether two frames of one format follow each other here, and one of another format than before three."""
    format_, count = None, 0
    while count < 4:
        frame = window.frame(at)
        if frame is None or format_ not in (None, frame.format):
            break
        format_, at, count = frame.format, at + frame.size, count + 1
    return count >= (2 if format_ == wanted else 4) or (count >= 1 and at == window.total)


class _Window:
    """A file, some of which is held in memory."""

    def __init__(self, file: BinaryIO):
        self.file, self.total, self.at, self.block = file, file.seek(0, os.SEEK_END), 0, b""

    def bytes(self, at: int, count: int) -> bytes:
        """So many from a place on, fewer at the end of the file."""
        begin = at - self.at
        if begin < 0 or begin + count > len(self.block):
            self.file.seek(at)
            self.at, self.block, begin = at, self.file.read(max(count, BLOCK_BYTES)), 0
        return self.block[begin : begin + count]

    def is_torn(self, at: int, format_: tuple) -> bool:
        """Whether the file ends within a frame of this format that begins here."""
        frame = Frame.of(self.bytes(at, 4))
        return bool(frame) and frame.format == format_ and at + frame.size > self.total

    def frame(self, at: int) -> Frame | None:
        """The frame that begins here and is there whole."""
        frame = Frame.of(self.bytes(at, 4))
        return frame if frame and at + frame.size <= self.total else None
