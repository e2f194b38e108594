"""The files that a folder, a file name or a glob stands for: one walk of the tree, and an account of what is left out.

Globs follow the rules of :mod:`pipelines.path_patterns`. Where a glob without ``**`` names folders only, these stand
for the known files in and below them.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import posixpath
import re
import sys
from collections.abc import Collection, Iterable, Iterator

from models.errors import UserError
from pipelines import path_patterns, stable_hash
from pipelines.beam import filesystem
from pipelines.data import local_walk
from pipelines.data.ignored_files import (
    CAPITALS,
    ENDING,
    METADATA,
    RESULTS,
    SEEN_FILE,
    TRANSLATIONS,
    IgnoredFiles,
    has_metadata_folder,
    is_metadata,
    printable,
    read_output_names,
)


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as it was listed.

    Attributes:
      path: where it is.
      size: bytes.
    """

    path: str
    size: int


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
    left_out: IgnoredFiles

    @property
    def paths(self) -> list[str]:
        """The paths of the files."""
        return [entry.path for entry in self.files]

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(entry.size for entry in self.files)


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
    patterns = [_normalize_pattern(path_patterns.expand_user(pattern)) for pattern in patterns]
    left_out, endings, output_dir = IgnoredFiles(), frozenset(suffixes), path_patterns.expand_user(output_dir)
    sizes: dict[str, int] = {}
    for pattern in dict.fromkeys(patterns):
        walk = _list_remote if filesystem.is_remote(pattern) else local_walk.walk_files
        sizes.update(walk(pattern, endings, output_dir, left_out))
    paths = sorted(_deduplicated(sizes, left_out) if len(patterns) > 1 else sizes)
    return Listing(path_patterns.common_root(patterns), [FileEntry(path, sizes[path]) for path in paths], left_out)


def _deduplicated(paths: Iterable[str], left_out: IgnoredFiles) -> Iterator[str]:
    """Of the spellings of a local path by several patterns, such as ``a/x`` and ``./b/../a/x``, the first."""
    real_folder = functools.cache(os.path.realpath)
    known: set[tuple[str, str]] = set()
    for path in paths:
        folder, name = posixpath.split(path)
        place = (folder if filesystem.is_remote(path) else real_folder(folder), name)
        if place in known:
            left_out.add(SEEN_FILE, path)
        else:
            known.add(place)
            yield path


def _normalize_pattern(pattern: str) -> str:
    """The pattern; a folder gets a final slash, and a local name that is there is escaped.

    What is no object of a remote store stands for what is below it, and so does the name of a bucket.
    """
    if filesystem.is_remote(pattern):
        if path_patterns.is_glob(pattern) or pattern.endswith("/"):
            return pattern
        named = "/" in pattern.partition("://")[2]
        return (
            pattern
            if named and filesystem.object_size(path_patterns.literal_prefix(pattern)) is not None
            else f"{pattern}/"
        )
    pattern = re.sub("//+", "/", pattern)
    if os.path.isdir(pattern):
        return f"{path_patterns.escape(pattern.rstrip('/'))}/"
    return path_patterns.escape(pattern) if os.path.lexists(pattern) else pattern


def _list_remote(
    pattern: str, suffixes: frozenset[str], output_dir: str, left_out: IgnoredFiles
) -> Iterator[tuple[str, int]]:
    """Paths and sizes of objects of a store that knows names but no folders: of a glob, of a name, or below a name."""
    literal = path_patterns.literal_prefix(pattern)
    whole = not path_patterns.is_glob(pattern)
    if whole and not literal.endswith("/"):
        yield literal, filesystem.object_size(literal) or 0
        return
    begin, output = posixpath.dirname(literal), output_dir.rstrip("/")
    objects = [(path, size) for path, size in filesystem.list_prefix(literal) if posixpath.basename(path)]
    results = _remote_results([path for path, _ in objects], begin, output)
    meets_output = output != "" and not f"{begin}/".startswith(f"{output}/")
    for path, size in objects:  # of which some tools leave markers for folders, without a last part
        name = posixpath.basename(path)
        if not whole and not path_patterns.glob_to_regex(pattern).fullmatch(path):
            if path_patterns.glob_to_regex(pattern, re.IGNORECASE).fullmatch(path):
                left_out.add(CAPITALS, path)
        elif is_metadata(name) or has_metadata_folder(path.removeprefix(f"{begin}/").split("/")[:-1]):
            left_out.add(METADATA, path)
        elif path in results or meets_output and path.startswith(f"{output}/"):
            left_out.add(RESULTS, path)
        elif whole and posixpath.splitext(name)[1].lower() not in suffixes:
            left_out.add(ENDING, path)
        else:
            yield path, size


def _remote_results(paths: Iterable[str], begin: str, output: str) -> set[str]:
    """The results of `translate` among objects; of the folder that the user names only where it is written to too."""
    folders = {posixpath.dirname(path) for path in paths if posixpath.basename(path) == TRANSLATIONS} - {begin}
    if output == begin and filesystem.exists(posixpath.join(begin, TRANSLATIONS)):
        folders.add(begin)
    return {posixpath.join(folder, name) for folder in folders for name in read_output_names(folder)}


def sample_paths(root: str, files: Iterable[FileEntry], most: int, purpose: str) -> list[str]:
    """The paths of so many files at the most, chosen by a hash of their relative paths: the first are of one folder.

    Args:
      root: the folder that relative paths begin at.
      files: to choose from.
      most: how many.
      purpose: another gives another choice.
    """

    def order(path: str) -> float:
        return stable_hash.stable_fraction(f"{purpose}:{printable(path.removeprefix(root))}")

    return sorted((entry.path for entry in files), key=order)[:most]


def require_files(what: str, listing: Listing) -> None:
    """Raises UserError where nothing is listed, with what was met instead; `what` says who wants which files."""
    if not listing.files:
        met = listing.left_out.described()
        raise UserError(f"{what}{f'; left out: {met}' if met else ''}")


def print_ignored(pattern: str, listing: Listing) -> None:
    """Counts on stderr, in one line, what was met and is no input; nothing where there is nothing."""
    if account := listing.left_out.described():
        print(f"left out of {pattern}: {account}", file=sys.stderr)


def glob_files(pattern: str) -> list[str]:
    """The paths of the files that a glob names, sorted."""
    return list_files([pattern], ()).paths


def list_tree(folder: str) -> list[str]:
    """The paths of all files in and below a folder, sorted."""
    return glob_files(f"{path_patterns.escape(folder)}/**")
