"""Where the results of a folder go: a name for every input, settled before any work begins.

No two inputs share a result, none is longer than file systems allow, and none takes the place of a folder.
"""

from __future__ import annotations

import collections
import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence

from pipelines.beam import filesystem
from pipelines.data.ignored_files import printable

MAX_NAME_BYTES = 255  # of a name, on common file systems
HASH_DIGITS = 8


def plan_results(paths: Sequence[str], root: str, suffix: str, output_dir: str) -> Iterator[dict]:
    """The plan of `translate`: a row for each file, in the order of their paths.

    A result keeps the relative path and gets the ending of its format. Of files that would share a result, the one
    whose own name it is keeps it, else the first; others keep their own ending in front of the new one. What is too
    long or would still clash is shortened and gets a hash of the relative path, and the row says so.

    Args:
      paths: of the inputs.
      root: the folder that relative paths begin at, with a final slash.
      suffix: ending of the results.
      output_dir: where they go; its folders are respected.

    Yields:
      `path`, and either `output`, below `output_dir`, perhaps with `renamed`, or `reason`, why there can be none.
    """
    relative = {path: printable(path.removeprefix(root)) for path in paths}
    folders = {folder for name in relative.values() for folder in _parent_folders(name)}
    rivals: dict[str, list[str]] = collections.defaultdict(list)
    for path, name in relative.items():
        rivals[posixpath.splitext(name)[0] + suffix].append(path)
    first = {min(group, key=lambda p, r=result: (relative[p] != r, p)): result for result, group in rivals.items()}
    taken = set(first.values())
    rows = {}
    for path in sorted(paths, key=lambda path: (path not in first, path)):
        wanted = first.get(path, relative[path] + suffix)
        output = wanted
        if path not in first and output in taken or not _is_usable(output, folders, output_dir):
            output = _hashed_name(wanted, relative[path], suffix)
            if output in taken or not _is_usable(output, folders, output_dir):
                rows[path] = {"path": path, "reason": f"no name could be found for its result {wanted}"}
                continue
        taken.add(output)
        rows[path] = {"path": path, "output": output} | ({} if output == wanted else {"renamed": f"from {wanted}"})
    for path in paths:
        yield _check_encoding(rows[path])


def _parent_folders(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _is_usable(output: str, folders: set[str], output_dir: str) -> bool:
    """Whether the last part of a name is short enough, and no folder has the name."""
    if len(posixpath.basename(output).encode()) > MAX_NAME_BYTES or output in folders:
        return False
    return filesystem.is_remote(output_dir) or not os.path.isdir(os.path.join(output_dir, output))


def _hashed_name(output: str, name: str, suffix: str) -> str:
    """A name with a hash of the relative path of the input, cut to the length that is allowed."""
    digest = hashlib.blake2b(name.encode()).hexdigest()[:HASH_DIGITS]
    folder, last = posixpath.split(output)
    ending = f"~{digest}{suffix}"
    stem = last.removesuffix(suffix).encode()[: MAX_NAME_BYTES - len(ending)].decode(errors="ignore")
    return posixpath.join(folder, stem + ending)


def _check_encoding(row: dict) -> dict:
    """The row; of a path that cannot travel to a worker, how it is listed and why it is not read."""
    try:
        row["path"].encode()
    except UnicodeEncodeError:
        return {"path": printable(row["path"]), "reason": "its name is not UTF-8; rename the file"}
    return row
