"""Files of JSON lines: an object in each line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from models.errors import UserError


def parse(path: str, content: bytes, expected: str) -> Iterator[dict]:
    r"""Yield the objects; empty lines are skipped.

    Args:
      path: of the file, for the error message.
      content: of the file.
      expected: the expected content of a line, for the error message.

    Raises:
      UserError: a line is not a JSON object, such as a truncated one.

    >>> list(parse("x.jsonl", b'{"a": 1}\n\n{"a": 2}', "a number"))
    [{'a': 1}, {'a': 2}]
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number} is broken ({error}); wanted {expected}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number} is not a JSON object; wanted {expected}")
        yield row
