"""Lists of source files from users: CSV or JSON lines, one row for each file.

Columns: `path`, relative to the folder of the list, and `domain`; if known `label`, `speaker` and `split` (train, val
or test). `file_name`, as in the `metadata.csv` of Hugging Face datasets, is an alias of `path`. If the flag names the
domain of a list (`--list=NAME=FILE`), the list has one domain and needs no column `domain`.
"""

from __future__ import annotations

import collections
import os
import posixpath
from collections.abc import Iterator, Mapping

from models.errors import UserError
from pipelines import json_lines, path_patterns
from pipelines.beam import filesystem
from pipelines.data import csv_table, splits
from pipelines.data.file_table import FileEntry

SUFFIXES = (".csv", ".tsv", ".jsonl")
ALIASES = {"file_name": "path"}
EXPECTED = "an object with path and domain, and perhaps label, speaker and split"


def read_list(path: str, one_domain: str = "") -> dict[str, list[FileEntry]]:
    """Read a list.

    A file that does not exist is listed all the same; the job then reports it as a failure.

    Args:
      path: the list, local or remote.
      one_domain: name of the domain of all its files; empty if a column states it.

    Returns:
      The files of each domain, sorted by path, each once.

    Raises:
      UserError: it is not such a list, or a row lacks its path or domain, or has another split than those of `SPLITS`.
      OSError: it cannot be read.
    """
    folder = posixpath.dirname(path)
    entries: dict[str, dict[str, FileEntry]] = collections.defaultdict(dict)
    for line, fields in _rows(path, () if one_domain else ("domain",)):
        row = {ALIASES.get(name, name): value for name, value in fields.items()}
        where = f"{path}, line {line}"
        name, domain = _text(row, "path", where), one_domain or _text(row, "domain", where)
        for key, value in (("path", name), ("domain", domain)):
            if not value:
                raise UserError(f"{where}: no {key}; wanted {EXPECTED}")
        split = _text(row, "split", where)
        if split and split not in splits.SPLITS:
            raise UserError(f"{where}: split {split}; wanted one of {', '.join(splits.SPLITS)}")
        full = _full_path(path_patterns.expand_user(name), folder)
        entry = FileEntry(full, _size(full), _text(row, "label", where), _text(row, "speaker", where), split)
        if entries[domain].setdefault(full, entry) != entry:
            raise UserError(f"{where}: a second row of {name} with other values; wanted one")
    if not entries:
        raise UserError(f"{path}: no rows; wanted one for each file")
    return {domain: sorted(files.values(), key=lambda entry: entry.path) for domain, files in entries.items()}


def _rows(path: str, required: tuple[str, ...]) -> Iterator[tuple[int, Mapping]]:
    """Yield line numbers and rows of a list with the required columns."""
    suffix = posixpath.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise UserError(f"--list={path}; wanted a file that ends with {', '.join(SUFFIXES)}")
    if not filesystem.exists(path):
        raise UserError(f"{path}: no such file; wanted a list with {EXPECTED}")
    with filesystem.open_file(path) as file:
        content = file.read()
    if suffix == ".jsonl":
        yield from enumerate(json_lines.parse(path, content, EXPECTED), start=1)
        return
    table = csv_table.parse_table(path, content, required)
    if not {"path", *ALIASES} & set(table.columns):
        raise UserError(f"{path}: no column path; it has {', '.join(table.columns)}")
    yield from table.rows


def _text(row: Mapping, key: str, where: str) -> str:
    value = row.get(key)
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if isinstance(value, int):
        return str(value)  # a label or speaker that is a number
    raise UserError(f"{where}: {key} {value!r}; wanted a text")


def _full_path(path: str, folder: str) -> str:
    if filesystem.is_remote(path) or posixpath.isabs(path) or not folder:
        return path
    return posixpath.join(folder, path)


def _size(path: str) -> int:
    """Size of a local file; 0 if it does not exist or is remote, which would cost a request a file."""
    try:
        return 0 if filesystem.is_remote(path) else os.stat(path).st_size
    except OSError:
        return 0
