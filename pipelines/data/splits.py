"""Splits into training, validation and test data by a stable hash of each source's key."""

from __future__ import annotations

from pipelines import stable_hash

SPLITS = ("train", "val", "test")


def split_of(key: str, *, val_fraction: float, test_fraction: float) -> str:
    """The split a source belongs to, by a stable hash of its key.

    >>> split_of("x", val_fraction=0.0, test_fraction=1.0)
    'test'
    """
    place = split_position(key)
    if place < test_fraction:
        return "test"
    return "val" if place < test_fraction + val_fraction else "train"


def split_position(key: str) -> float:
    """Where on the line from 0 to 1 a source lies, whose first part is for testing and the next for validation."""
    return stable_hash.stable_fraction(f"split:{key}")
