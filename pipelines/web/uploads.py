"""Files of a batch: uploads and the content of zip archives, with safe names."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import zipfile
from collections.abc import Iterable, Iterator

from models.errors import UserError
from pipelines.data import file_kinds, ignored_files
from pipelines.data.ignored_files import IgnoredFiles
from pipelines.web.limits import Limits

ARCHIVE_SUFFIX = ".zip"
COPY_BYTES = 1 << 20
ENTRY_MARK = b"PK\x01\x02"  # start of each entry of an archive's table of contents
MARKS_PER_FILE = 4  # at most: folders, and archives in the archive, have marks too
ENCRYPTED = 1  # bit of the flags of an entry
MAX_PART_BYTES, MAX_SUFFIX = 180, 16  # of a part of a path; most file systems accept 255 bytes


@dataclasses.dataclass(frozen=True)
class Upload:
    """A file to convert.

    Attributes:
      name: relative path with slashes, as the user knows it.
      path: the file on the server.
      error: why there is none; None if there is one.
    """

    name: str
    path: str
    error: Exception | None = None


def relative_name(name: str) -> str:
    r"""Return a file name as a relative path that stays within its folder, with parts that file systems accept.

    >>> relative_name("a\\b.wav"), relative_name("../x/./b.wav"), relative_name("C:/b.wav"), relative_name("/")
    ('a/b.wav', 'x/b.wav', 'b.wav', 'unnamed')
    """
    parts = ignored_files.printable(name.replace("\\", "/")).split("/")
    safe = [part for part in parts if part.strip() and part not in (".", "..") and not part.endswith(":")]
    return "/".join(map(_shorten, safe)) or "unnamed"


def _shorten(part: str) -> str:
    """Return a part of a path with at most `MAX_PART_BYTES` before its extension."""
    stem, suffix = posixpath.splitext(part)
    return stem.encode()[:MAX_PART_BYTES].decode(errors="ignore") + suffix[:MAX_SUFFIX]


def expand_archives(uploads: Iterable[Upload], folder: str, limits: Limits) -> Iterator[Upload]:
    """Yield uploads, and instead of a zip archive the files in it.

    Args:
      uploads: the uploads.
      folder: empty folder for the files of archives.
      limits: of the number of files, and of their bytes together.

    Raises:
      UserError: an archive has too many files or bytes, by its table of contents or in fact, or cannot be read.
    """
    num_files, num_bytes = 0, 0
    for upload in uploads:
        members = [upload]
        if upload.name.lower().endswith(ARCHIVE_SUFFIX):
            members = _extract(upload, folder, limits)
        for member in members:
            num_files += 1
            limits.check_count(num_files, "the batch")
            num_bytes += os.path.getsize(member.path) if member.error is None else 0
            limits.check_bytes(num_bytes, "the files of the batch")
            yield member


def _extract(archive: Upload, folder: str, limits: Limits) -> Iterator[Upload]:
    try:
        _check_table_size(archive, limits)
        with zipfile.ZipFile(archive.path) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            limits.check_count(len(entries), archive.name)
            limits.check_bytes(sum(entry.file_size for entry in entries), f"{archive.name}: its files")
            for entry in entries:
                name = posixpath.join(archive.name[: -len(ARCHIVE_SUFFIX)], relative_name(entry.filename))
                yield _extract_entry(opened, entry, name, folder)
    except UserError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError(f"{archive.name}: not readable as a zip archive: {error}") from None


def _check_table_size(archive: Upload, limits: Limits) -> None:
    """Check the number of entries before `zipfile` reads the table of contents, which can hold millions."""
    num_entries, tail = 0, b""
    with open(archive.path, "rb") as file:
        while block := file.read(COPY_BYTES):
            num_entries += (tail + block).count(ENTRY_MARK)
            tail = block[-len(ENTRY_MARK) + 1 :]
    limits.check_count(num_entries // MARKS_PER_FILE, archive.name)


def _extract_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, folder: str) -> Upload:
    """Write an entry to a file with a number as its name; an entry that cannot be read becomes an error."""
    path = os.path.join(folder, str(len(os.listdir(folder))))
    try:
        if entry.flag_bits & ENCRYPTED:
            raise UserError("encrypted in the archive; unpack it first")
        with archive.open(entry) as source, open(path, "wb") as target:
            _copy(source, target, entry.file_size)
    except Exception as error:  # decompressors raise errors of many types
        return Upload(name, path, error)
    return Upload(name, path)


def _copy(source, target, size: int) -> None:
    """Copy at most `size` bytes; raise UserError if there are more."""
    while block := source.read(COPY_BYTES):
        size -= len(block)
        if size < 0:
            raise UserError("larger than the archive's table of contents states")
        target.write(block)


def select_files(uploads: Iterable[Upload], kind: str) -> tuple[list[Upload], IgnoredFiles]:
    """Return the files that a batch converts, with names of their own, and the counts of those that it ignores.

    `translate` ignores the same files of a folder: those of other kinds, and those of operating systems and tools.
    """
    suffixes, ignored = set(file_kinds.known_suffixes(kind)), IgnoredFiles()
    selected: dict[str, Upload] = {}
    for upload in uploads:
        folders, base = posixpath.split(upload.name)
        if ignored_files.is_metadata(base) or ignored_files.has_metadata_folder(folders.split("/")):
            ignored.add(ignored_files.METADATA, upload.name)
        elif posixpath.splitext(base)[1].lower() not in suffixes:
            ignored.add(ignored_files.EXTENSION, upload.name)
        else:
            name = _unused_name(upload.name, selected)
            selected[name] = dataclasses.replace(upload, name=name)
    return list(selected.values()), ignored


def _unused_name(name: str, used: dict[str, Upload]) -> str:
    stem, suffix = posixpath.splitext(name)
    number = 1
    while name in used:
        number += 1
        name = f"{stem} ({number}){suffix}"
    return name
