"""Tables of classes and functions by name, built in or installed; none is imported before it is loaded.

Built-in entries are listed as strings, others are found through an entry-point group. Both become
`importlib.metadata.EntryPoint` objects, which are loaded the same way in the launcher and on workers.
"""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from models.errors import UserError


def available(group: str, built_in: Mapping[str, str], kind: str) -> dict[str, importlib.metadata.EntryPoint]:
    """Every entry by name, built in or installed, sorted.

    Args:
      group: the entry-point group.
      built_in: name to `module:Class` or `module:function`.
      kind: what the entries are, in the singular, for messages.

    Raises:
      UserError: two distributions offer the same name.
    """
    points = [importlib.metadata.EntryPoint(name, value, group) for name, value in built_in.items()]
    table: dict[str, importlib.metadata.EntryPoint] = {}
    for point in [*points, *importlib.metadata.entry_points(group=group)]:
        if point.name in table and table[point.name].value != point.value:
            places = f"{table[point.name].value} and {point.value}"
            raise UserError(f"two {kind}s are called {point.name!r}: {places}; uninstall one or rename it")
        table[point.name] = point
    return dict(sorted(table.items()))


def load(name: str, table: Mapping[str, importlib.metadata.EntryPoint], kind: str) -> Any:
    """The class or function of that name.

    Args:
      name: of the entry.
      table: from :func:`available`.
      kind: what the entries are, in the singular, for messages.

    Raises:
      UserError: there is none (the message names the nearest), or its module does not import.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(table)}"
        raise UserError(f"no {kind} is called {name!r}; {hint}")
    try:
        return table[name].load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"{kind} {name!r} ({table[name].value}) does not load: {error}") from error
