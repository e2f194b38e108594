"""Fields of configuration dataclasses that carry their own help text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def option(default: Any, help_text: str) -> Any:
    """Return a dataclass field with a default and the help text that ``--plugin=NAME --help`` prints.

    Args:
      default: an immutable value.
      help_text: what the key sets, with its unit.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     hop_length: int = option(256, "samples between frames")
    >>> Config().hop_length, help_texts(Config)
    (256, {'hop_length': 'samples between frames'})
    """
    return dataclasses.field(default=default, metadata={"help": help_text})


def help_texts(cls: type) -> Mapping[str, str]:
    """Return the help texts of a dataclass by field name.

    A field that a subclass declares again without :func:`option`, such as to change its default, inherits the text.
    Fields without a text in any class are left out.
    """
    return {
        field.name: field.metadata["help"]
        for parent in reversed(cls.__mro__)
        for field in vars(parent).get("__dataclass_fields__", {}).values()
        if "help" in field.metadata
    }
