"""Globs, by the rules of Beam's and on every file system alike.

``*`` and ``?`` stay within a folder, ``**`` crosses folders, ``**/`` stands for any folders, none included, ``[abc]``
is one of these characters; ``[[]``, ``[*]`` and ``[?]`` stand for themselves, and so does a backslash.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
from collections.abc import Iterable

from models.errors import UserError


def expand_user(path: str) -> str:
    """A path with ``~`` and ``~user`` replaced by the home directory, as a shell does at the beginning of a word.

    Raises:
      UserError: there is no such user, and nothing of that name here: a new folder would be called ``~user``.
    """
    full = os.path.expanduser(path)
    first = full.partition("/")[0]
    if full.startswith("~") and not is_glob(first) and not os.path.lexists(first):
        raise UserError(f"{path}: no home directory of {first} is known; ./{first} would be a name of this folder")
    return full


def escape(path: str) -> str:
    """A glob that stands for this path alone.

    >>> escape("a[1]*")
    'a[[]1][*]'
    """
    return re.sub(r"([\[*?])", r"[\1]", path)


def common_root(patterns: Iterable[str]) -> str:
    """The folder above all that the globs can name, with a final slash; empty for the working directory.

    >>> root_of(["/x/a/*.wav", "/x/b/**.wav"])
    '/x/'
    """
    fixed = [fixed_folder(pattern) for pattern in patterns]
    root = "/".join(posixpath.commonprefix([folder.split("/") for folder in fixed]))
    return f"{root}/" if root or fixed[0].startswith("/") else ""


def fixed_folder(pattern: str) -> str:
    """The folders of a glob before its first wildcard, unescaped, without a final slash."""
    return posixpath.dirname(literal_prefix(pattern))


def literal_prefix(pattern: str) -> str:
    """What a pattern says before its first wildcard, unescaped."""
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
    """A glob as a regular expression for whole paths.

    >>> bool(regex_of("a/**/*.wav").fullmatch("a/x.wav")), bool(regex_of("a/*").fullmatch("a/b/c"))
    (True, False)
    """
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out, at = out + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif pattern[at] == "?":
            out, at = out + "[^/]", at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + (3 if pattern[at + 1 : at + 2] == "!" else 2))) > 0:
            out, at = out + _bracket_regex(pattern[at + 1 : end]), end + 1
        else:
            out, at = out + re.escape(pattern[at]), at + 1
    return re.compile(out, re.DOTALL | flags)


def _bracket_regex(inside: str) -> str:
    r"""The regular expression of what is between brackets; a range that runs backwards holds nothing, as in shells.

    >>> _characters("a-c-"), _characters("!]"), _characters("c-a")
    ('[a-c\\-]', '[^\\]]', '(?!)')
    """
    negated, inside = inside.startswith("!"), inside.removeprefix("!")
    ranges, at = [], 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            first, last = inside[at], inside[at + 2]
            ranges += [f"{re.escape(first)}-{re.escape(last)}"] if first <= last else []
            at += 3
        else:
            ranges.append(re.escape(inside[at]))
            at += 1
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"
