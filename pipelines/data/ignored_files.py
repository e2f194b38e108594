"""Files that a listing ignores: the reasons, and their counts for the user."""

from __future__ import annotations

import collections
import json
import os
import posixpath
from collections.abc import Iterable, Iterator

from pipelines.beam import filesystem
from pipelines.data import file_kinds, long_lists, part_names

METADATA_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".localized", ".directory"}
METADATA_PREFIXES = ("._", filesystem.PART_PREFIX)
METADATA_FOLDERS = {"__macosx", "@eadir", ".git", ".svn", ".hg", ".trashes", ".spotlight-v100", ".fseventsd"}
METADATA_FOLDERS |= {".ipynb_checkpoints", ".appledouble", ".crossfade-work"}
TRANSLATIONS = "translations.jsonl"  # list of the results of `translate`, which are not inputs of a later job
EXTENSION = "files with other extensions"
METADATA = "metadata files of an operating system or a tool"
BROKEN = "broken links"
LISTED_FOLDER = "links to a folder that is already listed"
LISTED_FILE = "files already listed for another pattern, under another spelling of the path"
UNREADABLE = "unreadable folders or files"
IRREGULAR = "special files such as pipes or devices"
CAPITALS = "files that match the pattern except for upper and lower case"
RESULTS = "results of translate"
UNREADABLE_ARCHIVE = "archives that cannot be read"
DAMAGED_ARCHIVE = "archives that could not be read to their end"
EMPTY_ARCHIVE = "archives without files"
NAMED_FOLDER = "folders that match the pattern, as files do; use FOLDER/** for the files in them"


class IgnoredFiles:
    """Counts of ignored names by reason, each with its first example."""

    def __init__(self):
        self.counts: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, str] = {}
        self.endings: collections.Counter[str] = collections.Counter()

    def add(self, reason: str, path: str) -> None:
        """Count one more name."""
        self.counts[reason] += 1
        self.examples.setdefault(reason, path)
        if reason == EXTENSION:
            self.endings[posixpath.splitext(path)[1].lower() or "none"] += 1

    def summary(self) -> str:
        """Return all counts in one line; empty if there are none."""
        parts = []
        for reason, count in sorted(self.counts.items()):
            first = printable(self.examples[reason])
            if reason == EXTENSION:
                by_frequency = sorted(self.endings.items(), key=lambda item: (-item[1], item[0]))
                endings = ", ".join(f"{n} {ending}" for ending, n in by_frequency[:8])
                hint = file_kinds.unused_sound(self.endings)
                parts.append(f"{count} {reason} ({endings}{f'; {hint}' if hint else ''})")
            else:
                parts.append(f"{count} {reason} (the first: {first})")
        return "; ".join(parts)


def printable(path: str) -> str:
    """Escape control characters and bytes that are not UTF-8 in a path, so that it can be printed and encoded."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def is_metadata(name: str) -> bool:
    """Whether an operating system or a tool writes files of this name.

    >>> is_metadata("._x.wav"), is_metadata(".x.wav")
    (True, False)
    """
    return name.lower() in METADATA_FILES or name.startswith(METADATA_PREFIXES)


def has_metadata_folder(names: Iterable[str]) -> bool:
    """Whether one of these folder names is that of an operating system or a tool."""
    return not METADATA_FOLDERS.isdisjoint(name.lower() for name in names)


def is_translations(path: str) -> bool:
    """Whether a file is a list of the results of `translate`, or a part of a long one.

    >>> is_translations("x/translations.jsonl"), is_translations("translations-00000-of-00002.jsonl")
    (True, True)
    """
    return path.endswith(".jsonl") and bool(part_names.parts([posixpath.basename(path)], TRANSLATIONS))


def read_output_names(folder: str) -> Iterator[str]:
    """Yield the results, relative to the folder, that `translate` lists there; none if the file has another format."""
    try:
        for line in long_lists.read_lines(folder, TRANSLATIONS):
            name = json.loads(line)["output"]
            if not isinstance(name, str) or "\0" in name:
                return
            name.encode()  # ValueError for half of a surrogate pair, which no path has
            yield name
    except (OSError, ValueError, KeyError, TypeError):
        return
