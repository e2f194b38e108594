"""Bytes of a local file for any number of readers at once, each with a position of its own."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable
from typing import BinaryIO


class Content:
    """An open local file that is closed with the last of its readers; threads and forked processes may share it.

    Args:
      descriptor: of a regular file, open for reading. The object owns it.
    """

    def __init__(self, descriptor: int):
        self.descriptor, self.size = descriptor, os.fstat(descriptor).st_size
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def of_path(cls, path: str) -> Content:
        """Open a regular file."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def of_blocks(cls, blocks: Iterable[bytes]) -> Content:
        """Store blocks of bytes in a temporary file without a name, which the system deletes with its last reader."""
        with tempfile.TemporaryFile() as file:
            for block in blocks:
                file.write(block)
            file.flush()
            return cls(os.dup(file.fileno()))

    def open(self, start: int = 0, size: int | None = None) -> BinaryIO:
        """Return a part as a seekable file; it ends where the file ends."""
        return io.BufferedReader(_Section(self, start, self.size - start if size is None else size))


class _Section(io.RawIOBase):
    """A part of a file."""

    def __init__(self, content: Content, start: int, size: int):
        self.content, self.start, self.size, self.position = content, start, size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position, as in `io.IOBase.seek`.

        Raises:
          OSError: it would be negative.
        """
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        if position < 0:
            raise OSError(f"seek to {position}; wanted a position from 0 on")
        self.position = position
        return position

    def tell(self) -> int:
        """Return the position."""
        return self.position

    def readinto(self, buffer) -> int:
        """Fill `buffer` and return the number of bytes read."""
        view = memoryview(buffer).cast("B")[: max(0, self.size - self.position)]
        count = os.preadv(self.content.descriptor, [view], self.start + self.position) if len(view) else 0
        self.position += count
        return count


def read_blocks(read: Callable[[int], bytes], block_bytes: int = 1 << 20) -> Iterable[bytes]:
    """Yield what a function `read(count)` returns until there is no more."""
    while block := read(block_bytes):
        yield block
