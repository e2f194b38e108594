"""Splits into training, validation and test data by a stable hash of each source's key."""

from __future__ import annotations

from pipelines import stable_hash

SPLITS = ("train", "val", "test")


def split_of(key: str, *, val_fraction: float, test_fraction: float) -> str:
    """Return the split of a source by a stable hash of its key.

    >>> split_of("x", val_fraction=0.0, test_fraction=1.0)
    'test'
    """
    position = split_position(key)
    if position < test_fraction:
        return "test"
    return "val" if position < test_fraction + val_fraction else "train"


def split_position(key: str) -> float:
    """Return the position of a source in [0, 1): first the test range, then validation, then training."""
    return stable_hash.stable_fraction(f"split:{key}")
