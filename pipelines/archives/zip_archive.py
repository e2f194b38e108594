"""Zip archives: the table of contents, and members that are decompressed one by one."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from typing import BinaryIO

from models.errors import UserError
from pipelines.archives import members, zip_directory
from pipelines.archives.content import Content, read_blocks
from pipelines.archives.members import NO_CHECKS, Checks, Contents, LimitError, Member
from pipelines.archives.zip_directory import Entry

ENCRYPTED = 1  # bit of the flags of a member
UNIX = 3  # system whose file types are in the upper half of `external_attr`
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others of `zipfile` decompress without a limit of memory
MAX_IN_MEMORY_BYTES = 8 << 20


class ZipArchive:
    """An open zip archive; `contents.problem` says why the rest of a damaged table of contents could not be read.

    Args:
      content: the archive.
      checks: made while the table of contents is read.

    Raises:
      UserError: it is not a zip archive, or is cut short: the table of contents is at its end.
      LimitError: by a check.
    """

    def __init__(self, content: Content, checks: Checks = NO_CHECKS):
        self.content, self.contents = content, Contents()
        self._entries: list[Entry] = []
        try:
            for count, entry in enumerate(zip_directory.read_directory(content), 1):
                checks.entries(count)
                self._add(entry)
        except LimitError:
            raise
        except UserError as error:
            if not self._entries:
                raise UserError(f"not readable as a zip archive, or cut short: {error}") from None
            self.contents.problem = str(error)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        if entry.name.endswith(("/", "\\")):
            return
        if entry.system == UNIX and stat.S_IFMT(entry.attributes >> 16) not in (0, stat.S_IFREG):
            self.contents.excluded.append((members.SPECIAL, entry.name))
        else:
            self.contents.add(entry.name, Member(entry.size, len(self._entries) - 1))

    def open(self, member: Member) -> BinaryIO:
        """Decompress a member, in memory or into a temporary file if it is large; the file is seekable.

        Raises:
          UserError: it is encrypted, compressed by another method, damaged, or expands too much.
        """
        entry = self._entries[member.position]
        if entry.flags & ENCRYPTED:
            raise UserError("encrypted in the archive; unpack it first")
        if entry.method not in METHODS:
            method = zipfile.compressor_names.get(entry.method, f"method {entry.method}")
            raise UserError(f"compressed by {method} in the archive; only deflate is supported, so unpack it first")
        limit = members.max_expanded_bytes(min(entry.stored_size, self.content.size))
        if entry.size > limit:
            raise UserError(f"states {entry.size} bytes, more than {limit}: a bomb? unpack it first")
        target = tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES)  # the caller closes it
        try:
            self._extract(entry, target)
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    def _extract(self, entry: Entry, target: BinaryIO) -> None:
        """Write a member; `zipfile` reads no more than its stated size, and verifies its checksum at its end."""
        for block in read_blocks(self._reader(entry)):
            target.write(block)
        if target.tell() != entry.size:
            raise UserError(f"cut short in the archive: {target.tell()} of {entry.size} bytes are there")

    def _reader(self, entry: Entry):
        """Return a function that reads the next bytes of a member; errors of decompression become a UserError."""
        try:
            source = self.content.open(zip_directory.data_offset(self.content, entry))
            member = zipfile.ZipExtFile(source, "r", entry.to_zip_info())
        except Exception as error:
            raise UserError(f"damaged in the archive: {error}") from None

        def read(count: int) -> bytes:
            try:
                return member.read(count)
            except Exception as error:  # zlib.error, BadZipFile, EOFError
                raise UserError(f"damaged in the archive: {error}") from None

        return read
