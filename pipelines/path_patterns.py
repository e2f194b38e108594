"""Globs by Beam's rules, the same on every file system.

``*`` and ``?`` match within a folder, ``**`` across folders, ``**/`` any number of folders or none, ``[abc]`` one of
these characters; ``[[]``, ``[*]`` and ``[?]`` match the character itself, and so does a backslash.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
from collections.abc import Iterable

from models.errors import UserError


def expand_user(path: str) -> str:
    """Replace ``~`` or ``~user`` at the beginning of a path by the home directory, as a shell does.

    Raises:
      UserError: there is no such user and no such local name: a new folder would be named ``~user``.
    """
    full = os.path.expanduser(path)
    first = full.partition("/")[0]
    if full.startswith("~") and not is_glob(first) and not os.path.lexists(first):
        raise UserError(
            f"{path}: the home directory of {first} is unknown; wanted ./{first} for a name in the working directory"
        )
    return full


def escape(path: str) -> str:
    """Return a glob that matches only this path.

    >>> escape("a[1]*")
    'a[[]1][*]'
    """
    return re.sub(r"([\[*?])", r"[\1]", path)


def common_root(patterns: Iterable[str]) -> str:
    """Return the deepest folder above all matches of the globs, with a final slash; empty for the working directory.

    >>> common_root(["/x/a/*.wav", "/x/b/**.wav"])
    '/x/'
    """
    fixed_folders = [fixed_folder(pattern) for pattern in patterns]
    root = "/".join(posixpath.commonprefix([folder.split("/") for folder in fixed_folders]))
    return f"{root}/" if root or fixed_folders[0].startswith("/") else ""


def fixed_folder(pattern: str) -> str:
    """Return the folders of a glob before its first wildcard, unescaped, without a final slash."""
    return posixpath.dirname(literal_prefix(pattern))


def literal_prefix(pattern: str) -> str:
    """Return the part of a glob before its first wildcard, unescaped."""
    return re.sub(r"\[([\[*?])\]", r"\1", _raw_prefix(pattern))


def _raw_prefix(pattern: str) -> str:
    return re.match(r"(?:\[[\[*?]\]|[^\[*?])*", pattern).group()


def is_glob(pattern: str) -> bool:
    """Whether a pattern has a wildcard that is not escaped.

    >>> is_glob("a/[[]1]"), is_glob("a/*.wav")
    (False, True)
    """
    return _raw_prefix(pattern) != pattern


@functools.lru_cache(maxsize=256)
def glob_to_regex(pattern: str, flags: int = 0) -> re.Pattern:
    """Convert a glob to a regular expression for complete paths.

    >>> bool(glob_to_regex("a/**/*.wav").fullmatch("a/x.wav")), bool(glob_to_regex("a/*").fullmatch("a/b/c"))
    (True, False)
    """
    regex, position = "", 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            regex, position = regex + "(?:.*/)?", position + 3
        elif pattern.startswith("**", position):
            regex, position = regex + ".*", position + 2
        elif pattern[position] == "*":
            regex, position = regex + "[^/]*", position + 1
        elif pattern[position] == "?":
            regex, position = regex + "[^/]", position + 1
        elif (
            pattern[position] == "["
            and (close := pattern.find("]", position + (3 if pattern[position + 1 : position + 2] == "!" else 2))) > 0
        ):
            regex, position = regex + _bracket_regex(pattern[position + 1 : close]), close + 1
        else:
            regex, position = regex + re.escape(pattern[position]), position + 1
    return re.compile(regex, re.DOTALL | flags)


def _bracket_regex(text: str) -> str:
    r"""Convert the text between brackets to a regular expression; a reversed range matches nothing, as in shells.

    >>> _bracket_regex("a-c-"), _bracket_regex("!]"), _bracket_regex("c-a")
    ('[a-c\\-]', '[^\\]]', '(?!)')
    """
    negated, text = text.startswith("!"), text.removeprefix("!")
    ranges, position = [], 0
    while position < len(text):
        if text[position + 1 : position + 2] == "-" and position + 2 < len(text):
            first, last = text[position], text[position + 2]
            ranges += [f"{re.escape(first)}-{re.escape(last)}"] if first <= last else []
            position += 3
        else:
            ranges.append(re.escape(text[position]))
            position += 1
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"
