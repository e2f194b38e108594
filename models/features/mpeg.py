"""Links of an MPEG audio file (ISO 11172-3, 13818-3): runs of frames between tags and joins, with frame counts.

libsndfile reads MPEG audio with libmpg123, which relies on the index of the first link, estimates the length
without an index, and decodes images in tags as audio.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from typing import BinaryIO

from models.errors import UserError
from models.features.containers import MIN_SHARE_PRESENT

RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version: MPEG-1, 2, 2.5
KBITS = {  # by whether MPEG-1, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
BLOCK_BYTES = 1 << 18
GAP_FRAMES = 3  # maximum of an encoder's delay and padding
INDEX_BITRATE = 9  # bit rate index of a generated index frame, large enough for the index


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame, parsed from its four header bytes."""

    header: bytes
    size: int
    samples: int
    format: tuple[int, int, int, bool]  # version, layer, rate, mono: constant within a stream

    @classmethod
    def parse(cls, header: bytes) -> Frame | None:
        """Parse four header bytes; None if they are no frame header or of free format."""
        if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
            return None
        version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
        bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
        if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
            return None
        rate_hz, padding = RATES_HZ[version][rate], header[2] >> 1 & 1
        bits = 1000 * KBITS[version == 3, layer][bitrate - 1]
        samples = {1: 384, 2: 1152, 3: 1152 if version == 3 else 576}[layer]
        size = 4 * (12 * bits // rate_hz + padding) if layer == 1 else samples // 8 * bits // rate_hz + padding
        return cls(header, size, samples, (version, layer, rate_hz, header[3] >> 6 == 3))

    @property
    def index_offset(self) -> int:
        """Offset of an index in the frame: after the side information."""
        version, _, _, mono = self.format
        return 4 + ((17 if mono else 32) if version == 3 else (9 if mono else 17))


@dataclasses.dataclass
class Link:
    """Frames of one stream.

    Attributes:
      first: the first frame.
      stated: number of frames by the index; None without an index.
      ranges: start and end offsets of the frames, including the index frame.
      frames: number of frames, without the index frame.
      truncated: whether the file ends within a further frame.
    """

    first: Frame
    stated: int | None
    ranges: list[list[int]]
    frames: int = 0
    truncated: bool = False

    @property
    def samples(self) -> int:
        """Minimum number of samples that the link decodes to."""
        return max(0, self.frames - GAP_FRAMES) * self.first.samples

    def add(self, at: int, frame: Frame, *, is_index: bool) -> None:
        """Add the next frame, at an offset in the file."""
        if self.ranges[-1][1] != at:
            self.ranges.append([at, at])
        self.ranges[-1][1] = at + frame.size
        self.frames += not is_index

    def pieces(self) -> tuple[bytes | tuple[int, int], ...]:
        """Return the pieces for libsndfile to read: an index with the number of frames, then the frames.

        Raises:
          UserError: there are fewer frames than the index states.
        """
        ranges = [(start, end) for start, end in self.ranges]
        if self.stated and self.frames < self._min_frames(self.stated):
            raise UserError(f"cut short: {self.frames} of {self.stated} MPEG frames are there; give the whole file")
        if self.stated and abs(self.stated - self.frames) <= 1 or self.first.format[1] != 3:
            return tuple(ranges)
        if self.stated is not None:
            ranges[0] = (ranges[0][0] + self.first.size, ranges[0][1])
        return (self._index_frame(), *ranges)

    def _min_frames(self, stated: int) -> float:
        """Number of frames of a complete file; some encoders count the index frame."""
        return stated if self.truncated else min(stated - 1, MIN_SHARE_PRESENT * stated)

    def _index_frame(self) -> bytes:
        """Silent frame with a Xing header that states the number of frames, as in files of variable bit rate."""
        header = bytes(self.first.header)
        header = bytes([0xFF, header[1] | 1, INDEX_BITRATE << 4 | header[2] & 0x0C, header[3]])
        frame = Frame.parse(header)
        index = b"Xing" + struct.pack(">II", 1, self.frames)
        return (header + bytes(frame.index_offset - 4) + index).ljust(frame.size, b"\0")


def find_links(file: BinaryIO, start: int) -> list[Link]:
    """Return the links of a file from an offset on; empty if there are no frames.

    A link ends at another index, at a tag, or where the format changes.
    """
    window, links, at = _Window(file), [], start
    joined = contiguous = False  # with the previous frame: in one link, and without a gap
    while at < window.total:
        frame, last = window.frame(at), links[-1].first.format if links else None
        if frame is None or not (contiguous and frame.format == last or _begins_stream(window, at, last)):
            if contiguous and window.is_truncated(at, last):
                links[-1].truncated = True
            skipped = _tag_size(window, at)
            joined, contiguous = joined and not skipped, False
            at = at + skipped if skipped else _find_frame(window, at + 1, last)
            continue
        count = _index_count(window.bytes(at, frame.index_offset + 12)[frame.index_offset :])
        if not joined or count is not None or frame.format != last:
            links.append(Link(frame, count, [[at, at]]))
        links[-1].add(at, frame, is_index=count is not None)
        joined = contiguous = True
        at += frame.size
    return [link for link in links if link.frames]


def _index_count(index: bytes) -> int | None:
    """Number of frames by an index; 0 if the index states none, None if the bytes are no index."""
    if index[:4] not in (b"Xing", b"Info") or len(index) < 12:
        return None
    flags, frames = struct.unpack(">II", index[4:12])
    return frames if flags & 1 else 0


def tag_bytes(head: bytes) -> int:
    """Size in bytes of the ID3v2, APEv2 or ID3v1 tag that starts with these 32 bytes; 0 if there is none.

    >>> tag_bytes(b"ID3" + bytes([4, 0, 0, 0, 0, 1, 0])), tag_bytes(b"TAG"), tag_bytes(b"RIFF")
    (138, 128, 0)
    """
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        footer = 10 if head[5] & 0x10 else 0
        return 10 + footer + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        size, flags = struct.unpack("<I4xI", head[12:24])
        return 32 + size if flags & 1 << 29 else 32  # a header; only a footer
    return 128 if head[:3] == b"TAG" else 0


def _tag_size(window: _Window, at: int) -> int:
    size = tag_bytes(window.bytes(at, 32))
    return size if at + size <= window.total else 0


def _find_frame(window: _Window, at: int, previous_format: tuple | None) -> int:
    """Offset of the next tag, or of the next frame that :func:`_begins_stream`; else the end of the file."""
    while at < window.total:
        block = window.bytes(at, BLOCK_BYTES)
        for mark in (b"ID3", b"APETAGEX"):
            if 0 <= (offset := block.find(mark)) and _tag_size(window, at + offset):
                block = block[:offset]
        offset = block.find(b"\xff")
        while offset >= 0:
            if _begins_stream(window, at + offset, previous_format):
                return at + offset
            offset = block.find(b"\xff", offset + 1)
        if _tag_size(window, at + len(block)):
            return at + len(block)
        at += len(block)
    return window.total


def _begins_stream(window: _Window, at: int, previous_format: tuple | None) -> bool:
    """Whether two consecutive frames of the previous format start here, or four of another; fewer before the end."""
    format_, count = None, 0
    while count < 4:
        frame = window.frame(at)
        if frame is None or format_ not in (None, frame.format):
            break
        format_, at, count = frame.format, at + frame.size, count + 1
    return count >= (2 if format_ == previous_format else 4) or (count >= 1 and at == window.total)


class _Window:
    """A file with a block cached in memory."""

    def __init__(self, file: BinaryIO):
        self.file, self.total, self.at, self.block = file, file.seek(0, os.SEEK_END), 0, b""

    def bytes(self, at: int, count: int) -> bytes:
        """Read `count` bytes at an offset, or fewer at the end of the file."""
        begin = at - self.at
        if begin < 0 or begin + count > len(self.block):
            self.file.seek(at)
            self.at, self.block, begin = at, self.file.read(max(count, BLOCK_BYTES)), 0
        return self.block[begin : begin + count]

    def is_truncated(self, at: int, format_: tuple) -> bool:
        """Whether a frame of this format starts at the offset and the file ends within it."""
        frame = Frame.parse(self.bytes(at, 4))
        return bool(frame) and frame.format == format_ and at + frame.size > self.total

    def frame(self, at: int) -> Frame | None:
        """Return the complete frame at the offset; None if there is none."""
        frame = Frame.parse(self.bytes(at, 4))
        return frame if frame and at + frame.size <= self.total else None
