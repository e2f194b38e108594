"""Walk of a local tree: the files of a glob or folder, and a summary of what is ignored."""

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
    EXTENSION,
    IRREGULAR,
    LISTED_FOLDER,
    METADATA,
    METADATA_FOLDERS,
    NAMED_FOLDER,
    RESULTS,
    UNREADABLE,
    IgnoredFiles,
    is_metadata,
    lists_results,
    read_output_names,
)


def walk_files(
    pattern: str, suffixes: frozenset[str], output_dir: str, ignored: IgnoredFiles
) -> Iterator[tuple[str, int]]:
    """Yield paths and sizes in bytes of the files of a pattern.

    Args:
      pattern: a glob; the names of a folder, with a final slash, and of a file are escaped, see `path_patterns.escape`.
      suffixes: lower-case extensions of the files that a folder stands for.
      output_dir: output directory of this command, see `file_listing.list_files`.
      ignored: counts the names that are not inputs.
    """
    if not path_patterns.is_glob(pattern) and not pattern.endswith("/"):
        yield from _named_file(path_patterns.literal_prefix(pattern), ignored)
        return
    start = path_patterns.fixed_folder(pattern)
    if pattern.startswith("/") and not start:
        start = "/"
    yield from _Walk(pattern, start, suffixes, output_dir, ignored).files()


def _named_file(path: str, ignored: IgnoredFiles) -> Iterator[tuple[str, int]]:
    """Yield the path and size of a file that the user names, whatever its extension."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            ignored.add(BROKEN, path)
        return
    except OSError:
        ignored.add(UNREADABLE, path)
        return
    if stat.S_ISREG(status.st_mode):
        yield path, status.st_size
    else:
        ignored.add(IRREGULAR, path)


class _Walk:
    """One walk of a local tree; real folders come before links, so that a folder is listed under its own name."""

    def __init__(self, pattern: str, start: str, suffixes: frozenset[str], output_dir: str, ignored: IgnoredFiles):
        self.pattern, self.start, self.suffixes, self.ignored = pattern, start, suffixes, ignored
        self.is_folder = pattern.endswith("/")  # whether the pattern is a folder: known files below it
        self.parts = pattern.split("/")
        self.output = os.path.realpath(output_dir) if output_dir and not filesystem.is_remote(output_dir) else ""
        self.real_start = os.path.realpath(start or ".")
        self.visited: set[tuple[int, int]] = set()
        self.results: set[str] = set()
        self.matched_folders: list[str] = []  # folders that match the pattern

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield paths and sizes of the files."""
        if not os.path.isdir(self.start or "."):
            return
        count = 0
        for path_and_size in self._walk([(self.start, self.is_folder)]):
            count += 1
            yield path_and_size
        if count:
            for path in self.matched_folders:
                self.ignored.add(NAMED_FOLDER, path)
        else:
            yield from self._walk([(path, True) for path in self.matched_folders])

    def _walk(self, folders: list[tuple[str, bool]]) -> Iterator[tuple[str, int]]:
        """Yield the files in and below folders; each folder comes with whether all known files in it are inputs."""
        links: collections.deque[tuple[str, bool]] = collections.deque()
        while folders or links:
            folder, take_all = folders.pop() if folders else links.popleft()
            for name in self._names(folder):
                yield from self._visit(name, posixpath.join(folder, name), take_all, folders, links)

    def _names(self, folder: str) -> list[str]:
        """Return the names in a folder that was not visited before, sorted; `os.DirEntry` keeps 1 kB for each."""
        try:
            status = os.stat(folder or ".")
            if (status.st_dev, status.st_ino) in self.visited:
                self.ignored.add(LISTED_FOLDER, folder)
                return []
            self.visited.add((status.st_dev, status.st_ino))
            names = sorted(entry.name for entry in os.scandir(folder or "."))
        except OSError:
            self.ignored.add(UNREADABLE, folder)
            return []
        if lists_results(names):
            self._note_results(folder or ".")
        return names

    def _note_results(self, folder: str) -> None:
        """Store the results of `translate` below a folder, unless that folder is the input."""
        real = os.path.realpath(folder)
        if real == self.real_start and real != self.output:
            return
        for name in read_output_names(folder):
            self.results.add(os.path.realpath(os.path.join(folder, name)))

    def _visit(self, name: str, path: str, take_all: bool, folders: list, links) -> Iterator[tuple[str, int]]:
        try:
            status = os.stat(path)
        except OSError:
            is_broken = os.path.islink(path) and not os.path.exists(path)
            if take_all or path_patterns.glob_to_regex(self.pattern).fullmatch(path):
                self.ignored.add(BROKEN if is_broken else UNREADABLE, path)
            return
        if stat.S_ISDIR(status.st_mode):
            self._visit_folder(name, path, take_all, folders, links)
        elif self._is_input(name, path, take_all, stat.S_ISREG(status.st_mode)):
            yield path, status.st_size

    def _visit_folder(self, name: str, path: str, take_all: bool, folders: list, links) -> None:
        if not take_all and self._matches_folder(path):
            self.matched_folders.append(path)
            return
        if not take_all and not self._may_contain_matches(path):
            return
        if name.lower() in METADATA_FOLDERS:
            self.ignored.add(METADATA, path)
        elif self.output and os.path.realpath(path) == self.output and self.output != self.real_start:
            self.ignored.add(RESULTS, path)
        elif os.path.islink(path):
            links.append((path, take_all))
        else:
            folders.append((path, take_all))

    def _matches_folder(self, path: str) -> bool:
        """Whether a glob without ``**`` matches this folder."""
        return "**" not in self.pattern and bool(path_patterns.glob_to_regex(self.pattern).fullmatch(path))

    def _may_contain_matches(self, path: str) -> bool:
        """Whether something below the folder may match."""
        if "**" in self.pattern:
            return True
        depth = path.count("/") + 1
        return depth < len(self.parts) and bool(
            path_patterns.glob_to_regex("/".join(self.parts[:depth])).fullmatch(path)
        )

    def _is_input(self, name: str, path: str, take_all: bool, regular: bool) -> bool:
        if not take_all and not path_patterns.glob_to_regex(self.pattern).fullmatch(path):
            if regular and path_patterns.glob_to_regex(self.pattern, re.IGNORECASE).fullmatch(path):
                self.ignored.add(CAPITALS, path)
            return False
        if is_metadata(name):
            reason = METADATA
        elif not regular:
            reason = IRREGULAR
        elif self.results and os.path.realpath(path) in self.results:
            reason = RESULTS
        elif take_all and posixpath.splitext(name)[1].lower() not in self.suffixes:
            reason = EXTENSION
        else:
            return True
        self.ignored.add(reason, path)
        return False
