"""Files on every file system that Beam reaches: local, `gs://`, `s3://`, ...

Workers import this module by name, so nothing here depends on flags.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import posixpath
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from models.errors import UserError
from pipelines import path_patterns

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients announce the Python versions they will drop
    logging.disable(logging.WARNING)
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    logging.disable(logging.NOTSET)
PART_PREFIX = ".crossfade-part-"  # begins the name of a file that is being written
MAX_IN_MEMORY_BYTES = 8 << 20  # of a remote file; a larger one lies on the disk while it is read


def is_remote(path: str) -> bool:
    """Whether a path names a store such as `gs://` and no file of this machine."""
    return "://" in path


def list_prefix(prefix: str) -> Iterator[tuple[str, int]]:
    """Paths and sizes in bytes of all objects of a remote store whose names begin with `prefix`; one listing.

    Raises:
      UserError: no such store is known, or it refuses the listing.
    """
    return ((metadata.path, metadata.size_in_bytes) for metadata in _match(f"{path_patterns.escape(prefix)}**", prefix))


def object_size(path: str) -> int | None:
    """Bytes of an object of a remote store; None where there is none of that name. Errors as :func:`list_prefix`."""
    sizes = [metadata.size_in_bytes for metadata in _match(path_patterns.escape(path), path) if metadata.path == path]
    return sizes[0] if sizes else None


def _match(pattern: str, name: str) -> list:
    try:
        (result,) = FileSystems.match([pattern])
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{name}: cannot be listed: {error_reason(error)}") from None
    return result.metadata_list


def error_reason(error: Exception) -> str:
    """The reason of an error of Beam's file systems, which hide it in a dictionary."""
    details = getattr(error, "exception_details", None)
    return str(next(iter(details.values()))) if details else str(error)


def open_file(path: str) -> BinaryIO:
    """A file to read, seekable, its bytes as they are.

    A remote one is fetched whole and once: readers of recordings go through a file several times and back and forth,
    and on a store each of these would be a request of its own.

    Raises:
      OSError: it cannot be opened, or is no regular file: a named pipe would block for ever.
    """
    if not is_remote(path):
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(f"{path}: not a regular file")
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    local = tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES)  # the caller closes it
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
            shutil.copyfileobj(remote, local, MAX_IN_MEMORY_BYTES)
    except BaseException:
        local.close()
        raise
    local.seek(0)
    return local


def read_text(path: str) -> str:
    """A whole text file in UTF-8."""
    with open_file(path) as file:
        return file.read().decode()


@contextlib.contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file to write, with the folders above it, that appears whole when the block ends, or not at all.

    It is written beside its place under a short random name (see `PART`), whatever the length of its name: threads,
    processes and containers that write the same file, as after a retry, do not write into each other's.

    Raises:
      OSError: it cannot be written.
    """
    folder = posixpath.dirname(path)
    if folder and not is_remote(path):  # stores make folders by themselves, or know none
        os.makedirs(folder, exist_ok=True)
    temporary = posixpath.join(folder, f"{PART_PREFIX}{secrets.token_hex(8)}")
    try:
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield file
        FileSystems.rename([temporary], [path])
    except BaseException as error:
        with contextlib.suppress(OSError, BeamIOError):
            delete([temporary])
        if isinstance(error, BeamIOError):
            raise OSError(f"{path}: {error_reason(error)}") from None
        if isinstance(error, OSError) and error.errno and not error.filename:  # such as a full disk
            raise OSError(error.errno, error.strerror, path) from None
        raise


def write_text(path: str, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with new_file(path) as file:
        file.write(text.encode())


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return FileSystems.exists(path)


def delete(paths: list[str]) -> None:
    """Removes files."""
    for path in (path for path in paths if not is_remote(path)):  # Beam would take brackets in them for a glob
        os.remove(path)
    if remote := [path for path in paths if is_remote(path)]:
        FileSystems.delete(remote)


def delete_if_empty(folder: str) -> None:
    """Removes a local folder in which nothing is left; stores know no folders."""
    if not is_remote(folder):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def list_folder(folder: str) -> list[str]:
    """The files directly in a folder, sorted; none where there is no such folder."""
    if is_remote(folder):
        prefix = f"{folder.rstrip('/')}/"
        return sorted(path for path, _ in list_prefix(prefix) if "/" not in path.removeprefix(prefix))
    try:
        return sorted(entry.path for entry in os.scandir(folder) if not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def delete_partial_files(folder: str, below: Iterable[str] = ()) -> None:
    """Removes what writers that were killed left under temporary names.

    Args:
      folder: where they wrote.
      below: folders, relative to it, in which they wrote too; a store is asked once for all of them.
    """
    below = {"", *below}
    if is_remote(folder):
        names = PART_PREFIX if below == {""} else ""
        paths = [path for path, _ in list_prefix(f"{folder.rstrip('/')}/{names}")]
    else:
        paths = [path for name in sorted(below) for path in list_folder(posixpath.join(folder, name))]
    delete([path for path in paths if posixpath.basename(path).startswith(PART_PREFIX)])


def create_output_folder(flag: str, path: str) -> None:
    """Makes the folder that a flag names as the place of results, before any work begins.

    Raises:
      UserError: a file stands in its place, or nothing can be written there.
    """
    if is_remote(path):
        return
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(f"--{flag}={path} is a file; wanted a folder")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(f"--{flag}={path} cannot be made: {error.strerror or error}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"--{flag}={path} cannot be written to: permission denied")


@contextlib.contextmanager
def folder_lock(flag: str, folder: str) -> Iterator[None]:
    """Keeps other commands of this machine from writing to a folder, that is there, while the block runs.

    The folder itself is locked: no file is left, and the lock goes with the process. Stores have no locks, and some
    network file systems none for folders: there nothing is kept.

    Raises:
      UserError: another command writes to it.
    """
    if is_remote(folder):
        yield
        return
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            os.close(descriptor)
            raise UserError(
                f"--{flag}={folder}: another command is writing there; wait for its end, or take another folder"
            ) from None
    try:
        yield
    finally:
        os.close(descriptor)
