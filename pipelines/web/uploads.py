"""Files of a batch: uploads and the content of archives, with safe names."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import shutil
from collections.abc import Iterable, Iterator

from models.errors import UserError
from pipelines.archives import archive_paths, open_archives
from pipelines.archives.content import Content
from pipelines.archives.members import Checks, LimitError, Member
from pipelines.archives.open_archives import Archive
from pipelines.data import archive_listing, file_kinds, ignored_files
from pipelines.data.ignored_files import IgnoredFiles
from pipelines.web.limits import Limits

ENTRIES_PER_FILE = 4  # of an archive, at most: folders and links are entries too
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


def expand_archives(uploads: Iterable[Upload], folder: str, limits: Limits, ignored: IgnoredFiles) -> Iterator[Upload]:
    """Yield uploads, and instead of an archive the files in it.

    Args:
      uploads: the uploads.
      folder: empty folder for the files of archives.
      limits: of the number of files, and of their bytes together.
      ignored: counts archives that cannot be read, and what is not read of the others.

    Raises:
      LimitError: there are too many files or bytes, by the table of contents of an archive or in fact.
    """
    num_files, num_bytes = 0, 0
    for number, upload in enumerate(uploads):
        members = [upload]
        if archive_paths.is_archive(upload.name):
            members = _extract(upload, os.path.join(folder, str(number)), limits, ignored)
        for member in members:
            num_files += 1
            limits.check_count(num_files, "the batch")
            num_bytes += os.path.getsize(member.path) if member.error is None else 0
            limits.check_bytes(num_bytes, "the files of the batch")
            yield member


def _extract(archive: Upload, prefix: str, limits: Limits, ignored: IgnoredFiles) -> Iterator[Upload]:
    """Yield the files of an archive, which are written to paths that begin with `prefix`."""
    checks = Checks(
        entries=lambda count: limits.check_count(count // ENTRIES_PER_FILE, archive.name),
        expanded_bytes=lambda count: limits.check_bytes(count, f"{archive.name}: its unpacked contents"),
    )
    try:
        opened = open_archives.open_content(Content.of_path(archive.path), archive.name, checks)
    except LimitError:
        raise
    except UserError as error:
        ignored.add(ignored_files.UNREADABLE_ARCHIVE, f"{archive.name}: {error}")
        return
    members = opened.contents.members
    limits.check_count(len(members), archive.name)
    sizes = (member.size for member in members.values() if member.size <= limits.max_bytes)  # others are not extracted
    limits.check_bytes(sum(sizes), f"{archive.name}: its files")
    archive_listing.count_excluded(archive.name, opened.contents, ignored)
    for number, (name, member) in enumerate(members.items()):
        full_name = posixpath.join(archive_paths.stem(archive.name), relative_name(name))
        yield _extract_member(opened, member, Upload(full_name, f"{prefix}-{number}"), limits)


def _extract_member(archive: Archive, member: Member, upload: Upload, limits: Limits) -> Upload:
    """Write a member to the path of an upload; if it cannot be read, the upload gets the error."""
    try:
        limits.check_bytes(member.size, "its contents, as the archive states,")
        with archive.open(member) as source, open(upload.path, "wb") as target:
            shutil.copyfileobj(source, target)
    except (UserError, OSError) as error:
        return dataclasses.replace(upload, error=UserError(str(error)))  # the traceback would keep the archive open
    return upload


def select_files(uploads: Iterable[Upload], kind: str, ignored: IgnoredFiles) -> list[Upload]:
    """Return the files that a batch converts, with names of their own.

    Args:
      uploads: files, and members of archives.
      kind: "audio" or "image".
      ignored: counts the others. `translate` ignores the same files of a folder: those of other kinds, and those of
        operating systems and tools.
    """
    suffixes = set(file_kinds.known_suffixes(kind))
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
    return list(selected.values())


def _unused_name(name: str, used: dict[str, Upload]) -> str:
    stem, suffix = posixpath.splitext(name)
    number = 1
    while name in used:
        number += 1
        name = f"{stem} ({number}){suffix}"
    return name
