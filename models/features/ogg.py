"""Links of a chained Ogg file (RFC 3533), of which libsndfile reads only the first one; serial numbers of streams."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import UserError

HEADER_BYTES = 27  # of a page, before its segment table
FIRST, LAST = 2, 4  # page flags: first and last page of a stream
SEARCH_BYTES = 1 << 16
SERIAL, CHECKSUM = slice(14, 18), slice(22, 26)  # bytes of a page
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_links(file: BinaryIO) -> list[tuple[int, int]]:
    """Return start and end offset of each link of the file.

    A link starts with the first page of its stream, or of each of its multiplexed streams.

    Raises:
      UserError: the last page of a stream is missing.
    """
    spans: list[list[int]] = []
    complete: dict[bytes, bool] = {}  # of this link by serial number: whether the last page was read
    in_first_pages, previous_end = False, 0
    for start, end, flags, serial in _pages(file):
        if start > previous_end:  # other bytes between two pages
            _check_complete(complete)
        if flags & FIRST and not in_first_pages:
            _check_complete(complete)
            spans.append([start, end])
            complete = {}
        in_first_pages, previous_end = bool(flags & FIRST), end
        if in_first_pages:
            complete[serial] = False
        elif serial not in complete:
            _check_complete({serial: False})
        complete[serial] = complete[serial] or bool(flags & LAST)
        spans[-1][1] = end
    _check_complete(complete)
    return [(start, end) for start, end in spans]


def set_serial_number(file: BinaryIO, number: int) -> None:
    """Give every page of a file with one stream this serial number; the file is open for reading and writing."""
    for start, end, *_ in list(_pages(file)):
        file.seek(start)
        page = bytearray(file.read(end - start))
        page[SERIAL], page[CHECKSUM] = number.to_bytes(4, "little"), bytes(4)
        page[CHECKSUM] = _checksum(page)
        file.seek(start)
        file.write(page)


def _checksum(page: bytes) -> bytes:
    """CRC of a page, the most significant bit first and without inversion, by that of zlib with all bits reversed."""
    reflected = zlib.crc32(page.translate(REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return reflected.to_bytes(4, "big").translate(REVERSED_BITS)


def _check_complete(complete: dict[bytes, bool]) -> None:
    if not all(complete.values()):
        raise UserError("cut short or damaged: an Ogg stream does not reach its last page; give the whole file")


def _pages(file: BinaryIO) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield start, end, flags and serial number of the complete pages; skip other bytes."""
    total, at = file.seek(0, os.SEEK_END), 0
    while at + HEADER_BYTES <= total:
        file.seek(at)
        header = file.read(HEADER_BYTES)
        if header[:4] != b"OggS":
            at = _find_page(file, at + 1)
            continue
        segments = file.read(header[26])
        end = at + HEADER_BYTES + header[26] + sum(segments)
        if end > total or len(segments) < header[26]:
            at = _find_page(file, at + 1)
            continue
        yield at, end, header[5], header[14:18]
        at = end


def _find_page(file: BinaryIO, at: int) -> int:
    """Offset of the next possible page at or after `at`; the end of the file if there is none."""
    file.seek(at)
    while block := file.read(SEARCH_BYTES):
        offset = block.find(b"OggS")
        if offset >= 0:
            return at + offset
        if len(block) < 4:
            return at + len(block)
        at += len(block) - 3
        file.seek(at)
    return at
