"""Zip archives: the table of contents, and members that are decompressed one by one."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from typing import BinaryIO

from models.errors import UserError
from pipelines.archives import members
from pipelines.archives.content import Content, read_blocks
from pipelines.archives.members import Contents, Member

ENCRYPTED = 1  # bit of the flags of a member
UNIX = 3  # system whose file types are in the upper half of `external_attr`
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others of `zipfile` decompress without a limit of memory
MAX_IN_MEMORY_BYTES = 8 << 20


class ZipArchive:
    """An open zip archive.

    Raises:
      UserError: it is not a zip archive, or is cut short: the table of contents is at its end.
    """

    def __init__(self, content: Content):
        self.content, self.contents = content, Contents()
        try:
            self._file = zipfile.ZipFile(content.open())
        except Exception as error:  # damaged tables raise errors of many types
            raise UserError(f"not readable as a zip archive, or cut short: {error}") from None
        for index, info in enumerate(self._file.infolist()):
            if info.filename.endswith(("/", "\\")):
                continue
            if info.create_system == UNIX and stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                self.contents.excluded.append((members.SPECIAL, info.orig_filename))
            else:  # orig_filename goes on after a NUL
                name = info.orig_filename if "\0" in info.orig_filename else info.filename
                self.contents.add(name, Member(info.file_size, index))

    def open(self, member: Member) -> BinaryIO:
        """Decompress a member, in memory or into a temporary file if it is large; the file is seekable.

        Raises:
          UserError: it is encrypted, compressed by another method, damaged, or expands too much.
        """
        info = self._file.infolist()[member.position]
        if info.flag_bits & ENCRYPTED:
            raise UserError("encrypted in the archive; unpack it first")
        if info.compress_type not in METHODS:
            method = zipfile.compressor_names.get(info.compress_type, f"method {info.compress_type}")
            raise UserError(f"compressed by {method} in the archive; wanted deflate: unpack it first")
        limit = members.max_expanded_bytes(min(info.compress_size, self.content.size))
        if info.file_size > limit:
            raise UserError(f"announces {info.file_size} bytes, more than {limit}: a bomb? unpack it first")
        target = tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES)  # the caller closes it
        try:
            self._extract(info, target)
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    def _extract(self, info: zipfile.ZipInfo, target: BinaryIO) -> None:
        """Write a member, of which `zipfile` reads no more than it announces; its checksum is verified at its end."""
        for block in read_blocks(self._reader(info)):
            target.write(block)
        if target.tell() != info.file_size:
            raise UserError(f"cut short in the archive: {target.tell()} of {info.file_size} bytes are there")

    def _reader(self, info: zipfile.ZipInfo):
        """Return a function that reads the next bytes of a member; errors of decompression become a UserError."""
        try:
            source = self._file.open(info)
        except Exception as error:
            raise UserError(f"damaged in the archive: {error}") from None

        def read(count: int) -> bytes:
            try:
                return source.read(count)
            except Exception as error:  # zlib.error, BadZipFile, EOFError
                raise UserError(f"damaged in the archive: {error}") from None

        return read
