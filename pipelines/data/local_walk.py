"""One walk of a tree on this machine: the files that a glob or folder stands for, and an account of the rest."""

from __future__ import annotations

import collections
import os
import posixpath
import re
import stat
from collections.abc import Iterator

from pipelines import path_patterns
from pipelines.beam import filesystem
from pipelines.data.ignored_files import (
    BROKEN,
    CAPITALS,
    ENDING,
    IRREGULAR,
    METADATA,
    METADATA_FOLDERS,
    NAMED_FOLDER,
    RESULTS,
    SEEN_FOLDER,
    TRANSLATIONS,
    UNREADABLE,
    IgnoredFiles,
    is_metadata,
    read_output_names,
)


def walk_files(
    pattern: str, suffixes: frozenset[str], output_dir: str, left_out: IgnoredFiles
) -> Iterator[tuple[str, int]]:
    """Paths and sizes in bytes of the files that a pattern stands for.

    Args:
      pattern: a glob; a folder with a final slash and a file are escaped, see `globs.escape`.
      suffixes: lower-case endings of the files that a folder stands for.
      output_dir: where this command writes; see `listing.list_files`.
      left_out: counts what is met and is no input.
    """
    if not path_patterns.is_glob(pattern) and not pattern.endswith("/"):
        yield from _named_file(path_patterns.literal_prefix(pattern), left_out)
        return
    start = path_patterns.fixed_folder(pattern)
    if pattern.startswith("/") and not start:
        start = "/"
    yield from _Walk(pattern, start, suffixes, output_dir, left_out).files()


def _named_file(path: str, left_out: IgnoredFiles) -> Iterator[tuple[str, int]]:
    """A file that the user names, whatever its name."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            left_out.add(BROKEN, path)
        return
    except OSError:
        left_out.add(UNREADABLE, path)
        return
    if stat.S_ISREG(status.st_mode):
        yield path, status.st_size
    else:
        left_out.add(IRREGULAR, path)


class _Walk:
    """One walk of a local tree, real folders before links, so that a folder is listed under its own name."""

    def __init__(self, pattern: str, start: str, suffixes: frozenset[str], output_dir: str, left_out: IgnoredFiles):
        self.pattern, self.start, self.suffixes, self.left_out = pattern, start, suffixes, left_out
        self.whole = pattern.endswith("/")  # a folder: all below it, by ending
        self.parts = pattern.split("/")
        self.output = os.path.realpath(output_dir) if output_dir and not filesystem.is_remote(output_dir) else ""
        self.begin = os.path.realpath(start or ".")
        self.visited: set[tuple[int, int]] = set()
        self.results: set[str] = set()
        self.named: list[str] = []  # folders

    def files(self) -> Iterator[tuple[str, int]]:
        """Paths and sizes of the files that are meant."""
        if not os.path.isdir(self.start or "."):
            return
        count = 0
        for path_and_size in self._below([(self.start, self.whole)]):
            count += 1
            yield path_and_size
        if count:
            for path in self.named:
                self.left_out.add(NAMED_FOLDER, path)
        else:
            yield from self._below([(path, True) for path in self.named])

    def _below(self, folders: list[tuple[str, bool]]) -> Iterator[tuple[str, int]]:
        """The files in and below folders, each with whether it stands for all in it."""
        links: collections.deque[tuple[str, bool]] = collections.deque()
        while folders or links:
            folder, whole = folders.pop() if folders else links.popleft()
            for entry, path in self._entries(folder):
                yield from self._met(entry, path, whole, folders, links)

    def _entries(self, folder: str) -> list[tuple[os.DirEntry, str]]:
        """The entries of a folder that was not listed before, with their paths as the user would write them."""
        try:
            known = os.stat(folder or ".")
            if (known.st_dev, known.st_ino) in self.visited:
                self.left_out.add(SEEN_FOLDER, folder)
                return []
            self.visited.add((known.st_dev, known.st_ino))
            entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
        except OSError:
            self.left_out.add(UNREADABLE, folder)
            return []
        if any(entry.name == TRANSLATIONS for entry in entries):
            self._note_results(folder or ".")
        return [(entry, posixpath.join(folder, entry.name)) for entry in entries]

    def _note_results(self, folder: str) -> None:
        """Remembers the results of `translate` below a folder, unless the user names that folder as the input."""
        real = os.path.realpath(folder)
        if real == self.begin and real != self.output:
            return
        for name in read_output_names(folder):
            self.results.add(os.path.realpath(os.path.join(folder, name)))

    def _met(self, entry: os.DirEntry, path: str, whole: bool, folders: list, links) -> Iterator[tuple[str, int]]:
        try:
            status = entry.stat()
        except OSError:
            dead = entry.is_symlink() and not os.path.exists(entry.path)
            if whole or path_patterns.glob_to_regex(self.pattern).fullmatch(path):
                self.left_out.add(BROKEN if dead else UNREADABLE, path)
            return
        if stat.S_ISDIR(status.st_mode):
            self._folder(entry, path, whole, folders, links)
        elif self._is_meant(entry.name, path, whole, stat.S_ISREG(status.st_mode)):
            yield path, status.st_size

    def _folder(self, entry: os.DirEntry, path: str, whole: bool, folders: list, links) -> None:
        if not whole and self._is_named(path):
            self.named.append(path)
            return
        if not whole and not self._leads_on(path):
            return
        if entry.name.lower() in METADATA_FOLDERS:
            self.left_out.add(METADATA, path)
        elif self.output and os.path.realpath(path) == self.output and self.output != self.begin:
            self.left_out.add(RESULTS, path)
        elif entry.is_symlink():
            links.append((path, whole))
        else:
            folders.append((path, whole))

    def _is_named(self, path: str) -> bool:
        """Whether a glob without ``**`` names this folder."""
        return "**" not in self.pattern and bool(path_patterns.glob_to_regex(self.pattern).fullmatch(path))

    def _leads_on(self, path: str) -> bool:
        """Whether something below the folder may match."""
        if "**" in self.pattern:
            return True
        depth = path.count("/") + 1
        return depth < len(self.parts) and bool(
            path_patterns.glob_to_regex("/".join(self.parts[:depth])).fullmatch(path)
        )

    def _is_meant(self, name: str, path: str, whole: bool, regular: bool) -> bool:
        if not whole and not path_patterns.glob_to_regex(self.pattern).fullmatch(path):
            if regular and path_patterns.glob_to_regex(self.pattern, re.IGNORECASE).fullmatch(path):
                self.left_out.add(CAPITALS, path)
            return False
        if is_metadata(name):
            reason = METADATA
        elif not regular:
            reason = IRREGULAR
        elif self.results and os.path.realpath(path) in self.results:
            reason = RESULTS
        elif whole and posixpath.splitext(name)[1].lower() not in self.suffixes:
            reason = ENDING
        else:
            return True
        self.left_out.add(reason, path)
        return False
