"""Fractions of the sources for validation and test, raised where a small domain would have none."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator

from pipelines.beam import filesystem
from pipelines.data import ignored_files, source_files, splits

MIN_SOURCES = 10  # files, or folders, of a domain from which on one is spared for each split that is asked for
MAX_FRACTION = 0.25  # of the sources for a split, whatever a small domain needs


def adjust_fractions(
    corpus: Iterable[source_files.Domain], asked: tuple[float, float], *, split_by: str, seed: int
) -> tuple[float, float]:
    """Shares of the sources for validation and testing, raised where a small domain would have none for one of them.

    They are the same for all domains, so that files of one name stay in one split.

    Args:
      corpus: the domains.
      asked: the shares that were asked for; 0 stays 0.
      split_by: "file" or "parent".
      seed: of the split.
    """
    val, test = asked
    positions = [
        sorted({splits.split_position(key) for key in split_keys(domain, split_by, seed)}) for domain in corpus
    ]
    spared = [places for places in positions if len(places) >= MIN_SOURCES]
    if test:
        test = max([test, *(each for places in spared if (each := _slightly_above(places[0])) <= MAX_FRACTION)])
    if val:
        beyond = [_slightly_above(min((x for x in places if x >= test), default=1.0)) - test for places in spared]
        val = max([val, *(each for each in beyond if each <= MAX_FRACTION)])
    return val, test


def _slightly_above(position: float) -> float:
    return position + 1e-9


def split_keys(domain: source_files.Domain, split_by: str, seed: int) -> Iterator[str]:
    """What decides on the split of each file, in order."""
    folder = (
        os.path.basename(os.path.abspath(domain.root or "."))
        if not filesystem.is_remote(domain.root)
        else (posixpath.basename(domain.root.rstrip("/")))
    )
    for entry in domain.files:
        relative = ignored_files.printable(entry.path.removeprefix(domain.root))
        yield source_files.split_key(relative, folder, split_by, seed)
