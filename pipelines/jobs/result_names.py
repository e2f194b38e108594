"""Names of the output files of `translate`: one for every input, fixed before the job starts.

No two inputs share an output, no name is longer than file systems allow, and no output replaces a folder.
"""

from __future__ import annotations

import collections
import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence

from pipelines.beam import filesystem
from pipelines.data.ignored_files import printable

MAX_NAME_BYTES = 255  # maximum length of a file name on common file systems
HASH_DIGITS = 8


def plan_results(paths: Sequence[str], root: str, suffix: str, output_dir: str) -> Iterator[dict]:
    """Yield the plan of `translate`: a row for each file, in the order of `paths`.

    An output has the relative path of its input and the file extension of the output format. If several inputs would
    share an output, the input that has exactly that name gets it, else the first one; the others keep their own
    extension before the new one. A name that is too long or still collides is shortened and gets a hash of the
    relative path; the row then has `renamed`.

    Args:
      paths: input files.
      root: folder that relative paths start from, with a final slash.
      suffix: file extension of the outputs.
      output_dir: output directory; its folders are not replaced.

    Yields:
      `path`, and either `output`, relative to `output_dir`, perhaps with `renamed`, or `reason`, if there is none.
    """
    relative = {path: printable(path.removeprefix(root)) for path in paths}
    folders = {folder for name in relative.values() for folder in _parent_folders(name)}
    candidates: dict[str, list[str]] = collections.defaultdict(list)
    for path, name in relative.items():
        candidates[posixpath.splitext(name)[0] + suffix].append(path)
    preferred_outputs = {
        min(group, key=lambda p, r=result: (relative[p] != r, p)): result for result, group in candidates.items()
    }
    used = set(preferred_outputs.values())
    rows = {}
    for path in sorted(paths, key=lambda path: (path not in preferred_outputs, path)):
        preferred = preferred_outputs.get(path, relative[path] + suffix)
        output = preferred
        if path not in preferred_outputs and output in used or not _is_usable(output, folders, output_dir):
            output = _hashed_name(preferred, relative[path], suffix)
            if output in used or not _is_usable(output, folders, output_dir):
                rows[path] = {"path": path, "reason": f"no free name for its output {preferred}; rename the file"}
                continue
        used.add(output)
        rows[path] = {"path": path, "output": output} | (
            {} if output == preferred else {"renamed": f"from {preferred}"}
        )
    for path in paths:
        yield _check_encoding(rows[path])


def _parent_folders(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _is_usable(output: str, folders: set[str], output_dir: str) -> bool:
    """Whether a file name is short enough and no folder has that name."""
    if len(posixpath.basename(output).encode()) > MAX_NAME_BYTES or output in folders:
        return False
    return filesystem.is_remote(output_dir) or not os.path.isdir(os.path.join(output_dir, output))


def _hashed_name(output: str, name: str, suffix: str) -> str:
    """Return the name with a hash of the relative path of the input, cut to the maximum length."""
    digest = hashlib.blake2b(name.encode()).hexdigest()[:HASH_DIGITS]
    folder, base = posixpath.split(output)
    ending = f"~{digest}{suffix}"
    stem = base.removesuffix(suffix).encode()[: MAX_NAME_BYTES - len(ending)].decode(errors="ignore")
    return posixpath.join(folder, stem + ending)


def _check_encoding(row: dict) -> dict:
    """Return the row, or a row with a reason if the path is not UTF-8: JSON cannot hold it."""
    try:
        row["path"].encode()
    except UnicodeEncodeError:
        return {"path": printable(row["path"]), "reason": "its name is not UTF-8; rename the file"}
    return row
