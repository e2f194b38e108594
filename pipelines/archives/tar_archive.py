"""Tar archives, compressed or not: an index of the offsets of the members, which are read in place.

A compressed archive is decompressed once, into a temporary file, so that reading a member costs its own bytes only.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import UserError
from pipelines.archives import members
from pipelines.archives.content import Content, read_blocks
from pipelines.archives.members import NO_CHECKS, Checks, Contents, LimitError, Member

COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}  # by first bytes
UNCHECKED_BYTES = 1 << 30  # a compressed archive of at most this size may expand without limit
MAX_HEADER_BYTES = 32 << 10  # of a name or of attributes; `tarfile` reads them into memory
HEADER_TYPES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
HEADER_TYPES += (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class TarArchive:
    """An open tar archive; `contents.problem` says why the end of a damaged one could not be read.

    Args:
      content: the archive.
      checks: made while the archive is decompressed and its headers are read.

    Raises:
      UserError: it is not a tar archive.
      LimitError: by a check.
      OSError: there is no space for a temporary file.
    """

    def __init__(self, content: Content, checks: Checks = NO_CHECKS):
        self.contents, self._checks = Contents(), checks
        magic = content.open(size=8).read()
        decompress = next((opener for start, opener in COMPRESSIONS.items() if magic.startswith(start)), None)
        self.content = content
        if decompress:
            with decompress(content.open()) as source:
                self.content = Content.of_blocks(self._decompressed(source, content.size))
        with self._noting():
            self._index()
        if self.contents.problem and not self.contents.members and not self.contents.excluded:
            raise UserError(f"not readable as a tar archive: {self.contents.problem}")

    def _decompressed(self, source: BinaryIO, stored_bytes: int) -> Iterator[bytes]:
        """Yield decompressed blocks up to the first that is damaged, or too many."""
        with self._noting():
            limit, count = members.max_expanded_bytes(stored_bytes, UNCHECKED_BYTES), 0
            for block in members.limited(read_blocks(source.read1), limit):  # `read` loses what precedes an error
                count += len(block)
                self._checks.expanded_bytes(count)
                yield block

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Store the first error as the problem of the archive; raise that of a check."""
        try:
            yield
        except LimitError:
            raise
        except Exception as error:  # decompressors and headers raise errors of many types
            self.contents.problem = self.contents.problem or str(error) or type(error).__name__

    def _index(self) -> None:
        file = self.content.open()
        with tarfile.TarFile(fileobj=file, tarinfo=_Header, encoding="utf-8", errors="surrogateescape") as tar:
            offset, count = -1, 0
            while (info := tar.next()) is not None:
                count += 1
                self._checks.entries(count)
                if tar.offset <= offset:
                    raise UserError("a header has a negative size")
                offset = tar.offset
                tar.members.clear()  # which would grow with the archive
                if info.isreg() and info.sparse is None:
                    self.contents.add(info.name, Member(info.size, info.offset_data))
                elif not info.isdir():
                    self.contents.excluded.append((members.SPECIAL, info.name))
            block = self.content.open(tar.offset, tarfile.BLOCKSIZE).read()
            if len(block) < tarfile.BLOCKSIZE:
                raise UserError("the mark at the end of the archive is missing")
            if any(block):
                raise UserError(f"the header at byte {tar.offset} is damaged, and members from there on are lost")

    def open(self, member: Member) -> BinaryIO:
        """Open a member in place.

        Raises:
          UserError: the archive ends within the member.
        """
        available = max(0, self.content.size - member.position)
        if member.size > available:
            raise UserError(f"cut short in the archive: {available} of {member.size} bytes are there")
        return self.content.open(member.position, member.size)


class _Header(tarfile.TarInfo):
    """A header whose size is checked before `tarfile` relies on it."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> _Header:
        """Parse a header, see `tarfile.TarInfo.frombuf`.

        Raises:
          UserError: its size is negative, or a long name or attributes have more than `MAX_HEADER_BYTES`.
        """
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or header.type in HEADER_TYPES and header.size > MAX_HEADER_BYTES:
            raise UserError(f"a header states {header.size} bytes")
        return header
