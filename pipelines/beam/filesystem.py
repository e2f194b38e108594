"""Files on every file system that Beam supports: local, `gs://`, `s3://`, ...

Workers import this module by name, so it does not depend on flags.
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
from pipelines.archives import archive_paths, open_archives

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients warn of Python versions that they will not support
    logging.disable(logging.WARNING)
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
    from apache_beam.io.filesystems import FileSystems

    logging.disable(logging.NOTSET)
PART_PREFIX = ".crossfade-part-"  # name prefix of a file that is being written
MAX_IN_MEMORY_BYTES = 8 << 20  # a larger remote file is stored on disk while it is read


def is_remote(path: str) -> bool:
    """Whether a path is on a store such as `gs://`, not on this machine."""
    return "://" in path


def list_prefix(prefix: str) -> Iterator[tuple[str, int]]:
    """Yield paths and sizes in bytes of the objects of :func:`list_metadata`."""
    return ((metadata.path, metadata.size_in_bytes) for metadata in list_metadata(prefix))


def list_metadata(prefix: str) -> Iterator[FileMetadata]:
    """Yield all objects of a remote store whose names start with `prefix`; one listing.

    Raises:
      UserError: the store is unknown or refuses the listing.
    """
    with _listing_errors(prefix):
        store = FileSystems.get_filesystem(prefix)
        if store.has_dirs():  # such as HDFS
            (result,) = store.match([f"{path_patterns.escape(prefix)}**"])
            objects = result.metadata_list
        else:
            objects = store._list(prefix)  # of which `match` makes a list, 0.3 kB an object
        yield from objects


def object_size(path: str) -> int | None:
    """Return the size in bytes of an object of a remote store; None if there is none. Errors as :func:`list_prefix`."""
    with _listing_errors(path):
        (result,) = FileSystems.match([path_patterns.escape(path)])
    sizes = [metadata.size_in_bytes for metadata in result.metadata_list if metadata.path == path]
    return sizes[0] if sizes else None


@contextlib.contextmanager
def _listing_errors(path: str) -> Iterator[None]:
    """Turn errors of Beam's file systems on listing into a UserError."""
    try:
        yield
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{path}: cannot be listed: {error_reason(error)}") from None


def error_reason(error: Exception) -> str:
    """Return the reason of an error of Beam's file systems, which store it in a dictionary."""
    details = getattr(error, "exception_details", None)
    return str(next(iter(details.values()))) if details else str(error)


def split_archive(path: str) -> tuple[str, str] | None:
    """Return archive and member of a path, see `archive_paths.split`; on a store one request for a new archive."""
    return archive_paths.split(path, _is_file)


def _is_file(path: str) -> bool:
    if is_remote(path):
        return open_archives.is_open(path) or object_size(path) is not None
    return os.path.isfile(path)


def open_archive(path: str) -> open_archives.Archive:
    """Open an archive, see `open_archives.open_archive`."""
    return open_archives.open_archive(path, _open_unpacked)


def open_file(path: str) -> BinaryIO:
    """Open a file, or a member of an archive, for reading: seekable, without decompression.

    A remote file is downloaded completely first: decoders of audio seek back and forth, and each seek on a store
    would be a request. A remote archive is downloaded once for all its members.

    Raises:
      OSError: it cannot be opened, or is not a regular file: reading a named pipe would block for ever.
      UserError: it is a member of an archive that cannot be read.
    """
    archive, name = split_archive(path) or ("", "")
    return open_archives.open_member(archive, name, _open_unpacked) if name else _open_unpacked(path)


def _open_unpacked(path: str) -> BinaryIO:
    if not is_remote(path):
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(f"{path}: not a regular file")
        return open(path, "rb")
    local = tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES)  # the caller closes it
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
            shutil.copyfileobj(remote, local, MAX_IN_MEMORY_BYTES)
    except BaseException:
        local.close()
        raise
    local.seek(0)
    return local


def open_seekable(path: str) -> BinaryIO:
    """Open a file for reading a few parts of it; of a remote one, only what is read is transferred.

    Raises:
      OSError: it cannot be opened.
    """
    if not is_remote(path):
        return open(path, "rb")
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read_text(path: str) -> str:
    """Return the content of a text file in UTF-8."""
    with open_file(path) as file:
        return file.read().decode()


@contextlib.contextmanager
def new_file(path: str, partial_folder: str = "") -> Iterator[BinaryIO]:
    """Open a file for writing, which appears when the block ends without an error, complete or not at all.

    Missing folders are created. The file is written beside its destination under a short random name (see
    `PART_PREFIX`), so that threads, processes and containers that write the same file, as after a retry, do not
    interfere.

    Args:
      path: local or remote.
      partial_folder: another folder, on the same file system, in which the file is while it is written.

    Raises:
      OSError: it cannot be written.
    """
    folder = posixpath.dirname(path)
    _create_folders(folder, partial_folder)
    temporary = posixpath.join(partial_folder or folder, f"{PART_PREFIX}{secrets.token_hex(8)}")
    try:
        if is_remote(path):
            with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                yield file
            FileSystems.rename([temporary], [path])
        else:  # without the cost of Beam's search for the file system of a path
            with open(temporary, "wb") as file:
                yield file
            os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError, BeamIOError):
            delete([temporary])
        if isinstance(error, BeamIOError):
            raise OSError(f"{path}: {error_reason(error)}") from None
        if isinstance(error, OSError) and error.errno and not error.filename:  # such as a full disk
            raise OSError(error.errno, error.strerror, path) from None
        raise


def _create_folders(folder: str, partial_folder: str) -> None:
    """Create the folders of a new file as far as the file system needs it."""
    if not is_remote(folder):
        for each in filter(None, (folder, partial_folder)):
            os.makedirs(each, exist_ok=True)
    elif partial_folder and FileSystems.get_filesystem(folder).has_dirs():  # HDFS creates them, but not to rename
        with contextlib.suppress(BeamIOError):  # it exists
            FileSystems.mkdirs(folder)


def write_text(path: str, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    with new_file(path) as file:
        file.write(text.encode())


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return FileSystems.exists(path) if is_remote(path) else os.path.exists(path)


def delete(paths: list[str]) -> None:
    """Delete files."""
    for path in (path for path in paths if not is_remote(path)):  # Beam would treat brackets as a glob
        os.remove(path)
    if remote := [path for path in paths if is_remote(path)]:
        FileSystems.delete(remote)


def delete_if_empty(folder: str) -> None:
    """Delete a local folder if it is empty; stores have no folders."""
    if not is_remote(folder):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def list_folder(folder: str) -> list[str]:
    """Return the files directly in a folder, sorted; an empty list if there is no such folder."""
    if is_remote(folder):
        prefix = f"{folder.rstrip('/')}/"
        return sorted(path for path, _ in list_prefix(prefix) if "/" not in path.removeprefix(prefix))
    try:
        return sorted(entry.path for entry in os.scandir(folder) if not entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # such a folder cannot be there
            return []
        raise


def delete_partial_files(folder: str, subfolders: Iterable[str] = ()) -> None:
    """Delete the temporary files of writers that were killed.

    Args:
      folder: output folder.
      subfolders: its subfolders with outputs, relative to it; on a store one listing covers all of them.
    """
    subfolders = {"", *subfolders}
    if is_remote(folder):
        prefix = PART_PREFIX if subfolders == {""} else ""
        paths = [path for path, _ in list_prefix(f"{folder.rstrip('/')}/{prefix}")]
    else:
        paths = [path for name in sorted(subfolders) for path in list_folder(posixpath.join(folder, name))]
    delete([path for path in paths if posixpath.basename(path).startswith(PART_PREFIX)])


@contextlib.contextmanager
def folder_lock(flag: str, folder: str) -> Iterator[None]:
    """Lock a local folder against other commands of this machine while the block runs.

    The folder itself is locked: no lock file remains, and the lock ends with the process. Stores and some network file
    systems have no locks; there is no protection there.

    Raises:
      UserError: another command writes to the folder.
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
                f"--{flag}={folder}: another command is writing there; wait until it ends, or use another folder"
            ) from None
    try:
        yield
    finally:
        os.close(descriptor)
