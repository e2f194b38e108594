"""`FileTable`: sorted files in a temporary file on disk, so that memory does not grow with their number."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import itertools
import json
import operator
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO

RUN_FILES = 20_000  # files that are sorted in memory at a time
MAX_RUNS = 64  # sorted runs that are merged at a time
LINE_FILES = 200  # files in one line of a temporary file


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """A listed file.

    Attributes:
      path: its path.
      size: its size in bytes; 0 if unknown.
      label: its label by a list of the user; empty for the name of its folder.
      speaker: its speaker by a list of the user; empty if unknown.
      split: its split by a list of the user; empty if a hash decides on it.
    """

    path: str
    size: int
    label: str = ""
    speaker: str = ""
    split: str = ""


_FIELDS = operator.attrgetter(*(field.name for field in dataclasses.fields(FileEntry)))


class FileTable(Collection):
    """Files, sorted by path, each path once.

    Up to `RUN_FILES` files stay in memory. More are sorted in runs, which are merged into one temporary file; it is
    deleted with the table.

    Args:
      entries: files in any order; of several with the same path the first one counts.

    Attributes:
      total_bytes: size of all files, in bytes.
    """

    def __init__(self, entries: Iterable[FileEntry] = ()):
        with contextlib.ExitStack() as stack:
            files = iter(_runs(entries, stack))
            self._first = list(itertools.islice(files, RUN_FILES + 1))
            self._count, self.total_bytes = len(self._first), sum(entry.size for entry in self._first)
            self._rest: BinaryIO | None = None
            if self._count > RUN_FILES:
                self._rest = _new_file(self._counted(files))
                weakref.finalize(self, self._rest.close)

    def _counted(self, files: Iterable[FileEntry]) -> Iterator[FileEntry]:
        for entry in files:
            self._count += 1
            self.total_bytes += entry.size
            yield entry

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[FileEntry]:
        yield from self._first
        if self._rest:
            with open(self._rest.name, "rb") as file:
                yield from _read(file)

    def __contains__(self, entry: object) -> bool:
        return any(entry == each for each in self)


def _runs(entries: Iterable[FileEntry], stack: contextlib.ExitStack) -> Iterator[FileEntry]:
    """Yield the files sorted by path, each path once; temporary files are closed with `stack`."""
    by_path, runs, entries = operator.attrgetter("path"), [], iter(entries)
    while run := sorted(itertools.islice(entries, RUN_FILES), key=by_path):
        if len(runs) == MAX_RUNS:
            runs = [stack.enter_context(_new_file(heapq.merge(*map(_read, runs), key=by_path)))]
        runs.append(run if not runs and len(run) < RUN_FILES else stack.enter_context(_new_file(run)))
    merged = heapq.merge(*(run if isinstance(run, list) else _read(run) for run in runs), key=by_path)
    for _, same in itertools.groupby(merged, key=by_path):  # merging is stable: the first one comes first
        yield next(same)


def _new_file(entries: Iterable[FileEntry]) -> BinaryIO:
    """Write files to a temporary file, which is deleted when it is closed."""
    rows, file = map(_FIELDS, entries), tempfile.NamedTemporaryFile(prefix="crossfade-files-")
    while chunk := list(itertools.islice(rows, LINE_FILES)):
        file.write(f"{json.dumps(chunk)}\n".encode())
    file.flush()
    return file


def _read(file: BinaryIO) -> Iterator[FileEntry]:
    file.seek(0)
    for line in file:
        for row in json.loads(line):
            yield FileEntry(*row)
