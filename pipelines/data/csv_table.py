"""CSV tables from users: any common encoding and delimiter, as programs and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import math
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from models.errors import UserError

BYTE_ORDER_MARKS = {  # UTF-32 first: its mark starts with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FALLBACK_ENCODING = "cp1252"  # default of spreadsheets in Western Europe and America
DELIMITERS = ",;\t|"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a header.

    Attributes:
      path: path of the file.
      columns: names in the header.
      rows: line number and values by column of each row; short rows lack the last columns.
      delimiter: delimiter of the fields.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    delimiter: str = ","

    def parse_number(self, text: str) -> float:
        """Parse a number in a field; a decimal comma is allowed unless commas delimit fields.

        Raises:
          ValueError: it is not a number.
          UserError: it is not finite.

        >>> Table("x.csv", (), (), ";").parse_number("1,5")
        1.5
        """
        value = float(text if self.delimiter == "," else text.replace(",", "."))
        if not math.isfinite(value):
            raise UserError(f"{self.path}: {text}; wanted a finite number")
        return value

    def rows_by_id(self) -> RowsById:
        """Return the rows by the column `id`.

        Raises:
          UserError: two different rows have the same id.
        """
        rows: dict[str, Mapping[str, str]] = {}
        for line, row in self.rows:
            if rows.setdefault(row["id"], row) != row:
                raise UserError(
                    f"{self.path}, line {line}: a second row with the id {row['id']} and other values; wanted one"
                )
        return RowsById(rows)


class RowsById:
    """Rows by id; composed and decomposed accents are the same id (Unicode NFC and NFD)."""

    def __init__(self, rows: Mapping[str, Mapping[str, str]]):
        self.rows = rows
        self.composed = {unicodedata.normalize("NFC", name): row for name, row in rows.items()}

    def get(self, identifier: str) -> Mapping[str, str] | None:
        """Return the row of an id; None if there is none."""
        return self.rows.get(identifier) or self.composed.get(unicodedata.normalize("NFC", identifier))

    def get_all(self, path: str, identifiers: Iterable[str]) -> list[Mapping[str, str]]:
        """Return the rows of ids.

        Raises:
          UserError: an id has no row.
        """
        rows = {name: self.get(name) for name in identifiers}
        if missing := [name for name, row in rows.items() if row is None]:
            raise UserError(f"{path}: no row with the id {missing[0]}; {len(missing)} ids have none")
        return list(rows.values())


def read_table(path: str, required_columns: Sequence[str]) -> Table:
    """Read a table; arguments and errors as :func:`parse_table`.

    Raises:
      UserError: there is no such file.
      OSError: it cannot be read.
    """
    import tensorflow as tf  # which the lists of `preprocess` do not need

    from pipelines import files

    if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
        columns = ", ".join(required_columns)
        raise UserError(f"{path}: no such file; wanted a CSV file with the columns {columns}")
    return parse_table(path, files.read(path), required_columns)


def parse_table(path: str, content: bytes, required_columns: Sequence[str]) -> Table:
    """Parse a table.

    The byte-order mark determines the encoding; without one it is UTF-8, UTF-16 if there are zero bytes, or else
    `FALLBACK_ENCODING`, which is reported on stderr. The delimiter is the one of `DELIMITERS` by which the header
    has most of the required columns, or that of a first line ``sep=;`` as in Excel.

    Args:
      path: of the file, for error messages.
      content: of the file.
      required_columns: columns that the table must have.

    Raises:
      UserError: it is not text, or a required column is missing.
    """
    columns = ", ".join(required_columns)
    lines = _decode(path, content).splitlines(keepends=True)
    first = lines[0].strip('\r\n"') if lines else ""
    declared_delimiter = first[-1] if len(first) == 5 and first.lower().startswith("sep=") else ""
    text = "".join(lines[len(declared_delimiter) :])
    headers = {delimiter: _parse_header(text, delimiter) for delimiter in declared_delimiter or DELIMITERS}
    delimiter = max(
        headers, key=lambda candidate: (len(set(required_columns) & set(headers[candidate])), len(headers[candidate]))
    )
    header = headers[delimiter]
    if missing := [name for name in required_columns if name not in header]:
        raise UserError(f"{path}: no column {missing[0]}; wanted the columns {columns}; there are: {', '.join(header)}")
    if duplicate := [name for n, name in enumerate(header) if name and name in header[:n]]:
        raise UserError(f"{path}: two columns are named {duplicate[0]}; wanted unique names")
    return Table(
        path,
        tuple(header),
        tuple(_parse_rows(path, text, header, delimiter, skipped_lines=len(declared_delimiter))),
        delimiter,
    )


def _decode(path: str, content: bytes) -> str:
    """Decode the text of a file, see :func:`read_table`."""
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "")
    if not encoding and b"\0" in content[:4096]:
        encoding = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
    for candidate in (encoding,) if encoding else ("utf-8", FALLBACK_ENCODING):
        try:
            text = content.decode(candidate)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if candidate == FALLBACK_ENCODING:
            print(f"note: {path} is not UTF-8; decoded as {FALLBACK_ENCODING}", file=sys.stderr)
        return text
    raise UserError(
        f"{path} is not text in {encoding or f'UTF-8, UTF-16 or {FALLBACK_ENCODING}'}; wanted a CSV file in UTF-8"
    )


def _parse_header(text: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])]
    except csv.Error:
        return []


def _parse_rows(
    path: str, text: str, header: Sequence[str], delimiter: str, *, skipped_lines: int
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the rows below the header with their line numbers; skip empty rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        next(reader, None)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            line = reader.line_num + skipped_lines
            if any(field.strip() for field in fields[len(header) :]):
                counts = f"{len(fields)} fields under a header of {len(header)}"
                raise UserError(
                    f"{path}, line {line}: {counts}; wanted the same number; quote fields that contain the delimiter"
                )
            yield line, dict(zip(header, fields, strict=False))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + skipped_lines}: {error}; wanted a CSV file") from None
