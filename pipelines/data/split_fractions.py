"""Fractions of the sources for validation and test, raised if a small domain would have none."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.data import ignored_files, source_files, splits
from pipelines.data.domains import Domain

MIN_SOURCES = 10  # files, or folders, of a domain; from here on every requested split gets one
MAX_FRACTION = 0.25  # upper bound of a raised fraction


def adjust_fractions(
    domains: Iterable[Domain], requested: tuple[float, float], *, split_by: str, seed: int
) -> tuple[float, float]:
    """Return the fractions for validation and test, raised so that no split of a small domain is empty.

    They are the same for all domains, so that files of one name stay in one split.

    Args:
      domains: the domains.
      requested: requested fractions for validation and test; 0 stays 0.
      split_by: "file", "parent", "prefix" or "speaker".
      seed: random seed of the split.
    """
    val, test = requested
    positions = [
        sorted(
            {
                splits.split_position(key)
                for key, entry in zip(split_keys(domain, split_by, seed), domain.files, strict=True)
                if not entry.split
            }
        )
        for domain in domains
    ]
    large_enough = [points for points in positions if len(points) >= MIN_SOURCES]
    if test:
        needed = (_slightly_above(points[0]) for points in large_enough)
        test = max([test, *(fraction for fraction in needed if fraction <= MAX_FRACTION)])
    if val:
        needed = (_slightly_above(min((x for x in points if x >= test), default=1.0)) - test for points in large_enough)
        val = max([val, *(fraction for fraction in needed if fraction <= MAX_FRACTION)])
    return val, test


def _slightly_above(position: float) -> float:
    return position + 1e-9


def split_keys(domain: Domain, split_by: str, seed: int) -> Iterator[str]:
    """Yield the key that decides on the split of each file, in the order of the files.

    Raises:
      UserError: files are to be split by speaker, and the speaker of one is unknown.
    """
    folder = (
        os.path.basename(os.path.abspath(domain.root or "."))
        if not filesystem.is_remote(domain.root)
        else (posixpath.basename(domain.root.rstrip("/")))
    )
    for entry in domain.files:
        if split_by == "speaker":
            if not entry.speaker and not entry.split:
                raise UserError(f"--split_by=speaker: {entry.path} has no speaker; wanted one in the column of --list")
            yield f"{seed}:{entry.speaker}"
            continue
        relative = ignored_files.printable(entry.path.removeprefix(domain.root))
        yield source_files.split_key(relative, folder, split_by, seed)
