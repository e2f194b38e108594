"""Table of contents of a zip archive, entry by entry: a damaged entry costs no other one, unlike in `zipfile`."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator

from models.errors import UserError
from pipelines.archives.content import Content

END = struct.Struct("<4s4H2LH")  # end of the archive, before a comment: signature, ..., size and offset of the table
END64 = struct.Struct("<4sQ2H2L4Q")  # the same for large archives; it is before `LOCATOR64`, which is before `END`
LOCATOR64 = struct.Struct("<4sLQL")
ENTRY = struct.Struct("<4s4B4H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")  # before the data of a member
END_MARK, END64_MARK, LOCATOR64_MARK, ENTRY_MARK, LOCAL_MARK = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
MAX_COMMENT_BYTES = 0xFFFF
UTF_8 = 0x800  # bit of the flags: the name is UTF-8
IN_EXTRA, EXTRA_64 = 0xFFFF_FFFF, 1  # value of a field that is in the extra field of this identifier
UNICODE_PATH = 0x7075  # identifier of Info-ZIP's extra field with the name in UTF-8
UNICODE_PATH_START = struct.Struct("<BL")  # its version, which is 1, and the CRC-32 of the stored name


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the table of contents.

    Attributes:
      stored_name: the bytes of the name.
      name: the name, see :func:`_decode_name`.
      system: on which it was written; 3 is Unix.
      attributes: of the file; their upper half is the mode of Unix.
      flags: bits, such as 1 for an encrypted member.
      method: number of the compression.
      checksum: CRC-32 of the content.
      stored_size: size in the archive, in bytes.
      size: size of the content, in bytes.
      offset: position of the member in the file.
    """

    stored_name: bytes
    name: str
    system: int
    attributes: int
    flags: int
    method: int
    checksum: int
    stored_size: int
    size: int
    offset: int

    def to_zip_info(self) -> zipfile.ZipInfo:
        """Return what `zipfile.ZipExtFile` needs to decompress the member."""
        info = zipfile.ZipInfo(self.name)
        info.flag_bits, info.compress_type, info.CRC = self.flags, self.method, self.checksum
        info.compress_size, info.file_size, info.header_offset = self.stored_size, self.size, self.offset
        return info


def read_directory(content: Content) -> Iterator[Entry]:
    """Yield the entries of the table of contents, which is not in memory as a whole: it may have millions.

    Raises:
      UserError: there is no table, or it is damaged; the entries before that point were yielded.
    """
    start, size, shift = _find_directory(content)
    table, position, count = content.open(start, size), 0, 0
    while position < size:
        header = table.read(ENTRY.size)
        if len(header) < ENTRY.size or not header.startswith(ENTRY_MARK):
            raise UserError(f"its table of contents is damaged after {count} entries")
        fields = ENTRY.unpack(header)
        name_end, extra_end, end = itertools.accumulate(fields[12:15])
        rest = table.read(end)
        if len(rest) < end:
            raise UserError(f"its table of contents is damaged after {count} entries")
        yield _entry(fields, rest[:name_end], rest[name_end:extra_end], shift)
        position, count = position + ENTRY.size + end, count + 1


def _find_directory(content: Content) -> tuple[int, int, int]:
    """Return position and size of the table, and the number of bytes before the archive, as of a program."""
    tail_at = max(0, content.size - END.size - MAX_COMMENT_BYTES)
    tail = content.open(tail_at).read()
    end = tail.rfind(END_MARK, 0, max(0, len(tail) - END.size + len(END_MARK)))
    if end < 0:
        raise UserError("no table of contents at its end")
    *_, size, offset, _ = END.unpack_from(tail, end)
    end += tail_at
    before = max(0, end - LOCATOR64.size - END64.size)
    large = content.open(before, end - before).read()
    if len(large) == END64.size + LOCATOR64.size and large.startswith(LOCATOR64_MARK, END64.size):
        if large.startswith(END64_MARK):
            *_, size, offset = END64.unpack_from(large)
            end = before
    start = end - size
    if start < 0:
        raise UserError(f"its table of contents would have {size} bytes, more than there are")
    return start, size, start - offset


def _entry(fields: tuple, stored_name: bytes, extra: bytes, shift: int) -> Entry:
    system, flags, method, attributes = fields[2], fields[5], fields[6], fields[17]
    checksum, stored_size, size, offset = *fields[9:12], fields[18]
    extra_fields = list(_extra_fields(extra))
    large = _large_fields(extra_fields)
    size, stored_size, offset = (next(large, n) if n == IN_EXTRA else n for n in (size, stored_size, offset))
    name = _decode_name(stored_name, extra_fields, is_utf_8=bool(flags & UTF_8))
    return Entry(stored_name, name, system, attributes, flags, method, checksum, stored_size, size, offset + shift)


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield identifiers and contents of the extra fields, without a truncated one at the end."""
    while len(extra) >= 4:
        identifier, size = struct.unpack_from("<2H", extra)
        if len(data := extra[4 : 4 + size]) == size:
            yield identifier, data
        extra = extra[4 + size :]


def _large_fields(extra_fields: Iterable[tuple[int, bytes]]) -> Iterator[int]:
    """Yield size, stored size and offset as far as the extra fields state them; none if these are damaged."""
    data = next((data for identifier, data in extra_fields if identifier == EXTRA_64), b"")
    yield from (value for (value,) in struct.iter_unpack("<Q", data[: len(data) - len(data) % 8]))


def _decode_name(stored_name: bytes, extra_fields: Iterable[tuple[int, bytes]], *, is_utf_8: bool) -> str:
    """Return the name of an entry.

    It is the name in a valid extra field of Info-ZIP, else the stored one: UTF-8 if it is valid UTF-8, although many
    programs do not set the flag of UTF-8, else code page 437. If the flag is set, bytes that are not UTF-8 are escaped
    as in paths of local files.
    """
    for identifier, data in extra_fields:
        if identifier == UNICODE_PATH and data.startswith(UNICODE_PATH_START.pack(1, zlib.crc32(stored_name))):
            with contextlib.suppress(UnicodeDecodeError):
                if name := data[UNICODE_PATH_START.size :].decode():
                    return name
    try:
        return stored_name.decode()
    except UnicodeDecodeError:
        return stored_name.decode("utf-8", "surrogateescape") if is_utf_8 else stored_name.decode("cp437")


def data_offset(content: Content, entry: Entry) -> int:
    """Return the position of the data of a member.

    Raises:
      UserError: the archive does not have the member at the position that the table states.
    """
    if not 0 <= entry.offset <= content.size - LOCAL.size:
        raise UserError(f"the archive has no byte {entry.offset}, where it should begin")
    header = content.open(entry.offset, LOCAL.size + len(entry.stored_name)).read()
    fields = LOCAL.unpack_from(header)
    if fields[0] != LOCAL_MARK or header[LOCAL.size :] != entry.stored_name:
        raise UserError("its header is not where the table of contents says")
    return entry.offset + LOCAL.size + fields[9] + fields[10]
