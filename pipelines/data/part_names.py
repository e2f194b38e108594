"""File names of lists of JSON lines: ``manifest.jsonl``, or ``manifest-00000-of-00003.jsonl`` ... if a list is long."""

from __future__ import annotations

import re
from collections.abc import Iterable

from models.errors import UserError

MAX_LINES = 200_000  # of one file


def names_of(name: str, count: int) -> list[str]:
    """Return the names of the files of a list.

    Args:
      name: of the list, such as "manifest.jsonl".
      count: number of files.

    >>> names_of("manifest.jsonl", 1), names_of("manifest.jsonl", 2)
    (['manifest.jsonl'], ['manifest-00000-of-00002.jsonl', 'manifest-00001-of-00002.jsonl'])
    """
    stem, _, extension = name.rpartition(".")
    return [name] if count == 1 else [f"{stem}-{n:05d}-of-{count:05d}.{extension}" for n in range(count)]


def parts(file_names: Iterable[str], name: str) -> list[str]:
    """Return the files of a list among the files of a folder, sorted; also those of an earlier list of another length.

    >>> parts(["x.wav", "manifest-00000-of-00002.jsonl", "manifest.jsonl"], "manifest.jsonl")
    ['manifest-00000-of-00002.jsonl', 'manifest.jsonl']
    """
    stem, _, extension = name.rpartition(".")
    pattern = re.compile(rf"{re.escape(stem)}(-\d{{5}}-of-\d{{5}})?\.{re.escape(extension)}")
    return sorted(file for file in file_names if pattern.fullmatch(file))


def complete(file_names: Iterable[str], name: str) -> list[str]:
    """Return the files of a list in their order; none if there is no such list.

    Raises:
      UserError: a file is missing, or there are files of two lists, as after a job that was killed.
    """
    present = parts(file_names, name)
    if not present:
        return []
    count = 1 if name in present else int(present[-1].rpartition("-of-")[2].partition(".")[0])
    expected = names_of(name, count)
    if present == expected:
        return present
    if missing := sorted(set(expected) - set(present)):
        raise UserError(f"{missing[0]} is missing, beside {present[0]}")
    (other, *_) = sorted(set(present) - set(expected))
    raise UserError(f"{other} and {expected[0]} are of two lists")
