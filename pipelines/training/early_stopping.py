"""Early stopping: the best validation so far, and whether validation still improves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Rows = Sequence[Mapping]  # of `metrics.jsonl`


def series(rows: Rows, split: str, name: str) -> list[tuple[int, float]]:
    """Return the steps and the values of a metric without those that are not finite."""
    return [(row["step"], row[name]) for row in rows if row["split"] == split and row.get(name) is not None]


def best(rows: Rows, name: str) -> tuple[int, float] | None:
    """Return step and value of the lowest validation metric; None before the first validation.

    >>> best([{"split": "val", "step": 5, "l1": 0.5}, {"split": "val", "step": 9, "l1": 0.7}], "l1")
    (5, 0.5)
    """
    return min(series(rows, "val", name), key=lambda point: point[1], default=None)


def should_stop(rows: Rows, name: str, patience: int) -> bool:
    """Return whether the last `patience` validations brought no new best; never with a patience of 0."""
    validations = series(rows, "val", name)
    return bool(patience and validations) and sum(step > best(rows, name)[0] for step, _ in validations) >= patience
