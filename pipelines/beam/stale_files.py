"""Deletion of the partial files that killed writers left in a folder which several jobs share."""

from __future__ import annotations

import contextlib
import os
import posixpath
import time
from collections.abc import Iterator

from apache_beam.io.filesystem import BeamIOError

from pipelines.beam import filesystem


def delete_partial_files(folder: str, min_age_s: float) -> None:
    """Delete the partial files directly in a folder that nobody has written to for some time.

    What cannot be deleted remains, such as a file that another job has just deleted, or the file of another user. So
    does a file on a store that does not state the time.

    Args:
      folder: local or remote; it need not exist.
      min_age_s: time since the last change in seconds; longer than it takes to write a file.

    Raises:
      UserError: the store refuses the listing.
    """
    latest = time.time() - min_age_s
    for path, changed in _partial_files(folder):
        if 0 < changed < latest:
            with contextlib.suppress(OSError, BeamIOError):
                filesystem.delete([path])


def _partial_files(folder: str) -> Iterator[tuple[str, float]]:
    """Yield paths and times of the last change in seconds since 1970; 0 if unknown."""
    if filesystem.is_remote(folder):
        for metadata in filesystem.list_metadata(posixpath.join(folder, filesystem.PART_PREFIX)):
            yield metadata.path, metadata.last_updated_in_seconds or 0.0
        return
    for path in filesystem.list_folder(folder):
        if posixpath.basename(path).startswith(filesystem.PART_PREFIX):
            with contextlib.suppress(OSError):
                yield path, os.stat(path).st_mtime
