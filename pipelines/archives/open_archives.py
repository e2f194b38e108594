"""Archives that this process has open: each is indexed, decompressed or downloaded once."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable, Hashable
from typing import BinaryIO

from models.errors import UserError
from pipelines.archives.content import Content, read_blocks
from pipelines.archives.members import NO_CHECKS, Checks
from pipelines.archives.tar_archive import TarArchive
from pipelines.archives.zip_archive import ZipArchive

MAX_OPEN = 256  # archives; the one that was not used for longest is closed
ZIP_START = b"PK"

Archive = ZipArchive | TarArchive

_lock = threading.Lock()
_archives: collections.OrderedDict[Hashable, Archive] = collections.OrderedDict()


def is_open(path: str) -> bool:
    """Whether a remote archive is open."""
    return path in _archives


def open_archive(path: str, open_remote: Callable[[str], BinaryIO]) -> Archive:
    """Open an archive, or return it if it is open; a local one that has changed is opened again.

    Args:
      path: local, or remote: such an archive is downloaded into a temporary file.
      open_remote: opens a remote file.

    Raises:
      UserError: it is not an archive.
      OSError: it cannot be opened, or there is no space for temporary files.
    """
    is_remote = "://" in path
    with _lock:
        key = path if is_remote else _identity(os.stat(path))
        if key not in _archives:
            _archives[key] = open_content(_download(path, open_remote) if is_remote else Content.of_path(path), path)
            if len(_archives) > MAX_OPEN:
                _archives.popitem(last=False)
        _archives.move_to_end(key)
        return _archives[key]


def open_member(path: str, name: str, open_remote: Callable[[str], BinaryIO]) -> BinaryIO:
    """Open a member of an archive as a seekable file; the caller closes it.

    Raises:
      UserError: there is no such member, or it cannot be read.
      OSError: as :func:`open_archive`.
    """
    archive = open_archive(path, open_remote)
    member = archive.contents.members.get(name)
    if member is None:
        raise UserError(f"there is no such file in the archive {path}")
    return archive.open(member)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _download(path: str, open_remote: Callable[[str], BinaryIO]) -> Content:
    with open_remote(path) as remote:
        return Content.of_blocks(read_blocks(remote.read))


def open_content(content: Content, path: str, checks: Checks = NO_CHECKS) -> Archive:
    """Open an archive by its first bytes, whatever its extension, or else by its extension.

    Args:
      content: the archive, which stays open as long as the result is used.
      path: with the extension.
      checks: made while the archive is opened.

    Raises:
      UserError: it is not an archive.
      LimitError: by a check.
      OSError: there is no space for temporary files.
    """
    is_zip = content.open(size=len(ZIP_START)).read() == ZIP_START or path.lower().endswith(".zip")
    return (ZipArchive if is_zip else TarArchive)(content, checks)
