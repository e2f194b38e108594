"""Paths of archives, and of members of an archive: ``clips.zip/speaker1/a.wav``.

A path names a member of an archive if one of its parent paths has the extension of an archive and is a file, not a
folder. On a local file system this is unambiguous, because no file is below a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_NAME_END = re.compile(rf"[^/](?:{'|'.join(map(re.escape, SUFFIXES))})(?=/|$)", re.IGNORECASE)


def is_archive(path: str) -> bool:
    """Whether a path has the extension of an archive.

    >>> is_archive("a/clips.tar.GZ"), is_archive("a/clips.gz"), is_archive("a/.zip")
    (True, False, False)
    """
    return any(match.end() == len(path) for match in _NAME_END.finditer(path))


def stem(path: str) -> str:
    """Return the path of an archive without its extension.

    >>> stem("a/clips.v2.tar.GZ"), stem("a.zip/b.zip")
    ('a/clips.v2', 'a.zip/b')
    """
    return next((path[: match.start() + 1] for match in _NAME_END.finditer(path) if match.end() == len(path)), path)


def split(path: str, is_file: Callable[[str], bool]) -> tuple[str, str] | None:
    """Return the archive and the name of a member in it, empty for the archive itself; None if there is no archive.

    Args:
      path: any path.
      is_file: whether a path that has the extension of an archive is a file.

    >>> split("a.zip/b.tar/x.wav", {"a.zip/b.tar"}.__contains__)
    ('a.zip/b.tar', 'x.wav')
    """
    for match in _NAME_END.finditer(path):
        if is_file(path[: match.end()]):
            return path[: match.end()], path[match.end() + 1 :]
    return None
