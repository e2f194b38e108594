"""Files of a folder, file name or glob, listed in one walk of the tree, and a summary of what is ignored.

Globs follow the rules of :mod:`pipelines.path_patterns`. If a glob without ``**`` matches folders only, it stands for
the known files in and below them. An archive that is named, or that a glob matches, stands for the known files in it.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import heapq
import itertools
import os
import posixpath
import re
import sys
from collections.abc import Collection, Iterable, Iterator

from models.errors import UserError
from pipelines import path_patterns, stable_hash
from pipelines.archives import archive_paths
from pipelines.beam import filesystem
from pipelines.data import archive_listing, local_walk
from pipelines.data.file_table import FileEntry, FileTable
from pipelines.data.ignored_files import (
    CAPITALS,
    EXTENSION,
    LISTED_FILE,
    METADATA,
    RESULTS,
    IgnoredFiles,
    has_metadata_folder,
    is_metadata,
    printable,
    read_output_names,
    results_folder,
)


@dataclasses.dataclass
class Listing:
    """The files of some patterns.

    Attributes:
      root: folder that relative paths start from, with a final slash; empty for the working directory.
      files: sorted by path, without duplicates.
      ignored: the names that are not inputs.
    """

    root: str
    files: FileTable
    ignored: IgnoredFiles

    @property
    def paths(self) -> list[str]:
        """Paths of the files."""
        return [entry.path for entry in self.files]

    @property
    def total_bytes(self) -> int:
        """Size of all files, in bytes."""
        return self.files.total_bytes


def list_files(
    patterns: Iterable[str], suffixes: Collection[str], *, output_dir: str = "", expand_archives: bool = True
) -> Listing:
    """List the files of folders, archives, file names and globs; each tree is walked once.

    Args:
      patterns: patterns from the user; ``~`` is expanded.
      suffixes: lower-case extensions of the files that a folder stands for. A glob stands for all files that match.
      output_dir: output directory of this command. If it is below the input, it is ignored; if it is the input folder
        itself, the results of an earlier command are ignored, also if it did not finish.
      expand_archives: whether an archive stands for the files in it; else it is a file.

    Raises:
      UserError: a remote store refuses the listing.
      OSError: there is no space for the temporary files of archives.
    """
    patterns = [_normalize_pattern(path_patterns.expand_user(pattern), expand_archives) for pattern in patterns]
    ignored, endings, output_dir = IgnoredFiles(), frozenset(suffixes), path_patterns.expand_user(output_dir)
    entries = (
        entry
        for pattern in dict.fromkeys(patterns)
        for entry in _list_entries(pattern, endings, output_dir, ignored, expand_archives)
    )
    table = FileTable(_deduplicated(entries, ignored) if len(patterns) > 1 else entries)
    return Listing(path_patterns.common_root(patterns), table, ignored)


def _list_entries(
    pattern: str, suffixes: frozenset[str], output_dir: str, ignored: IgnoredFiles, expand_archives: bool
) -> Iterator[FileEntry]:
    """Yield the files of a pattern on a store, on this machine, or in an archive; for an archive those in it."""
    inside = filesystem.split_archive(path_patterns.literal_prefix(pattern)) if expand_archives else None
    if inside:
        yield from itertools.starmap(FileEntry, archive_listing.list_members(inside[0], pattern, suffixes, ignored))
        return
    walk = _list_remote if filesystem.is_remote(pattern) else local_walk.walk_files
    for path, size in walk(pattern, suffixes, output_dir, ignored):
        if expand_archives and archive_paths.is_archive(path) and not filesystem.split_archive(path)[1]:
            below = f"{path_patterns.escape(path)}/"
            yield from itertools.starmap(FileEntry, archive_listing.list_members(path, below, suffixes, ignored))
        else:
            yield FileEntry(path, size)


def _deduplicated(entries: Iterable[FileEntry], ignored: IgnoredFiles) -> Iterator[FileEntry]:
    """Yield each file once, although several patterns may spell its path differently, such as ``a/x`` and ``./a/x``."""
    real_folder = functools.cache(os.path.realpath)
    spellings: dict[str, dict[str, str]] = collections.defaultdict(dict)  # by real folder and name
    for entry in entries:
        folder, name = posixpath.split(entry.path)
        names = spellings[folder if filesystem.is_remote(entry.path) else real_folder(folder)]
        if name not in names:
            names[name] = folder
            yield entry
        elif names[name] != folder:
            ignored.add(LISTED_FILE, entry.path)


def _normalize_pattern(pattern: str, expand_archives: bool) -> str:
    """Return the pattern; a folder gets a final slash, and the name of an existing local file or folder is escaped.

    An archive is a folder, and so is what is not a file in it. On a remote store, a name that is not an object stands
    for the objects below it, and so does the name of a bucket.
    """
    if not filesystem.is_remote(pattern):
        pattern = re.sub("//+", "/", pattern)
    if expand_archives and (inside := filesystem.split_archive(pattern)):
        return archive_listing.normalize_pattern(*inside)
    if filesystem.is_remote(pattern):
        if path_patterns.is_glob(pattern) or pattern.endswith("/"):
            return pattern
        has_object_name = "/" in pattern.partition("://")[2]
        return (
            pattern
            if has_object_name and filesystem.object_size(path_patterns.literal_prefix(pattern)) is not None
            else f"{pattern}/"
        )
    if os.path.isdir(pattern):
        return f"{path_patterns.escape(pattern.rstrip('/'))}/"
    return path_patterns.escape(pattern) if os.path.lexists(pattern) else pattern


def _list_remote(
    pattern: str, suffixes: frozenset[str], output_dir: str, ignored: IgnoredFiles
) -> Iterator[tuple[str, int]]:
    """Yield paths and sizes of objects of a store, which has names but no folders: by a glob, a name or a prefix."""
    literal = path_patterns.literal_prefix(pattern)
    is_prefix = not path_patterns.is_glob(pattern)
    if is_prefix and not literal.endswith("/"):
        yield literal, filesystem.object_size(literal) or 0
        return
    base_folder, output = posixpath.dirname(literal), output_dir.rstrip("/")
    objects = FileTable(FileEntry(*file) for file in filesystem.list_prefix(literal) if posixpath.basename(file[0]))
    results = _remote_results((entry.path for entry in objects), base_folder, output)
    output_is_below = output != "" and not f"{base_folder}/".startswith(f"{output}/")
    for entry in objects:  # without the folder markers of some tools, whose names end in a slash
        path, name = entry.path, posixpath.basename(entry.path)
        if not is_prefix and not path_patterns.glob_to_regex(pattern).fullmatch(path):
            if path_patterns.glob_to_regex(pattern, re.IGNORECASE).fullmatch(path):
                ignored.add(CAPITALS, path)
        elif is_metadata(name) or has_metadata_folder(path.removeprefix(f"{base_folder}/").split("/")[:-1]):
            ignored.add(METADATA, path)
        elif path in results or output_is_below and path.startswith(f"{output}/"):
            ignored.add(RESULTS, path)
        elif is_prefix and posixpath.splitext(name)[1].lower() not in suffixes:
            ignored.add(EXTENSION, path)
        else:
            yield path, entry.size


def _remote_results(paths: Iterable[str], base_folder: str, output: str) -> set[str]:
    """Return the results of `translate` among objects; those of the input folder only if it is also the output."""
    folders = {folder for path in paths if (folder := results_folder(path))} - {base_folder}
    if output == base_folder:
        folders.add(base_folder)
    return {posixpath.join(folder, name) for folder in folders for name in read_output_names(folder)}


def sample_paths(root: str, files: Iterable[FileEntry], max_count: int, stream: str) -> list[str]:
    """Return at most `max_count` paths, selected by a hash of the relative paths; the first would be from one folder.

    Args:
      root: folder that relative paths start from.
      files: files to select from.
      max_count: maximum number of paths.
      stream: name of the random stream; another name selects other files.
    """

    def order(path: str) -> float:
        return stable_hash.stable_fraction(f"{stream}:{printable(path.removeprefix(root))}")

    return heapq.nsmallest(max_count, (entry.path for entry in files), key=order)


def require_files(message: str, listing: Listing) -> None:
    """Raise UserError with a message and the summary of the ignored files if nothing is listed."""
    if not listing.files:
        ignored = listing.ignored.summary()
        raise UserError(f"{message}{f'; ignored: {ignored}' if ignored else ''}")


def print_ignored(pattern: str, listing: Listing) -> None:
    """Print the summary of the ignored files on stderr, if there are any."""
    if summary := listing.ignored.summary():
        print(f"ignored in {pattern}: {summary}", file=sys.stderr)


def glob_files(pattern: str) -> list[str]:
    """Return the paths of the files that match a glob, sorted."""
    return list_files([pattern], (), expand_archives=False).paths


def list_tree(folder: str) -> list[str]:
    """Return the paths of all files in and below a folder, sorted."""
    return glob_files(f"{path_patterns.escape(folder)}/**")
