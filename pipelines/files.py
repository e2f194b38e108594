"""Atomic writes of files and folders, and reads, on every file system that TensorFlow supports."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import posixpath
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import tensorflow as tf

from models.errors import UserError
from pipelines import json_lines
from pipelines.archives import archive_paths, open_archives

NEXT_FOLDER = "next_{}"  # the new content of a folder
SWITCH_FILE = "use_next_{}"  # marks the new content as valid; not a prefix of another name, as stores list by prefixes
RENAME_EXCHANGE = 2  # flag of Linux's renameat2
AT_FDCWD = -100  # relative paths are relative to the working directory


def first_line(error: tf.errors.OpError) -> str:
    """Return the first line of a TensorFlow error message, which may have hundreds of lines."""
    lines = str(error.message).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


@contextlib.contextmanager
def as_os_error(subject: str) -> Iterator[None]:
    """Turn a TensorFlow error on reading or writing files into an OSError of one line.

    Args:
      subject: the file, folder or records, for the message.

    Raises:
      OSError: TensorFlow could not read or write; the message has the reason.
    """
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{subject}: {first_line(error)}") from None


def read(path: str) -> bytes:
    """Return the bytes of a file.

    Raises:
      OSError: it does not exist or cannot be read.
    """
    with as_os_error(path), tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def read_json(path: str, expected: str):
    """Return the content of a JSON file.

    Args:
      path: the file.
      expected: the expected content, for the error message.

    Raises:
      OSError: it does not exist or cannot be read.
      UserError: it is not JSON, such as a truncated file.
    """
    try:
        return json.loads(read(path))
    except ValueError as error:
        raise UserError(f"{path} is broken ({error}); wanted {expected}") from None


def read_rows(path: str, expected: str) -> Iterator[dict]:
    """Yield the objects of a file of JSON lines; empty lines are skipped.

    Args:
      path: the file.
      expected: the expected content of a line, for the error message.

    Raises:
      OSError: it does not exist or cannot be read.
      UserError: a line is not a JSON object, such as a truncated one.
    """
    yield from json_lines.parse(path, read(path), expected)


def open_binary(path: str) -> BinaryIO:
    """Open a file, or a member of an archive, for reading with random access, without loading it into memory."""
    archive, name = archive_paths.split(path, tf.io.gfile.exists if "://" in path else os.path.isfile) or ("", "")
    return open_archives.open_member(archive, name, _open_unpacked) if name else _open_unpacked(path)


def _open_unpacked(path: str) -> BinaryIO:
    return tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb")


@contextlib.contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """Open a new file, and create its parent folders; the file appears complete when the block ends, or not at all.

    Raises:
      OSError: it cannot be written.
    """
    temporary = f"{path}.part"
    with as_os_error(path):
        tf.io.gfile.makedirs(posixpath.dirname(path) or ".")
        try:
            with tf.io.gfile.GFile(temporary, "wb") as file:
                file.write(b"")  # creates the file even if the block writes nothing
                yield file
            tf.io.gfile.rename(temporary, path, overwrite=True)
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                tf.io.gfile.remove(temporary)
            raise


def write(path: str, content: bytes) -> None:
    """Write a file and create its parent folders, atomically; raises as :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(content)


def json_bytes(content) -> bytes:
    """Return the text of a JSON file; numbers that are infinite or NaN, which JSON does not have, become null.

    >>> json.loads(json_bytes({"a": [float("nan"), 1.0]}))
    {'a': [None, 1.0]}
    """
    return json.dumps(_replace_non_finite(content), indent=2, allow_nan=False).encode()


def _replace_non_finite(value):
    """Return a JSON value with None for numbers that are infinite or NaN."""
    if isinstance(value, Mapping):
        return {key: _replace_non_finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_non_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def current_folder(target: str) -> str:
    """Return the folder that holds the current content of a folder written by :func:`replace_folder`.

    It is the folder itself, except on a store without renames while the new content is copied there, or after that
    copy was interrupted.
    """
    return _sibling(target, NEXT_FOLDER) if tf.io.gfile.exists(_sibling(target, SWITCH_FILE)) else target


def _sibling(target: str, name: str) -> str:
    folder, last = posixpath.split(target.rstrip("/"))
    return posixpath.join(folder, name.format(last))


@contextlib.contextmanager
def replace_folder(target: str) -> Iterator[str]:
    """Replace the content of `target` atomically by that of a new folder, when the block ends.

    On a local disk both folders are exchanged in one operation of the file system, so that readers of `target` see
    the old content or the new. Object stores cannot rename folders: there a marker file makes the new folder valid,
    and its files are copied afterwards, top-level files such as `saved_model.pb` last. Readers that use
    :func:`current_folder` always see complete content; readers of `target` itself may miss the top-level files
    during the copy. The next call completes or cleans up after an interrupted one.

    Yields:
      The new folder; it is empty.

    Raises:
      OSError: a file cannot be written.
    """
    with as_os_error(target):
        settle_folder(target)
        fresh = _sibling(target, NEXT_FOLDER)
        tf.io.gfile.makedirs(fresh)
        yield fresh
        if "://" not in target and _exchange(fresh, target):
            tf.io.gfile.rmtree(fresh)
        else:
            with tf.io.gfile.GFile(_sibling(target, SWITCH_FILE), "w") as file:  # its existence is the marker
                file.write(posixpath.basename(fresh))
            settle_folder(target)


def settle_folder(target: str) -> None:
    """Complete an interrupted replacement of a folder, or remove its leftovers."""
    fresh, switch = _sibling(target, NEXT_FOLDER), _sibling(target, SWITCH_FILE)
    if tf.io.gfile.exists(switch):
        _copy_over(fresh, target)
        tf.io.gfile.remove(switch)
    for leftover in (fresh, f"{target}.part"):  # the second by versions up to 0.2
        if tf.io.gfile.exists(leftover):
            tf.io.gfile.rmtree(leftover)


def _exchange(fresh: str, target: str) -> bool:
    """Exchange two folders in one operation; return False where the system cannot."""
    if not os.path.lexists(target):
        os.rename(fresh, target)
        os.makedirs(fresh)  # the caller removes it, as it does the old content
        return True
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # not Linux
        return False
    return swap(AT_FDCWD, os.fsencode(fresh), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE) == 0


def _copy_over(fresh: str, target: str) -> None:
    """Replace the files of a folder by those of another; top-level files are removed first and copied last."""
    for name in reversed(_deepest_first(target) if tf.io.gfile.exists(target) else []):
        tf.io.gfile.remove(posixpath.join(target, name))
    for name in _deepest_first(fresh):
        path = posixpath.join(target, name)
        tf.io.gfile.makedirs(posixpath.dirname(path))
        tf.io.gfile.copy(posixpath.join(fresh, name), f"{path}.part", overwrite=True)
        tf.io.gfile.rename(f"{path}.part", path, overwrite=True)


def _deepest_first(folder: str) -> list[str]:
    """Return the relative paths of the files below a folder, deepest first; `saved_model.pb` of an export is last."""
    paths = []
    for subfolder, _, names in tf.io.gfile.walk(folder):
        relative = subfolder[len(folder.rstrip("/")) :].strip("/")
        paths += [posixpath.join(relative, name) for name in names]
    return sorted(paths, key=lambda name: (-name.count("/"), name))
