"""Tables that users bring: CSV as programs and spreadsheets write it, whatever the encoding and the delimiter."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import math
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

import tensorflow as tf

from models.errors import UserError
from pipelines import files

BYTE_ORDER_MARKS = {  # byte-order marks; that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FALLBACK_ENCODING = "cp1252"  # of spreadsheets in Western Europe and America
DELIMITERS = ",;\t|"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a head.

    Attributes:
      path: where it was read.
      columns: the names in its head.
      rows: by the names of the columns, each with the number of its line; short rows lack the last columns.
      delimiter: what stands between fields.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    delimiter: str = ","

    def number(self, text: str) -> float:
        """A number in a field; with a decimal comma where commas do not divide fields.

        Raises:
          ValueError: it is none, or not finite.

        >>> Table("x.csv", (), (), ";").number("1,5")
        1.5
        """
        value = float(text if self.delimiter == "," else text.replace(",", "."))
        if not math.isfinite(value):
            raise UserError(f"{self.path}: {text}; wanted a finite number")
        return value

    def by_id(self) -> RowsById:
        """Its rows by the column `id`.

        Raises:
          UserError: two rows of one id that differ.
        """
        rows: dict[str, Mapping[str, str]] = {}
        for line, row in self.rows:
            if rows.setdefault(row["id"], row) != row:
                raise UserError(f"{self.path}, line {line}: {row['id']} again, with other values; wanted it once")
        return RowsById(rows)


class RowsById:
    """Rows by id, where an accent may be a character of its own or part of its letter (Unicode's NFD and NFC)."""

    def __init__(self, rows: Mapping[str, Mapping[str, str]]):
        self.rows = rows
        self.composed = {unicodedata.normalize("NFC", name): row for name, row in rows.items()}

    def get(self, identifier: str) -> Mapping[str, str] | None:
        """The row of an id; None where there is none."""
        return self.rows.get(identifier) or self.composed.get(unicodedata.normalize("NFC", identifier))

    def of_all(self, path: str, identifiers: Iterable[str]) -> list[Mapping[str, str]]:
        """The rows of ids.

        Raises:
          UserError: some have none.
        """
        rows = {name: self.get(name) for name in identifiers}
        if missing := [name for name, row in rows.items() if row is None]:
            raise UserError(f"{path}: nothing on {missing[0]} and {len(missing) - 1} other files")
        return list(rows.values())


def read_table(path: str, wanted: Sequence[str]) -> Table:
    """Reads a table.

    The encoding is told by the byte-order mark; without one it is UTF-8, UTF-16 where there are zero bytes, or else
    `FALLBACK`, which is said on stderr. The delimiter is the one of `DELIMITERS` by which the head holds the wanted
    columns; a first line ``sep=;``, as Excel takes it, names it too.

    Args:
      path: the file.
      wanted: columns that must be there.

    Raises:
      UserError: there is no such file, it is no text, or a wanted column is missing.
      OSError: it cannot be read.
    """
    columns = ", ".join(wanted)
    if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
        raise UserError(f"{path}: there is no such file; wanted a CSV with the columns {columns}")
    lines = _decode(path, files.read(path)).splitlines(keepends=True)
    first = lines[0].strip('\r\n"') if lines else ""
    named = first[-1] if len(first) == 5 and first.lower().startswith("sep=") else ""
    text = "".join(lines[len(named) :])
    heads = {delimiter: _parse_header(text, delimiter) for delimiter in named or DELIMITERS}
    delimiter = max(heads, key=lambda each: (len(set(wanted) & set(heads[each])), len(heads[each])))
    head = heads[delimiter]
    if lacking := [name for name in wanted if name not in head]:
        raise UserError(f"{path}: no column {lacking[0]}; wanted the columns {columns}; there are: {', '.join(head)}")
    if twice := [name for n, name in enumerate(head) if name and name in head[:n]]:
        raise UserError(f"{path}: two columns are called {twice[0]}; wanted each once")
    return Table(path, tuple(head), tuple(_parse_rows(path, text, head, delimiter, above=len(named))), delimiter)


def _decode(path: str, content: bytes) -> str:
    """The text of a file, see :func:`read`."""
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "")
    if not encoding and b"\0" in content[:4096]:
        encoding = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
    for each in (encoding,) if encoding else ("utf-8", FALLBACK_ENCODING):
        try:
            text = content.decode(each)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if each == FALLBACK_ENCODING:
            print(f"note: {path} is not UTF-8; read as {FALLBACK_ENCODING}", file=sys.stderr)
        return text
    raise UserError(
        f"{path} is no text in {encoding or f'UTF-8, UTF-16 or {FALLBACK_ENCODING}'}; wanted a CSV in UTF-8"
    )


def _parse_header(text: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])]
    except csv.Error:
        return []


def _parse_rows(
    path: str, text: str, head: Sequence[str], delimiter: str, *, above: int
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows below the head with the numbers of their lines, but those in which nothing stands."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        next(reader, None)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            line = reader.line_num + above
            if any(field.strip() for field in fields[len(head) :]):
                what = f"{len(fields)} fields under a head of {len(head)}"
                raise UserError(f"{path}, line {line}: {what}; wanted as many, or quotes around them")
            yield line, dict(zip(head, fields, strict=False))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + above}: {error}; wanted a CSV") from None
