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

KEYS = ({"dataset", "split"}, {"set", "count"})  # one of which every marker has, of datasets or of drawn examples


def facts_of(folder: str) -> dict | None:
    """What the files of a folder are; None where they are incomplete or somebody else's."""
    if not filesystem.exists(_complete(folder)):
        return None
    try:
        facts = json.loads(filesystem.read_text(_complete(folder)))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and any(keys <= facts.keys() for keys in KEYS) else None


def begin(folder: str, beside: Iterable[str] = ()) -> None:
    """Takes away what an earlier command wrote, and marks the folder as being written.

    Args:
      folder: where the files go.
      beside: paths of further files that are to be written.

    Raises:
      UserError: there are files that no command wrote.
    """
    files = file_listing.all_below(folder)
    if facts_of(folder) is None and not filesystem.exists(_begun(folder)):
        others = [path for path in (_complete(folder), *beside) if filesystem.exists(path)]
        if foreign := [*files, *others]:
            raise UserError(
                f"{foreign[0]} is there, and no preprocess wrote it; wanted another --data_dir, or another name for "
                "the domain"
            )
    filesystem.write_text(_begun(folder), "")
    if filesystem.exists(_complete(folder)):
        filesystem.delete([_complete(folder)])
    filesystem.delete(files)


def finish(folder: str, facts: Mapping) -> None:
    """Says what the files are and that all are there."""
    filesystem.write_text(_complete(folder), json.dumps(facts, sort_keys=True))
    filesystem.delete([_begun(folder)])


def _complete(folder: str) -> str:
    return f"{folder}.json"


def _begun(folder: str) -> str:
    return f"{folder}.begun"
