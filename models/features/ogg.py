"""The links of an Ogg file (RFC 3533): streams, one after the other, that libsndfile reads only the first of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import UserError

HEAD_BYTES = 27  # of a page, before the table of its segments
FIRST, LAST = 2, 4  # flags of a page
SEARCH_BYTES = 1 << 16


def links(file: BinaryIO) -> list[tuple[int, int]]:
    """Offsets from and to which each link of the file goes.

    A link begins with a page that begins a stream, or several of streams that are multiplexed.

    Raises:
      UserError: a stream that has begun does not reach its last page.
    """
    spans: list[list[int]] = []
    streams: dict[bytes, bool] = {}  # of this link by serial number: whether the last page has come
    heads, reached = False, 0  # whether all pages of the link so far begin a stream; where the page before ends
    for start, end, flags, serial in _pages(file):
        if start > reached:  # something lies between two pages
            _refuse(streams)
        if flags & FIRST and not heads:
            _refuse(streams)
            spans.append([start, end])
            streams = {}
        heads, reached = bool(flags & FIRST), end
        if heads:
            streams[serial] = False
        elif serial not in streams:
            _refuse({serial: False})
        streams[serial] = streams[serial] or bool(flags & LAST)
        spans[-1][1] = end
    _refuse(streams)
    return [(start, end) for start, end in spans]


def _refuse(streams: dict[bytes, bool]) -> None:
    if not all(streams.values()):
        raise UserError("cut short or damaged: an Ogg stream does not reach its last page; give the whole file")


def _pages(file: BinaryIO) -> Iterator[tuple[int, int, int, bytes]]:
    """Start, end, flags and serial number of the pages that are there whole; what is between them is passed over."""
    total, at = file.seek(0, os.SEEK_END), 0
    while at + HEAD_BYTES <= total:
        file.seek(at)
        head = file.read(HEAD_BYTES)
        if head[:4] != b"OggS":
            at = _next(file, at + 1)
            continue
        segments = file.read(head[26])
        end = at + HEAD_BYTES + head[26] + sum(segments)
        if end > total or len(segments) < head[26]:
            at = _next(file, at + 1)
            continue
        yield at, end, head[5], head[14:18]
        at = end


def _next(file: BinaryIO, at: int) -> int:
    """Where the next page may begin, the end of the file if nowhere."""
    file.seek(at)
    while block := file.read(SEARCH_BYTES):
        place = block.find(b"OggS")
        if place >= 0:
            return at + place
        if len(block) < 4:
            return at + len(block)
        at += len(block) - 3
        file.seek(at)
    return at
