"""Files and folders that are whole or not there, on any store that TensorFlow reaches."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import posixpath
from collections.abc import Iterator
from typing import BinaryIO

import tensorflow as tf

from models.errors import UserError

NEXT = "next_{}"  # name of the folder that is to take the place of another
SWITCH = "use_next_{}"  # of the file that says that it counts; no name begins with another, as stores list by prefixes
RENAME_EXCHANGE = 2  # of Linux's renameat2
HERE = -100  # AT_FDCWD: paths are relative to the working directory


@contextlib.contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turns a TensorFlow error on reading or writing files into an OSError of one line.

    Args:
      what: the file, folder or records that could not be used.

    Raises:
      OSError: TensorFlow could not read or write, and why.
    """
    try:
        yield
    except tf.errors.OpError as error:
        lines = str(error.message).strip().splitlines() or [type(error).__name__]
        raise OSError(f"{what}: {lines[0][:300]}") from None


def read(path: str) -> bytes:
    """The bytes of a file.

    Raises:
      OSError: it is not there or cannot be read.
    """
    with one_line(path), tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def read_json(path: str, wanted: str):
    """The content of a JSON file.

    Args:
      path: the file.
      wanted: what it should be, for the error.

    Raises:
      OSError: it is not there or cannot be read.
      UserError: it is not JSON, such as one that was cut off.
    """
    try:
        return json.loads(read(path))
    except ValueError as error:
        raise UserError(f"{path} is broken ({error}); wanted {wanted}") from None


def read_rows(path: str, wanted: str) -> Iterator[dict]:
    """The objects of a file of JSON lines; empty lines are passed over.

    Raises:
      OSError: it is not there or cannot be read.
      UserError: a line that is no JSON object, such as one that was cut off.
    """
    for number, line in enumerate(read(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number} is broken ({error}); wanted {wanted}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number} is no JSON object; wanted {wanted}")
        yield row


def opened(path: str) -> BinaryIO:
    """A file to read from any place of it, without taking it into memory."""
    return tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb")


@contextlib.contextmanager
def new(path: str) -> Iterator[BinaryIO]:
    """A file to write, with the folders above it, that appears whole when the block ends, or not at all.

    Raises:
      OSError: it cannot be written.
    """
    temporary = f"{path}.part"
    with one_line(path):
        tf.io.gfile.makedirs(posixpath.dirname(path) or ".")
        try:
            with tf.io.gfile.GFile(temporary, "wb") as file:
                file.write(b"")  # or there is no file where nothing follows
                yield file
            tf.io.gfile.rename(temporary, path, overwrite=True)
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                tf.io.gfile.remove(temporary)
            raise


def write(path: str, content: bytes) -> None:
    """Writes a file, and the folders above it, whole or not at all; errors as :func:`new`."""
    with new(path) as file:
        file.write(content)


# ------------------------------------------------------------------ folders


def current_folder(target: str) -> str:
    """Where the content of a folder that :func:`replace_folder` replaces is to be read.

    That is the folder itself, but for the time that a store without renaming takes to copy the new content there, or
    where that was cut off.
    """
    return _beside(target, NEXT) if tf.io.gfile.exists(_beside(target, SWITCH)) else target


def _beside(target: str, name: str) -> str:
    folder, last = posixpath.split(target.rstrip("/"))
    return posixpath.join(folder, name.format(last))


@contextlib.contextmanager
def replace_folder(target: str) -> Iterator[str]:
    """A new folder to write to, which takes the place of `target` when the block ends, or not at all.

    On a local disk both folders are exchanged in one step of the file system, so whoever opens `target` finds the old
    content or the new. Stores of objects rename no folders: there a small file, written last, says that the new
    folder counts, and then its files are copied, `saved_model.pb` or whatever lies at the top last. Who reads by
    :func:`current_folder` sees the old content or the new at any time; who reads `target` by itself may find it
    without its top files for the time of copying. What was cut off is made good by the next call.

    Yields:
      The folder to write to; it is empty.

    Raises:
      OSError: something cannot be written.
    """
    with one_line(target):
        settle_folder(target)
        fresh = _beside(target, NEXT)
        tf.io.gfile.makedirs(fresh)
        yield fresh
        if "://" not in target and _exchanged(fresh, target):
            tf.io.gfile.rmtree(fresh)
        else:
            with tf.io.gfile.GFile(_beside(target, SWITCH), "w") as file:  # that it exists is all that counts
                file.write(posixpath.basename(fresh))
            settle_folder(target)


def settle_folder(target: str) -> None:
    """Brings the replacement of a folder that was cut off to its end, or takes away what it left."""
    fresh, switch = _beside(target, NEXT), _beside(target, SWITCH)
    if tf.io.gfile.exists(switch):
        _copy_over(fresh, target)
        tf.io.gfile.remove(switch)
    for left in (fresh, f"{target}.part"):  # the second by versions up to 0.2
        if tf.io.gfile.exists(left):
            tf.io.gfile.rmtree(left)


def _exchanged(fresh: str, target: str) -> bool:
    """Puts a folder into another's place in one step; False where this system cannot."""
    if not os.path.lexists(target):
        os.rename(fresh, target)
        os.makedirs(fresh)  # which the caller takes away, as it does what was there before
        return True
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # not Linux
        return False
    return swap(HERE, os.fsencode(fresh), HERE, os.fsencode(target), RENAME_EXCHANGE) == 0


def _copy_over(fresh: str, target: str) -> None:
    """Replaces a folder's files by those of another: the top ones go first and come last."""
    for name in reversed(_deepest_first(target) if tf.io.gfile.exists(target) else []):
        tf.io.gfile.remove(posixpath.join(target, name))
    for name in _deepest_first(fresh):
        path = posixpath.join(target, name)
        tf.io.gfile.makedirs(posixpath.dirname(path))
        tf.io.gfile.copy(posixpath.join(fresh, name), f"{path}.part", overwrite=True)
        tf.io.gfile.rename(f"{path}.part", path, overwrite=True)


def _deepest_first(folder: str) -> list[str]:
    """The files in and below a folder by their paths from it; `saved_model.pb` is the last of an export."""
    paths = []
    for place, _, names in tf.io.gfile.walk(folder):
        below = place[len(folder.rstrip("/")) :].strip("/")
        paths += [posixpath.join(below, name) for name in names]
    return sorted(paths, key=lambda name: (-name.count("/"), name))
