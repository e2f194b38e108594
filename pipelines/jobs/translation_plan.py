"""`TranslationPlan`: the output of every input of `translate`, fixed before the job starts.

No two inputs share an output, no name is longer than file systems allow, and no output replaces a folder. An output has
the relative path of its input and the file extension of the output format. If several inputs would share an output, the
input that has exactly that name gets it, else the first one; the others keep their own extension before the new one. A
name that is too long or still collides is shortened and gets a hash of the relative path.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator

from models.errors import UserError
from pipelines.archives import archive_paths
from pipelines.beam import filesystem
from pipelines.data.file_table import FileEntry
from pipelines.data.ignored_files import printable
from pipelines.jobs import result_names

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
BEGIN;
CREATE TABLE files (id INTEGER PRIMARY KEY, path BLOB, name TEXT, size INTEGER, preferred TEXT);
CREATE TABLE folders (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE results (id INTEGER PRIMARY KEY, output TEXT UNIQUE, renamed TEXT, reason TEXT);
CREATE TABLE real_paths (real BLOB PRIMARY KEY, id INTEGER) WITHOUT ROWID;
CREATE TABLE objects (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE listed (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_INDICES = "CREATE INDEX by_path ON files (path); CREATE INDEX by_preferred ON files (preferred);"
_BY_PRIORITY = """
SELECT id, name, preferred, place FROM (
  SELECT *, row_number() OVER (PARTITION BY preferred ORDER BY name != preferred, path) AS place FROM files
) ORDER BY place > 1, path
"""
_ROWS = "SELECT path, output, renamed, reason, size FROM files JOIN results USING (id)"
_UNLISTED_ROWS = """
SELECT path, output, renamed, reason FROM files JOIN results USING (id)
WHERE output NOT IN (SELECT name FROM listed) ORDER BY id
"""


class TranslationPlan:
    """The plan of `translate`, in a temporary database on disk: memory does not grow with the number of files.

    A row of the plan has the `path` of an input, and either `output`, relative to the output directory, with `renamed`
    if it is not the preferred name, or `reason`, if there is none.

    Args:
      files: the inputs, each path once.
      root: folder that relative paths start from, with a final slash.
      suffix: file extension of the outputs.
      output_dir: output directory; its folders are not replaced.

    Raises:
      UserError: there is no space for the database; also by the methods.
    """

    def __init__(self, files: Iterable[FileEntry], root: str, suffix: str, output_dir: str):
        self._root, self._suffix, self._output_dir = root, suffix, output_dir
        self._is_listed = False
        self._has_folder = not filesystem.is_remote(output_dir) and os.path.isdir(output_dir)
        self._database = sqlite3.connect("", isolation_level=None)  # a file that is deleted when it is closed
        with _write_errors():
            self._database.executescript(_TABLES)
            self._database.executemany("INSERT INTO files VALUES (NULL, ?, ?, ?, ?)", self._inputs(files))
            self._database.executescript(_INDICES)
            results = map(self._result, self._database.execute(_BY_PRIORITY))
            self._database.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", results)

    def __len__(self) -> int:
        """Return the number of inputs."""
        return self._first("SELECT count(*) FROM files")

    def rows(self) -> Iterator[dict]:
        """Yield the rows in the order of the inputs."""
        return (_row(*columns) for *columns, _ in self._database.execute(f"{_ROWS} ORDER BY id"))

    def rows_by_size(self) -> Iterator[tuple[dict, int]]:
        """Yield the rows in the order of the sizes of the inputs, each with that size in bytes."""
        for *columns, size in self._database.execute(f"{_ROWS} ORDER BY size, path"):
            yield _row(*columns), size

    def overwritten_input(self) -> str | None:
        """Return the path of an input that an output would replace, or None."""
        for row in self.rows():
            path = posixpath.join(self._output_dir, row.get("output", ""))
            if "output" in row and (source := self._input_at(path)) is not None:
                return _path(source)
        return None

    def archive_in_place_of_folder(self) -> str | None:
        """Return the relative path of an archive in the output directory where results need a folder, or None."""
        for (name,) in self._database.execute("SELECT name FROM folders ORDER BY name").fetchall():
            if archive_paths.is_archive(name) and self._is_file(name):
                return name
        return None

    def _is_file(self, name: str) -> bool:
        if filesystem.is_remote(self._output_dir):
            return self.exists(name)
        return os.path.isfile(os.path.join(self._output_dir, name))

    def exists(self, name: str) -> bool:
        """Whether the output directory has a file of this relative path; a store is listed once, at the first call."""
        if not filesystem.is_remote(self._output_dir):
            return os.path.lexists(os.path.join(self._output_dir, name))
        if not self._is_listed:
            prefix = posixpath.join(self._output_dir, "")
            names = ((path.removeprefix(prefix),) for path, _ in filesystem.list_prefix(prefix))
            with _write_errors():
                self._database.executemany("INSERT OR IGNORE INTO objects VALUES (?)", names)
            self._is_listed = True
        return bool(self._first("SELECT EXISTS (SELECT 1 FROM objects WHERE name = ?)", name))

    def unlisted_outputs(self, listed: Iterable[str]) -> Iterator[str]:
        """Yield the outputs that exist in the output directory already and are not among the listed names."""
        with _write_errors():
            self._database.executemany("INSERT OR IGNORE INTO listed VALUES (?)", ((name,) for name in listed))
        outputs = (_row(*columns).get("output") for columns in self._database.execute(_UNLISTED_ROWS))
        return (name for name in outputs if name is not None and self.exists(name))

    def _inputs(self, files: Iterable[FileEntry]) -> Iterator[tuple]:
        """Yield the columns of the inputs; add the folders of their outputs."""
        folder = ""
        for entry in files:
            name = printable(entry.path.removeprefix(self._root))
            if posixpath.dirname(name) != folder:
                folder = posixpath.dirname(name)
                folders = ((each,) for each in result_names.parent_folders(name))
                self._database.executemany("INSERT OR IGNORE INTO folders VALUES (?)", folders)
            preferred = result_names.preferred_name(name, self._suffix)
            yield entry.path.encode(errors="surrogateescape"), name, entry.size, preferred

    def _result(self, columns: tuple[int, str, str, int]) -> tuple:
        """Return the columns of a result; called in the order of priority."""
        number, name, preferred, place = columns
        is_first = place == 1
        preferred = preferred if is_first else name + self._suffix
        output = preferred
        if not is_first and self._is_used(output) or not self._is_usable(output):
            output = result_names.hashed_name(preferred, name, self._suffix)
            if self._is_used(output) or not self._is_usable(output):
                return number, None, None, f"no free name for its output {preferred}; rename the file"
        return number, output, None if output == preferred else f"from {preferred}", None

    def _is_used(self, output: str) -> bool:
        """Whether an output is that of another input, or the preferred one of any."""
        query = """
        SELECT EXISTS (SELECT 1 FROM results WHERE output = ?) OR EXISTS (SELECT 1 FROM files WHERE preferred = ?)
        """
        return bool(self._first(query, output, output))

    def _is_usable(self, output: str) -> bool:
        """Whether a file name is short enough and no folder has that name."""
        if result_names.is_too_long(output):
            return False
        if self._first("SELECT EXISTS (SELECT 1 FROM folders WHERE name = ?)", output):
            return False
        return not (self._has_folder and os.path.isdir(os.path.join(self._output_dir, output)))

    def _input_at(self, path: str) -> bytes | None:
        """Return the input that a path of an output is, or None."""
        if filesystem.is_remote(path):
            return self._first("SELECT path FROM files WHERE path = ?", path.encode())
        if not os.path.lexists(path):
            return None
        if not self._first("SELECT EXISTS (SELECT 1 FROM real_paths)"):
            with _write_errors():
                self._database.executemany("INSERT OR IGNORE INTO real_paths VALUES (?, ?)", self._real_paths())
        real = os.fsencode(os.path.realpath(path))
        return self._first("SELECT path FROM real_paths JOIN files USING (id) WHERE real = ?", real)

    def _real_paths(self) -> Iterator[tuple[bytes, int]]:
        for number, content in self._database.execute("SELECT id, path FROM files"):
            if not filesystem.is_remote(path := _path(content)):
                yield os.fsencode(os.path.realpath(path)), number

    def _first(self, query: str, *arguments):
        """Return the first column of the first row of a query, or None."""
        row = self._database.execute(query, arguments).fetchone()
        return row[0] if row else None


@contextlib.contextmanager
def _write_errors() -> Iterator[None]:
    """Turn an error of the database, such as by a full disk, into a UserError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(f"the list of files cannot be written to {tempfile.gettempdir()}: {error}") from None


def _path(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _row(content: bytes, output: str | None, renamed: str | None, reason: str | None) -> dict:
    """Return a row of the plan; its reason is that the path is not UTF-8, if so: JSON cannot hold it."""
    path = _path(content)
    try:
        path.encode()
    except UnicodeEncodeError:
        return {"path": printable(path), "reason": "its name is not UTF-8; rename the file"}
    if reason:
        return {"path": path, "reason": reason}
    return {"path": path, "output": output} | ({"renamed": renamed} if renamed else {})
