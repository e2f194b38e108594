"""Members of archives as files of a listing, by the rules of folders."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from models.errors import UserError
from pipelines import path_patterns
from pipelines.archives.members import Contents
from pipelines.beam import filesystem
from pipelines.data import ignored_files
from pipelines.data.ignored_files import IgnoredFiles


def list_members(
    archive: str, pattern: str, suffixes: frozenset[str], ignored: IgnoredFiles
) -> Iterator[tuple[str, int]]:
    """Yield paths and stated sizes in bytes of the members of an archive that match a pattern.

    Args:
      archive: path of the archive, local or remote.
      pattern: the archive or a folder in it, with a final slash, for the members of known extensions; a member; or a
        glob.
      suffixes: lower-case extensions of the files that a folder stands for.
      ignored: counts what is not an input, also archives that cannot be read.

    Raises:
      OSError: there is no space for the temporary files of the archive.
    """
    try:
        contents = filesystem.open_archive(archive).contents
    except UserError as error:
        ignored.add(ignored_files.UNREADABLE_ARCHIVE, f"{archive}: {error}")
        return
    except PermissionError:
        ignored.add(ignored_files.UNREADABLE, archive)
        return
    count_excluded(archive, contents, ignored)
    is_folder = pattern.endswith("/")
    matches = path_patterns.glob_to_regex(f"{pattern}**" if is_folder else pattern).fullmatch
    for name, member in contents.members.items():
        path = f"{archive}/{name}"
        folder, base = posixpath.split(name)
        if not matches(path):
            continue
        if ignored_files.is_metadata(base) or ignored_files.has_metadata_folder(folder.split("/")):
            ignored.add(ignored_files.METADATA, path)
        elif is_folder and posixpath.splitext(base)[1].lower() not in suffixes:
            ignored.add(ignored_files.EXTENSION, path)
        else:
            yield path, member.size


def count_excluded(archive: str, contents: Contents, ignored: IgnoredFiles) -> None:
    """Count what is not read of an archive: excluded members, the rest of a damaged one, or an empty one.

    Args:
      archive: path or name of the archive.
      contents: its contents.
      ignored: counts.
    """
    for reason, name in contents.excluded:
        ignored.add(reason, f"{archive}/{name}")
    if contents.problem:
        ignored.add(ignored_files.DAMAGED_ARCHIVE, f"{archive}: {contents.problem}")
    elif not contents.members and not contents.excluded:
        ignored.add(ignored_files.EMPTY_ARCHIVE, archive)


def normalize_pattern(archive: str, name: str) -> str:
    """Return the pattern of an archive, or of what a user names in it: a folder gets a final slash, names are escaped.

    Args:
      archive: path of the archive.
      name: empty for the archive, or of a member, a folder or a glob.
    """
    prefix = f"{path_patterns.escape(archive)}/"
    if not name:
        return prefix
    try:
        members = filesystem.open_archive(archive).contents.members
    except (UserError, OSError):
        return prefix  # the listing says why it cannot be read
    if name in members or any(member.startswith(f"{name.rstrip('/')}/") for member in members):
        return prefix + path_patterns.escape(name.rstrip("/")) + ("" if name in members else "/")
    return prefix + name
