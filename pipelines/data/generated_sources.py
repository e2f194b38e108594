"""Folders of source files that this program writes, each with marker files beside it.

``FOLDER.json`` describes the files and means that they are complete; ``FOLDER.begun`` means that they are being
written. A folder with neither was not written by this program.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.data import file_listing

# of a TensorFlow dataset; of a generated set
MARKER_KEYS = ({"dataset", "split"}, {"set", "count"})


def read_marker(folder: str) -> dict | None:
    """Return the description of the files of a folder; None if they are incomplete or not ours."""
    if not filesystem.exists(_complete_path(folder)):
        return None
    try:
        marker = json.loads(filesystem.read_text(_complete_path(folder)))
    except ValueError:
        return None
    return marker if isinstance(marker, dict) and any(keys <= marker.keys() for keys in MARKER_KEYS) else None


def begin_folder(folder: str, extra_files: Iterable[str] = ()) -> None:
    """Delete the files of an earlier command and mark the folder as being written.

    Args:
      folder: folder of the files.
      extra_files: paths of other files that are to be written.

    Raises:
      UserError: files exist that this program did not write.
    """
    files = file_listing.list_tree(folder)
    if read_marker(folder) is None and not filesystem.exists(_begun_path(folder)):
        others = [path for path in (_complete_path(folder), *extra_files) if filesystem.exists(path)]
        if foreign := [*files, *others]:
            raise UserError(
                f"{foreign[0]} exists and was not written by preprocess; wanted another --data_dir, or another "
                "name for the domain"
            )
    filesystem.write_text(_begun_path(folder), "")
    if filesystem.exists(_complete_path(folder)):
        filesystem.delete([_complete_path(folder)])
    filesystem.delete(files)
    subfolders = {posixpath.dirname(path.removeprefix(f"{folder}/")) for path in files}
    filesystem.delete_partial_files(folder, subfolders)


def finish_folder(folder: str, marker: Mapping) -> None:
    """Write the description of the files, which marks them as complete."""
    filesystem.write_text(_complete_path(folder), json.dumps(marker, sort_keys=True))
    filesystem.delete([_begun_path(folder)])


def _complete_path(folder: str) -> str:
    return f"{folder}.json"


def _begun_path(folder: str) -> str:
    return f"{folder}.begun"
