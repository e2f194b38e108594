"""Members of archives: which names are accepted, why others are not, and how much a member may expand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable

from models.errors import UserError

MAX_PART_BYTES = 255  # of a name between slashes: the most that file systems accept
MAX_EXPANSION = 200  # times that data may expand; only silence or one colour exceeds it
UNCHECKED_BYTES = 64 << 20  # a member of at most this size may expand without limit
UNSAFE_NAME = "members of archives with unsafe names: absolute, with .., NUL, or parts of more than 255 bytes"
SPECIAL = "links and special files in archives"
DUPLICATE = "members of archives that a later member of the same name replaces"
_DRIVE = re.compile("[A-Za-z]:")


class LimitError(UserError):
    """A limit of the caller is exceeded; an archive that is being opened is refused as a whole."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checks:
    """Checks by the caller while an archive is opened. They raise `LimitError` to refuse it.

    Attributes:
      entries: called with the number of entries so far, also of folders and links.
      expanded_bytes: called with the number of bytes so far to which a compressed tar archive expands.
    """

    entries: Callable[[int], None] = lambda count: None
    expanded_bytes: Callable[[int], None] = lambda count: None


NO_CHECKS = Checks()


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive.

    Attributes:
      size: size in bytes that the archive states.
      position: where it is: an index in the table of contents of a zip archive, an offset in bytes in a tar archive.
    """

    size: int
    position: int


@dataclasses.dataclass
class Contents:
    """What is in an archive.

    Attributes:
      members: by safe name, in the order of the archive.
      excluded: reasons and names of those that are not read; folders are not counted.
      problem: why the archive was not read to its end; empty if it was.
    """

    members: dict[str, Member] = dataclasses.field(default_factory=dict)
    excluded: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    problem: str = ""

    def add(self, name: str, member: Member) -> None:
        """Add a regular file under its safe name, or exclude it; the last of several of the same name remains."""
        safe = safe_name(name)
        if safe is None:
            self.excluded.append((UNSAFE_NAME, name))
            return
        if self.members.pop(safe, None):
            self.excluded.append((DUPLICATE, name))
        self.members[safe] = member


def safe_name(name: str) -> str | None:
    r"""Return the name of a member as a relative path with slashes; None if it would not stay below a folder.

    >>> safe_name("./a\\b.wav"), safe_name("a/../../b.wav"), safe_name("/a.wav"), safe_name("C:\\a.wav")
    ('a/b.wav', None, None, None)
    """
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    is_unsafe = not parts or path.startswith("/") or ".." in parts or "\0" in path or _DRIVE.fullmatch(parts[0])
    return None if is_unsafe or max(map(_byte_count, parts)) > MAX_PART_BYTES else "/".join(parts)


def _byte_count(part: str) -> int:
    return len(part.encode(errors="surrogatepass"))


def max_expanded_bytes(stored_bytes: int, unchecked_bytes: int = UNCHECKED_BYTES) -> int:
    """Return the number of bytes that compressed data may expand to."""
    return max(unchecked_bytes, MAX_EXPANSION * stored_bytes)


def limited(blocks: Iterable[bytes], limit: int) -> Iterable[bytes]:
    """Yield blocks of bytes, at most `limit` bytes together.

    Raises:
      UserError: there are more; those up to the limit were yielded.
    """
    count = 0
    for block in blocks:
        yield block[: limit - count]
        count += len(block)
        if count > limit:
            raise UserError(f"expands to more than {limit} bytes: a bomb? unpack it first")
