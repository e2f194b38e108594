"""Stable hashes, BLAKE2b of 8 bytes: the same in every process and on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import BinaryIO

SIZE_BYTES = 8
BLOCK_BYTES = 1 << 20  # of a file that is read at once


def digest(content: bytes) -> str:
    """Return the hash of bytes, 16 hex digits.

    >>> digest(b"")
    'e4a6a0577479b2b4'
    """
    return _new(content).hexdigest()


def file_digest(file: BinaryIO) -> str:
    """Return the hash of a file's bytes, 16 hex digits; the file is at its beginning then.

    Args:
      file: open for reading and seekable, such as a `GFile`, which has no `readinto`.
    """
    file.seek(0)
    value = _new()
    while block := file.read(BLOCK_BYTES):
        value.update(block)
    file.seek(0)
    return value.hexdigest()


def lines_digest(lines: Iterable[str]) -> str:
    r"""Return the hash of lines, with a line feed after each.

    >>> lines_digest(["a", "b"]) == digest(b"a\nb\n")
    True
    """
    value = _new()
    for line in lines:
        value.update(line.encode() + b"\n")
    return value.hexdigest()


def stable_fraction(key: str) -> float:
    """Return a pseudo-random number in [0, 1) that depends on `key` only.

    >>> stable_fraction("a/x.wav") == stable_fraction("a/x.wav")
    True
    """
    return int.from_bytes(_new(key.encode()).digest(), "big") / 2 ** (8 * SIZE_BYTES)


def _new(content: bytes = b""):
    return hashlib.blake2b(content, digest_size=SIZE_BYTES)
