"""Names of the output files of `translate`: as those of the inputs, short enough for file systems."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator

MAX_NAME_BYTES = 255  # maximum length of a file name on common file systems
HASH_DIGITS = 8


def preferred_name(name: str, suffix: str) -> str:
    """Return the relative path of an input with the file extension of the output format.

    >>> preferred_name("a/b.flac", ".wav")
    'a/b.wav'
    """
    return posixpath.splitext(name)[0] + suffix


def hashed_name(output: str, name: str, suffix: str) -> str:
    """Return an output name with a hash of the relative path of its input, cut to the maximum length."""
    digest = hashlib.blake2b(name.encode()).hexdigest()[:HASH_DIGITS]
    folder, base = posixpath.split(output)
    ending = f"~{digest}{suffix}"
    stem = base.removesuffix(suffix).encode()[: MAX_NAME_BYTES - len(ending)].decode(errors="ignore")
    return posixpath.join(folder, stem + ending)


def is_too_long(output: str) -> bool:
    """Whether file systems do not allow the file name of a path."""
    return len(posixpath.basename(output).encode()) > MAX_NAME_BYTES


def parent_folders(name: str) -> Iterator[str]:
    """Yield the folders above a relative path.

    >>> list(parent_folders("a/b/c.wav"))
    ['a/b', 'a']
    """
    while name := posixpath.dirname(name):
        yield name
