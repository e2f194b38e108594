"""The files that a folder, a file name or a glob stands for: one walk of the tree, and an account of what is left out.

Globs follow the rules of :mod:`pipelines.globs`. Where a glob without ``**`` names folders only, these stand for the
known files in and below them.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Iterator

from models.errors import UserError
from pipelines import globs
from pipelines.beam import filesystem

METADATA_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".localized", ".directory"}
METADATA_PREFIXES = ("._", filesystem.PART)
METADATA_FOLDERS = {"__macosx", "@eadir", ".git", ".svn", ".hg", ".trashes", ".spotlight-v100", ".fseventsd"}
METADATA_FOLDERS |= {".ipynb_checkpoints", ".appledouble", ".crossfade-work"}
TRANSLATIONS = "translations.jsonl"  # lies beside results of `translate`, which are no input of the next job

ENDING = "of other endings"
METADATA = "of metadata of an operating system or a tool"
BROKEN = "broken links"
SEEN_FOLDER = "links to a folder that is listed already"
UNREADABLE = "folders or files that cannot be read"
IRREGULAR = "neither files nor folders (pipes, devices)"
CAPITALS = "that differ from the pattern in capitals only"
RESULTS = "results of translate"
NAMED_FOLDER = "folders that the pattern names beside files; FOLDER/** would name what is in them"


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as it was listed.

    Attributes:
      path: where it is.
      size: bytes.
    """

    path: str
    size: int


class LeftOut:
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
                endings = ", ".join(f"{n} {ending}" for ending, n in self.endings.most_common(8))
                parts.append(f"{count} {reason} ({endings})")
            else:
                parts.append(f"{count} {reason} (the first: {first})")
        return "; ".join(parts)


@dataclasses.dataclass
class Listing:
    """What patterns stand for.

    Attributes:
      root: the folder that relative paths begin at, with a final slash; empty for the working directory.
      files: sorted by path, each once.
      left_out: the names that are no input.
    """

    root: str
    files: list[FileEntry]
    left_out: LeftOut

    @property
    def paths(self) -> list[str]:
        """The paths of the files."""
        return [entry.path for entry in self.files]

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(entry.size for entry in self.files)


def printable(path: str) -> str:
    """A path as it can be printed and encoded: bytes that are not UTF-8, and control characters, escaped."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def list_files(patterns: Iterable[str], suffixes: Collection[str], *, output_dir: str = "") -> Listing:
    """Lists the files of folders, file names and globs; every tree is walked once.

    Args:
      patterns: what the user gave; ``~`` is expanded.
      suffixes: lower-case endings of the files that a folder stands for. A glob stands for whatever it matches.
      output_dir: where this command writes. A folder below the input is then no input, and of the input folder itself
        the results of an earlier command are none.

    Raises:
      UserError: a remote store refuses the listing.
    """
    patterns = [_as_folder(filesystem.expanded(pattern)) for pattern in patterns]
    left_out = LeftOut()
    found: dict[str, int] = {}
    for pattern in dict.fromkeys(patterns):
        walk = _remote if filesystem.is_remote(pattern) else _local
        for path, size in walk(pattern, frozenset(suffixes), filesystem.expanded(output_dir), left_out):
            found[path] = size
    files = [FileEntry(path, found[path]) for path in sorted(found)]
    return Listing(globs.root_of(patterns), files, left_out)


def _as_folder(pattern: str) -> str:
    """The pattern; an existing local folder gets a final slash, and what is no glob there is escaped."""
    if filesystem.is_remote(pattern):
        return pattern
    pattern = re.sub("//+", "/", pattern)
    if os.path.isdir(pattern):
        return f"{globs.escape(pattern.rstrip('/'))}/"
    return globs.escape(pattern) if os.path.lexists(pattern) else pattern


def _is_metadata(name: str) -> bool:
    return name.lower() in METADATA_FILES or name.startswith(METADATA_PREFIXES)


# ------------------------------------------------------------------ remote stores


def _remote(pattern: str, suffixes: frozenset[str], output_dir: str, left_out: LeftOut) -> Iterator[tuple[str, int]]:
    """Objects of a store that knows names but no folders: a glob, an object, or all below a name."""
    literal = globs.literal_prefix(pattern)
    if globs.is_glob(pattern):
        yield from _remote_glob(pattern, literal, left_out)
        return
    size = filesystem.size_of(literal)
    if size is not None and not literal.endswith("/"):
        yield literal, size
        return
    folder, output = f"{literal.rstrip('/')}/", f"{output_dir.rstrip('/')}/"
    for path, size in filesystem.list_prefix(folder):
        name = posixpath.basename(path)
        if not name:
            continue  # the marker that some tools leave for a folder
        if _is_metadata(name) or _in_metadata_folder(path.removeprefix(folder)):
            left_out.add(METADATA, path)
        elif output_dir and output != folder and path.startswith(output):
            left_out.add(RESULTS, path)
        elif posixpath.splitext(name)[1].lower() not in suffixes:
            left_out.add(ENDING, path)
        else:
            yield path, size


def _remote_glob(pattern: str, literal: str, left_out: LeftOut) -> Iterator[tuple[str, int]]:
    for path, size in filesystem.list_prefix(literal):
        if not globs.regex_of(pattern).fullmatch(path):
            if globs.regex_of(pattern, re.IGNORECASE).fullmatch(path):
                left_out.add(CAPITALS, path)
        elif _is_metadata(posixpath.basename(path)) or _in_metadata_folder(path.removeprefix(literal)):
            left_out.add(METADATA, path)
        elif posixpath.basename(path):
            yield path, size


def _in_metadata_folder(relative: str) -> bool:
    return not METADATA_FOLDERS.isdisjoint(folder.lower() for folder in relative.split("/")[:-1])


# ------------------------------------------------------------------ this machine


def _local(pattern: str, suffixes: frozenset[str], output_dir: str, left_out: LeftOut) -> Iterator[tuple[str, int]]:
    if not globs.is_glob(pattern) and not pattern.endswith("/"):
        yield from _named(globs.literal_prefix(pattern), left_out)
        return
    start = globs.fixed_folder(pattern)
    if pattern.startswith("/") and not start:
        start = "/"
    yield from _Walk(pattern, start, suffixes, output_dir, left_out).files()


def _named(path: str, left_out: LeftOut) -> Iterator[tuple[str, int]]:
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

    def __init__(self, pattern: str, start: str, suffixes: frozenset[str], output_dir: str, left_out: LeftOut):
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
        for found in self._below([(self.start, self.whole)]):
            count += 1
            yield found
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
        for name in translated_names(folder):
            self.results.add(os.path.realpath(os.path.join(folder, name)))

    def _met(self, entry: os.DirEntry, path: str, whole: bool, folders: list, links) -> Iterator[tuple[str, int]]:
        try:
            status = entry.stat()
        except OSError:
            dead = entry.is_symlink() and not os.path.exists(entry.path)
            if whole or globs.regex_of(self.pattern).fullmatch(path):
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
        return "**" not in self.pattern and bool(globs.regex_of(self.pattern).fullmatch(path))

    def _leads_on(self, path: str) -> bool:
        """Whether something below the folder may match."""
        if "**" in self.pattern:
            return True
        depth = path.count("/") + 1
        return depth < len(self.parts) and bool(globs.regex_of("/".join(self.parts[:depth])).fullmatch(path))

    def _is_meant(self, name: str, path: str, whole: bool, regular: bool) -> bool:
        if not whole and not globs.regex_of(self.pattern).fullmatch(path):
            if regular and globs.regex_of(self.pattern, re.IGNORECASE).fullmatch(path):
                self.left_out.add(CAPITALS, path)
            return False
        if _is_metadata(name):
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


def translated_names(folder: str) -> Iterator[str]:
    """The results, relative to the folder, that `translate` lists there; none where the file is somebody else's."""
    try:
        with open(os.path.join(folder, TRANSLATIONS), encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)["output"]
    except (OSError, ValueError, KeyError, TypeError):
        return


def need_files(what: str, listing: Listing) -> None:
    """Raises UserError where nothing is listed, with what was met instead; `what` says who wants which files."""
    if not listing.files:
        met = listing.left_out.described()
        raise UserError(f"{what}{f'; left out: {met}' if met else ''}")


def matching(pattern: str) -> list[str]:
    """The paths of the files that a glob names, sorted."""
    return list_files([pattern], ()).paths


def all_below(folder: str) -> list[str]:
    """The paths of all files in and below a folder, sorted."""
    return matching(f"{globs.escape(folder)}/**")
