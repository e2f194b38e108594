"""Names that are met in a listing and are no input: why, and how they are counted for the user."""

from __future__ import annotations

import collections
import json
import os
import posixpath
from collections.abc import Iterable, Iterator

from pipelines.beam import filesystem

METADATA_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".localized", ".directory"}
METADATA_PREFIXES = ("._", filesystem.PART_PREFIX)
METADATA_FOLDERS = {"__macosx", "@eadir", ".git", ".svn", ".hg", ".trashes", ".spotlight-v100", ".fseventsd"}
METADATA_FOLDERS |= {".ipynb_checkpoints", ".appledouble", ".crossfade-work"}
TRANSLATIONS = "translations.jsonl"  # lies beside results of `translate`, which are no input of the next job
ENDING = "of other endings"
METADATA = "of metadata of an operating system or a tool"
BROKEN = "broken links"
SEEN_FOLDER = "links to a folder that is listed already"
SEEN_FILE = "that another pattern names already, spelt in another way"
UNREADABLE = "folders or files that cannot be read"
IRREGULAR = "neither files nor folders (pipes, devices)"
CAPITALS = "that differ from the pattern in capitals only"
RESULTS = "results of translate"
NAMED_FOLDER = "folders that the pattern names beside files; FOLDER/** would name what is in them"


class IgnoredFiles:
    """Names that were met and are no input, counted by reason, each reason with its first example."""

    def __init__(self):
        self.counts: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, str] = {}
        self.endings: collections.Counter[str] = collections.Counter()

    def add(self, reason: str, path: str) -> None:
        """One more."""
        self.counts[reason] += 1
        self.examples.setdefault(reason, path)
        if reason == ENDING:
            self.endings[posixpath.splitext(path)[1].lower() or "none"] += 1

    def described(self) -> str:
        """All counts in one line; nothing where there are none."""
        parts = []
        for reason, count in sorted(self.counts.items()):
            first = printable(self.examples[reason])
            if reason == ENDING:
                often = sorted(self.endings.items(), key=lambda item: (-item[1], item[0]))
                endings = ", ".join(f"{n} {ending}" for ending, n in often[:8])
                parts.append(f"{count} {reason} ({endings})")
            else:
                parts.append(f"{count} {reason} (the first: {first})")
        return "; ".join(parts)


def printable(path: str) -> str:
    """A path as it can be printed and encoded: bytes that are not UTF-8, and control characters, escaped."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def is_metadata(name: str) -> bool:
    """Whether a file of this name is written by an operating system or a tool, and is nobody's recording or picture.

    >>> is_metadata("._x.wav"), is_metadata(".x.wav")
    (True, False)
    """
    return name.lower() in METADATA_FILES or name.startswith(METADATA_PREFIXES)


def has_metadata_folder(names: Iterable[str]) -> bool:
    """Whether one of these folders belongs to an operating system or a tool."""
    return not METADATA_FOLDERS.isdisjoint(name.lower() for name in names)


def read_output_names(folder: str) -> Iterator[str]:
    """The results, relative to the folder, that `translate` lists there; none where the file is somebody else's."""
    try:
        with filesystem.open_file(posixpath.join(folder, TRANSLATIONS)) as file:
            for line in file:
                name = json.loads(line)["output"]
                if not isinstance(name, str) or "\0" in name:
                    return
                yield name
    except (OSError, ValueError, KeyError, TypeError):
        return
