"""Recordings of a manifest: the file with the bytes that the manifest states, or why there is none."""

from __future__ import annotations

import collections
import enum
import functools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Protocol

import tensorflow as tf

from models.errors import UserError
from pipelines import files, stable_hash


class State(enum.Enum):
    """Whether the file of a recording can be used, in the words of warnings."""

    INTACT = "are intact"
    MISSING = "are missing"
    CHANGED = "have other bytes than when they were preprocessed"


class Recording(Protocol):
    """A line of a manifest.

    Attributes:
      path: of the file, as it was typed for `preprocess`: relative to the working directory of that command, or
        absolute.
      hash: of the file's bytes, see `stable_hash.file_digest`; empty if it is unknown.
      data_dir: directory of the manifest; empty if it is unknown.
    """

    path: str
    hash: str
    data_dir: str


def find_file(recording: Recording) -> tuple[str, State]:
    """Return the path of the file of a recording and its state.

    A relative path is searched below the working directory, and below the folders that contain the records: a command
    may be started elsewhere than `preprocess` was. The hash excludes other files of the same name.
    """
    changed = None
    for path in _candidates(recording.path, recording.data_dir):
        state = _state(path, recording.hash, _version(path))
        if state is State.INTACT:
            return path, state
        changed = changed or (path if state is State.CHANGED else None)
    return (changed, State.CHANGED) if changed else (recording.path, State.MISSING)


def _candidates(path: str, data_dir: str) -> Iterator[str]:
    yield path
    if "://" in path or "://" in data_dir or not data_dir or os.path.isabs(path):
        return
    folder = os.path.abspath(data_dir)
    while folder != os.path.dirname(folder):
        yield os.path.join(folder, path)
        folder = os.path.dirname(folder)


def _version(path: str) -> tuple[int, int] | None:
    """Size and time of the last change of a local file; None for members of archives and on stores."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@functools.cache
def _state(path: str, expected: str, version: tuple[int, int] | None) -> State:
    """State of a file; many parts of one long recording need its hash once. `version` is a key of the cache only."""
    try:
        with files.open_binary(path) as file:
            return State.INTACT if stable_hash.file_digest(file) == expected or not expected else State.CHANGED
    except (tf.errors.OpError, OSError, UserError):
        return State.MISSING


def warn_of_unusable(recordings: Iterable[Recording]) -> None:
    """Print a warning with the numbers of the files that are missing or changed, and one of them, if there are any."""
    states = dict(map(find_file, recordings))
    unusable = {path: state for path, state in states.items() if state is not State.INTACT}
    if unusable:
        counts = collections.Counter(unusable.values())
        parts = " and ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
        problem = f"of {len(states)} recordings {parts}, such as {next(iter(unusable))}"
        print(f"warning: {problem}; they are replaced by inverted features or left out", file=sys.stderr, flush=True)
