"""Files that a listing ignores: the reasons, and their counts for the user."""

from __future__ import annotations

import collections
import json
import os
import posixpath
from collections.abc import Iterable, Iterator

from pipelines.beam import filesystem, rows
from pipelines.data import file_kinds, long_lists, part_names

METADATA_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".localized", ".directory"}
METADATA_PREFIXES = ("._", filesystem.PART_PREFIX)
METADATA_FOLDERS = {"__macosx", "@eadir", ".git", ".svn", ".hg", ".trashes", ".spotlight-v100", ".fseventsd"}
METADATA_FOLDERS |= {".ipynb_checkpoints", ".appledouble", rows.WORK_FOLDER}
TRANSLATIONS = "translations.jsonl"  # list of the results of `translate`, which are not inputs of a later job
PLAN = "plan"  # work items of `translate`; if it did not finish, they name its results
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


def results_folder(path: str) -> str | None:
    """Return the folder whose results a file lists; None if it is no list of results of `translate`.

    It is the list of a finished job, or a part of a long one, or a file of the plan of a job that did not finish.

    >>> results_folder("x/translations.jsonl"), results_folder("x/translations-00000-of-00002.jsonl")
    ('x', 'x')
    >>> results_folder("x/.crossfade-work/plan-00000"), results_folder("x/plan-00000")
    ('x', None)
    """
    folder, name = posixpath.split(path)
    if posixpath.basename(folder) == rows.WORK_FOLDER:
        return posixpath.dirname(folder) if rows.has_name(path, PLAN) else None
    return folder if part_names.parts([name], TRANSLATIONS) else None


def lists_results(names: list[str]) -> bool:
    """Whether a folder with these files and folders may have results that :func:`read_output_names` yields."""
    return rows.WORK_FOLDER in names or bool(part_names.parts(names, TRANSLATIONS))


def read_output_names(folder: str) -> Iterator[str]:
    """Yield the results, relative to the folder, that `translate` lists there; none of a list of another format.

    If a job did not finish, its plan lists results, some of which may not exist.
    """
    yield from _output_names(map(json.loads, long_lists.read_lines(folder, TRANSLATIONS)))
    yield from _output_names(_planned_results(folder))


def _planned_results(folder: str) -> Iterator[dict]:
    for batch in rows.read_rows(folder, PLAN):
        yield from (row for row in batch["files"] if "output" in row)


def _output_names(results: Iterable[dict]) -> Iterator[str]:
    try:
        for row in results:
            name = row["output"]
            if not isinstance(name, str) or "\0" in name:
                return
            name.encode()  # ValueError for half of a surrogate pair, which no path has
            yield name
    except (OSError, ValueError, KeyError, TypeError):
        return
