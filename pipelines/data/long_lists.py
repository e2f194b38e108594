"""Lists of JSON lines in a folder, in one file or, if they are long, in several; see `part_names`."""

from __future__ import annotations

import contextlib
import itertools
import posixpath
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from pipelines.beam import filesystem
from pipelines.data import part_names, tfrecord


def write_list(folder: str, name: str, rows: Iterable[Mapping]) -> None:
    """Write a list in files of at most `part_names.MAX_LINES` rows, and delete what is left of an earlier one.

    The number of rows is unknown before the last of them, so that they wait in temporary files.

    Args:
      folder: local or remote.
      name: of the list, such as "manifest.jsonl".
      rows: the rows.

    Raises:
      OSError: a file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        chunks = list(_temporary_files(tfrecord.json_lines(rows), stack))
        names = part_names.names_of(name, len(chunks))
        for file_name, chunk in zip(names, chunks, strict=True):
            chunk.seek(0)
            with filesystem.new_file(posixpath.join(folder, file_name)) as file:
                shutil.copyfileobj(chunk, file)
    filesystem.delete([path for path in list_parts(folder, name) if posixpath.basename(path) not in names])


def _temporary_files(lines: Iterable[str], stack: contextlib.ExitStack) -> Iterator[BinaryIO]:
    """Yield files with `part_names.MAX_LINES` lines each, one empty file if there are no lines; `stack` closes them."""
    encoded = (line.encode() for line in lines)
    first: bytes | None = next(encoded, b"")
    while first is not None:
        chunk = stack.enter_context(tempfile.TemporaryFile())
        chunk.write(first)
        chunk.writelines(itertools.islice(encoded, part_names.MAX_LINES - 1))
        yield chunk
        first = next(encoded, None)


def list_parts(folder: str, name: str) -> list[str]:
    """Return the paths of all files of a list in a folder, also of those of an earlier list of another length."""
    if filesystem.is_remote(folder):
        prefix = posixpath.join(folder, "")
        objects = filesystem.list_prefix(prefix + name.rpartition(".")[0])
        names = [path.removeprefix(prefix) for path, _ in objects]
    else:
        names = list(map(posixpath.basename, filesystem.list_folder(folder)))
    return [posixpath.join(folder, file_name) for file_name in part_names.parts(names, name)]


def read_lines(folder: str, name: str) -> Iterator[bytes]:
    """Yield the lines of all files of a list in a folder, none if there are none; one line is in memory.

    Raises:
      OSError: a file cannot be read.
    """
    for path in list_parts(folder, name):
        with filesystem.open_file(path) as file:
            yield from file
