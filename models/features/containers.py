"""Length that the header of an audio file states, for every container of libsndfile that states one.

libsndfile does not report truncated files. It also reads zero samples if the header was never finished, because the
recorder was killed or wrote into a pipe. This module detects both cases.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from models.errors import UserError

MIN_SHARE_PRESENT = 0.98  # of the stated data: missing pad bytes, or counted tags, are tolerated
MAX_CHUNKS = 4096  # per file; more are a corrupted header
MAX_MISSING_BYTES = 4096  # in files of any length
SLACK_BYTES = 8  # tolerated in very short files: pad bytes, and libsndfile's own MAT5 headers
SAMPLE_BY_SAMPLE = (1, 3, 6, 7, 0xFFFE)  # WAV format tags: PCM, float, A-law, mu-law, extensible
W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")


@dataclasses.dataclass(frozen=True)
class SampleData:
    """Position of the samples in a file.

    Attributes:
      start: offset of the first byte.
      size: size in bytes by the header; None if the header was never finished.
      exact: whether no byte may be missing, because samples are coded in blocks.
      patches: function of the size in bytes that returns offsets and the bytes that a finished header has there.
    """

    start: int
    size: int | None
    exact: bool = False
    patches: Callable[[int], list[tuple[int, bytes]]] = lambda size: []


def stated_bytes(file: BinaryIO) -> int:
    """Size in bytes of the samples by the header, true or not: also the 2 GiB of an unfinished one; 0 if unknown."""
    data = _find_samples(file, file.seek(0, os.SEEK_END))
    if data is None or data.size is not None:
        return data.size if data else 0
    stated = _number(file, data.start - 4, "<I")
    return stated if is_placeholder(stated) and stated < 0xFFFFF000 else 0


def header_patches(file: BinaryIO) -> list[tuple[int, bytes]]:
    """Return offsets and bytes that complete an is_placeholder header; empty for finished ones.

    Args:
      file: seekable, of any container; its position changes.

    Raises:
      UserError: the file has fewer bytes than its header states.
    """
    data = _find_samples(file, total := file.seek(0, os.SEEK_END))
    if data is None:
        return []
    available = max(0, total - data.start)
    if data.size is None:
        return data.patches(available)
    tolerance = 0 if data.exact else max(SLACK_BYTES, min((1 - MIN_SHARE_PRESENT) * data.size, MAX_MISSING_BYTES))
    if data.size - available > tolerance:
        raise UserError(f"cut short: {available} of {data.size} bytes are there; give the whole file")
    return []


def _find_samples(file: BinaryIO, total: int) -> SampleData | None:
    """Return the position of the samples of a file of `total` bytes; None if its container does not state it."""
    magic = _read_at(file, 0, 20)
    reader = next((reader for name, reader in READERS.items() if magic.startswith(name)), None)
    return reader(file, total) if reader else None


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read `count` bytes at an offset, or fewer at the end of the file."""
    file.seek(offset)
    return file.read(count)


def _number(file: BinaryIO, offset: int, kind: str) -> int:
    """Read an integer of a :mod:`struct` format; bytes beyond the end of the file are zero."""
    size = struct.calcsize(kind)
    return struct.unpack(kind, _read_at(file, offset, size).ljust(size, b"\0"))[0]


def is_placeholder(size: int) -> bool:
    """Whether a 32-bit length is a placeholder of recorders and pipes: zero, or near the largest possible value.

    >>> [is_placeholder(n) for n in (0, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFFFF8, 44100, 0xC0000000)]
    [True, True, True, True, False, False]
    """
    return size == 0 or size >= 0xFFFFF000 or abs(size - 0x7FFFFFFF) <= 0x1000


# ------------------------------------------------------------------ chunk-based containers


def _chunks(file: BinaryIO, at: int, total: int, order: str = "<", pad: int = 2) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, content offset and size of the chunks of a file with 32-bit sizes."""
    for _ in range(MAX_CHUNKS):
        if at + 8 > total:
            return
        name, size = struct.unpack(f"{order}4sI", _read_at(file, at, 8))
        yield name, at + 8, size
        at += 8 + size + -size % pad


def _ends_in_chunks(file: BinaryIO, at: int, total: int, order: str) -> bool:
    """Whether the file consists of chunks from offset `at` to its end."""
    for name, start, size in _chunks(file, at, total, order):
        if not name.isascii() or not name.decode().isprintable() or start + size > total + 1:
            return False
        at = start + size
    return total - at <= 1


def _riff(file: BinaryIO, total: int) -> SampleData | None:
    magic = _read_at(file, 0, 4)
    order = ">" if magic == b"RIFX" else "<"
    long_sizes, blocks = None, False  # offset of the 64-bit sizes of RF64 (EBU Tech 3306); whether ADPCM or GSM
    for name, start, size in _chunks(file, 12, total, order):
        if name == b"ds64" and magic in (b"RF64", b"BW64"):
            long_sizes = start
        if name == b"fmt ":
            blocks = _number(file, start, f"{order}H") not in SAMPLE_BY_SAMPLE
        if name == b"data":
            return dataclasses.replace(_riff_data(file, total, start, size, order, long_sizes), exact=blocks)
    return None


def _riff_data(file: BinaryIO, total: int, start: int, size: int, order: str, long_sizes: int | None) -> SampleData:
    def finish(size: int) -> list[tuple[int, bytes]]:
        if long_sizes is None:
            sizes = [struct.pack(f"{order}I", min(n, 0xFFFFFFFF)) for n in (start + size - 8, size)]
            return [(4, sizes[0]), (start - 4, sizes[1])]
        return [(start - 4, b"\xff" * 4), (long_sizes, struct.pack("<QQ", start + size - 8, size))]

    if long_sizes is not None and size in (0, 0xFFFFFFFF):
        size = _number(file, long_sizes + 8, "<Q")
        return SampleData(start, None if size == 0 or size >> 62 else size, patches=finish)
    empty = size == 0 and total > start and _ends_in_chunks(file, start, total, order)
    return SampleData(start, None if is_placeholder(size) and not empty else size, patches=finish)


def _w64(file: BinaryIO, total: int) -> SampleData | None:
    """Sony Wave64: chunks with 128-bit names, sizes that include the chunk header, and padding to 8 bytes."""
    at = 40
    for _ in range(MAX_CHUNKS):
        if at + 24 > total:
            break
        size = _number(file, at + 16, "<Q")
        if _read_at(file, at, 16) == W64_DATA:
            stated = None if size <= 24 or size >> 62 else size - 24
            return SampleData(at + 24, stated, patches=lambda size, at=at: [(at + 16, struct.pack("<Q", size + 24))])
        at += max(24, size + -size % 8)
    return None


def _iff(file: BinaryIO, total: int) -> SampleData | None:
    """AIFF, AIFC and Amiga's 8SVX and 16SV; libsndfile ignores the frame count of other chunks."""
    for name, start, size in _chunks(file, 12, total, ">"):
        if name in (b"SSND", b"BODY"):
            header = 8 if name == b"SSND" else 0

            def finish(size: int, start=start, header=header) -> list[tuple[int, bytes]]:
                sizes = ((4, start + header + size - 8), (start - 4, header + size))
                return [(at, struct.pack(">I", min(n, 0xFFFFFFFF))) for at, n in sizes]

            finished = size > header and not is_placeholder(size)
            empty = size <= header and _ends_in_chunks(file, start + max(size, header), total, ">")
            size = max(0, size - header) if finished or empty else None
            return SampleData(start + header, size, patches=finish)
    return None


def _caf(file: BinaryIO, total: int) -> SampleData | None:
    """Apple's Core Audio Format: a size of -1 means to the end of the file."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 12 > total:
            break
        name, size = struct.unpack(">4sq", _read_at(file, at, 12))
        if name == b"data":
            stated = size - 4 if size > 4 else None
            exact = _read_at(file, 28, 4) not in (b"lpcm", b"ulaw", b"alaw")
            return SampleData(at + 16, stated, exact, lambda size, at=at: [(at + 4, struct.pack(">q", size + 4))])
        if size < 0:
            break
        at += 12 + size
    return None


def _voc(file: BinaryIO, total: int) -> SampleData | None:
    at = start = _number(file, 20, "<H")
    for _ in range(MAX_CHUNKS):
        kind, size = _read_at(file, at, 1), int.from_bytes(_read_at(file, at + 1, 3), "little")
        if at + 4 > total or kind == b"\0":
            break
        if kind[0] > 9:
            return None
        at += 4 + size
    return SampleData(start, at - start)


# ------------------------------------------------------------------ containers with a single header


def _au(file: BinaryIO, total: int) -> SampleData:
    order = ">" if _read_at(file, 0, 4) == b".snd" else "<"
    start, size = _number(file, 4, f"{order}I"), _number(file, 8, f"{order}I")
    return SampleData(start, None if is_placeholder(size) else size, patches=lambda size: [(8, b"\xff" * 4)])


def _nist(file: BinaryIO, total: int) -> SampleData | None:
    """NIST SPHERE: lines of ``name -type value`` in a header whose size is its second line."""
    try:
        start = int(_read_at(file, 8, 8))
        if start < 16:  # shorter than the part of the header that is already read
            return None
        lines = _read_at(file, 16, min(start, 1 << 16)).split(b"end_head")[0].decode("latin1").split("\n")
        fields = {row[0]: row[2] for row in (line.split(None, 2) for line in lines) if len(row) == 3}
        if "," in fields.get("sample_coding", ""):  # compressed
            return None
        sizes = [int(fields[name]) for name in ("sample_count", "channel_count", "sample_n_bytes")]
    except (KeyError, ValueError):
        return None
    return SampleData(start, sizes[0] * sizes[1] * sizes[2])


def _mat4(file: BinaryIO, total: int) -> SampleData | None:
    """MATLAB 4: consecutive matrices, each preceded by five numbers and a name."""
    order = ">" if _read_at(file, 0, 2) == b"\0\0" and _read_at(file, 0, 4) != bytes(4) else "<"
    at = 0
    for _ in range(MAX_CHUNKS):
        if at + 20 > total:
            break
        kind, rows, columns, _, name = struct.unpack(f"{order}5I", _read_at(file, at, 20))
        if kind % 1000 > 51 or name > 256:
            return None
        at += 20 + name + rows * columns * (8, 4, 4, 2, 2, 1)[kind // 10 % 10]
    return SampleData(0, at) if at else None


def _mat5(file: BinaryIO, total: int) -> SampleData:
    order = ">" if _read_at(file, 126, 2) == b"MI" else "<"
    at = 128
    for _ in range(MAX_CHUNKS):
        if at + 8 > total:
            break
        at += 8 + _number(file, at + 4, f"{order}I")
    return SampleData(128, at - 128)


def _sds(file: BinaryIO, total: int) -> SampleData:
    """MIDI sample dump: packets of 127 bytes, of which 120 hold samples with 7 bits per byte."""
    bits, low, middle, high = (_number(file, at, "B") for at in (6, 10, 11, 12))
    samples, per_packet = low + (middle << 7) + (high << 14), 120 // max(1, -(-bits // 7))
    return SampleData(21, 127 * -(-samples // max(1, per_packet)))


def _avr(file: BinaryIO, total: int) -> SampleData:
    stereo, bits, frames = _number(file, 12, ">H"), _number(file, 14, ">H"), _number(file, 26, ">I")
    return SampleData(128, frames * (2 if stereo else 1) * bits // 8)


def _mpc2k(file: BinaryIO, total: int) -> SampleData:
    return SampleData(42, _number(file, 30, "<I") * 2 * (1 + _number(file, 21, "B") % 2))


def _wve(file: BinaryIO, total: int) -> SampleData:
    return SampleData(32, _number(file, 18, ">I"))


def _xi(file: BinaryIO, total: int) -> SampleData:
    return SampleData(338, _number(file, 298, "<I"))


READERS: dict[bytes, Callable[[BinaryIO, int], SampleData | None]] = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"BW64"), _riff),
    b"riff\x2e\x91\xcf\x11": _w64,
    b"FORM": _iff,
    b"caff": _caf,
    b"Creative Voice": _voc,
    **dict.fromkeys((b".snd", b"dns."), _au),
    b"NIST_1A\n": _nist,
    b"MATLAB 5.0": _mat5,
    **dict.fromkeys((b"\0\0\0\0\1\0\0\0\1\0\0\0", b"\0\0\3\xe8\0\0\0\1\0\0\0\1"), _mat4),
    b"\xf0\x7e": _sds,
    b"2BIT": _avr,
    b"\1\4": _mpc2k,
    b"ALawSoundFile**": _wve,
    b"Extended Instrument": _xi,
}
