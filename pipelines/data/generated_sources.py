"""Folders of files that this program writes to be the sources of a domain, each with markers beside it.

``FOLDER.json`` says what the files are and that all are there, ``FOLDER.begun`` that they are being written. Files with
neither of the two beside them are somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.data import file_listing

MARKER_KEYS = (
    {"dataset", "split"},
    {"set", "count"},
)  # one of which every marker has, of datasets or of drawn examples


def read_marker(folder: str) -> dict | None:
    """What the files of a folder are; None where they are incomplete or somebody else's."""
    if not filesystem.exists(_complete_path(folder)):
        return None
    try:
        facts = json.loads(filesystem.read_text(_complete_path(folder)))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and any(keys <= facts.keys() for keys in MARKER_KEYS) else None


def begin_folder(folder: str, beside: Iterable[str] = ()) -> None:
    """Takes away what an earlier command wrote, and marks the folder as being written.

    Args:
      folder: where the files go.
      beside: paths of further files that are to be written.

    Raises:
      UserError: there are files that no command wrote.
    """
    files = file_listing.list_tree(folder)
    if read_marker(folder) is None and not filesystem.exists(_begun_path(folder)):
        others = [path for path in (_complete_path(folder), *beside) if filesystem.exists(path)]
        if foreign := [*files, *others]:
            raise UserError(
                f"{foreign[0]} is there, and no preprocess wrote it; wanted another --data_dir, or another name for "
                "the domain"
            )
    filesystem.write_text(_begun_path(folder), "")
    if filesystem.exists(_complete_path(folder)):
        filesystem.delete([_complete_path(folder)])
    filesystem.delete(files)


def finish_folder(folder: str, facts: Mapping) -> None:
    """Says what the files are and that all are there."""
    filesystem.write_text(_complete_path(folder), json.dumps(facts, sort_keys=True))
    filesystem.delete([_begun_path(folder)])


def _complete_path(folder: str) -> str:
    return f"{folder}.json"


def _begun_path(folder: str) -> str:
    return f"{folder}.begun"
