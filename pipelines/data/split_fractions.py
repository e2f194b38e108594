"""Fractions of the sources for validation and test, raised if a small domain would have none."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator

import numpy as np

from models.errors import UserError
from pipelines.beam import filesystem
from pipelines.data import ignored_files, source_files, splits
from pipelines.data.domains import Domain
from pipelines.data.file_table import FileEntry

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
    positions = [_positions(domain, split_by, seed) for domain in domains]
    large_enough = [points for points in positions if len(points) >= MIN_SOURCES]
    if test:
        needed = (_slightly_above(points[0]) for points in large_enough)
        test = max([test, *(fraction for fraction in needed if fraction <= MAX_FRACTION)])
    if val:
        needed = (_slightly_above(next(iter(points[points >= test]), 1.0)) - test for points in large_enough)
        val = max([val, *(fraction for fraction in needed if fraction <= MAX_FRACTION)])
    return val, test


def _positions(domain: Domain, split_by: str, seed: int) -> np.ndarray:
    """Return the positions of the files that a hash assigns to a split: sorted, each once."""
    values = (splits.split_position(key) for entry, key in split_keys(domain, split_by, seed) if not entry.split)
    return np.unique(np.fromiter(values, np.float64))


def _slightly_above(position: float) -> float:
    return float(position) + 1e-9


def split_keys(domain: Domain, split_by: str, seed: int) -> Iterator[tuple[FileEntry, str]]:
    """Yield each file with the key that decides on its split.

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
            yield entry, f"{seed}:{entry.speaker}"
            continue
        relative = ignored_files.printable(entry.path.removeprefix(domain.root))
        yield entry, source_files.split_key(relative, folder, split_by, seed)
