"""Files on every file system that Beam reaches: local, `gs://`, `s3://`, ...

Workers import this module by name, so nothing here depends on flags.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import posixpath
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients announce the Python versions they will drop
    logging.disable(logging.WARNING)
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    logging.disable(logging.NOTSET)

PART = ".crossfade-part-"  # begins the name of a file that is being written


def is_remote(path: str) -> bool:
    """Whether a path names a store such as `gs://` and no file of this machine."""
    return "://" in path


def list_prefix(prefix: str) -> Iterator[tuple[str, int]]:
    """Paths and sizes in bytes of all objects of a remote store whose names begin with `prefix`; one listing.

    Raises:
      UserError: no such store is known, or it refuses the listing.
    """
    return ((metadata.path, metadata.size_in_bytes) for metadata in _matched(f"{_escaped(prefix)}**", prefix))


def size_of(path: str) -> int | None:
    """Bytes of an object of a remote store; None where there is none of that name. Errors as :func:`list_prefix`."""
    found = [metadata for metadata in _matched(_escaped(path), path) if metadata.path == path]
    return found[0].size_in_bytes if found else None


def _escaped(path: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", path)


def _matched(pattern: str, name: str) -> list:
    try:
        (result,) = FileSystems.match([pattern])
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{name}: cannot be listed: {reason_of(error)}") from None
    return result.metadata_list


def reason_of(error: Exception) -> str:
    """The reason of an error of Beam's file systems, which hide it in a dictionary."""
    details = getattr(error, "exception_details", None)
    return str(next(iter(details.values()))) if details else str(error)


def open_file(path: str) -> BinaryIO:
    """A file to read, seekable, its bytes as they are.

    Raises:
      OSError: it cannot be opened, or is no regular file: a named pipe would block for ever.
    """
    if not is_remote(path) and os.path.exists(path) and not os.path.isfile(path):
        raise OSError(f"{path}: not a regular file")
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read_text(path: str) -> str:
    """A whole text file in UTF-8."""
    with open_file(path) as file:
        return file.read().decode()


@contextlib.contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file to write, with the folders above it, that appears whole when the block ends, or not at all.

    It is written beside its place under a short name of its own (see `PART`), whatever the length of its name.

    Raises:
      OSError: it cannot be written.
    """
    folder = posixpath.dirname(path)
    if folder and not FileSystems.exists(folder):
        with contextlib.suppress(OSError):  # another worker was faster, or the store knows no folders
            FileSystems.mkdirs(folder)
    digest = hashlib.blake2b(f"{path}\0{os.uname().nodename}\0{os.getpid()}".encode("utf-8", "surrogateescape"))
    temporary = posixpath.join(folder, f"{PART}{digest.hexdigest()[:16]}")
    try:
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield file
        FileSystems.rename([temporary], [path])
    except BaseException as error:
        with contextlib.suppress(OSError, BeamIOError):
            delete([temporary])
        if isinstance(error, BeamIOError):
            raise OSError(f"{path}: {reason_of(error)}") from None
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


def files_in(folder: str) -> list[str]:
    """The files directly in a folder, sorted; none where there is no such folder."""
    if is_remote(folder):
        prefix = f"{folder.rstrip('/')}/"
        return sorted(path for path, _ in list_prefix(prefix) if "/" not in path.removeprefix(prefix))
    try:
        return sorted(entry.path for entry in os.scandir(folder) if not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def delete_leftovers(folder: str) -> None:
    """Removes what writers that were killed left in a folder under temporary names."""
    if is_remote(folder):
        paths = [path for path, _ in list_prefix(f"{folder.rstrip('/')}/{PART}")]
    else:
        paths = [path for path in files_in(folder) if posixpath.basename(path).startswith(PART)]
    delete(paths)


def need_output_folder(flag: str, path: str) -> None:
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
def locked(folder: str) -> Iterator[None]:
    """Keeps other commands of this machine from writing to a folder; they would take each other's files away.

    The lock is one of the folder itself: it leaves no file, and ends with the process whatever ends that. Stores of
    objects have no locks, nor have some file systems.

    Raises:
      UserError: another command is writing there.
    """
    if is_remote(folder):
        yield
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another command is writing there; wait, or take another folder") from None
        except OSError as error:
            print(f"warning: {folder}: {error}: a second command would not be kept from it", file=sys.stderr)
        yield
    finally:
        os.close(number)


def copy_into(source: BinaryIO, path: str) -> None:
    """Copies an open file from where it stands to a new file."""
    with new_file(path) as out:
        shutil.copyfileobj(source, out)
