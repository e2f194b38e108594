"""What a run's numbers say while it trains: the best validation so far, when to stop, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

AT_ZERO, LINES_AT_ZERO = 0.01, 5  # a discriminator's loss, and for how many lines of the log
LEAST_DIVERSITY = 0.1
RISEN, VALIDATIONS_RISEN = 0.1, 3  # by how much of the best validation, and how often in a row

Rows = Sequence[Mapping]


def series(rows: Rows, split: str, name: str) -> list[tuple[int, float]]:
    """The steps and values of a metric; those that were not finite are left out."""
    return [(row["step"], row[name]) for row in rows if row["split"] == split and row.get(name) is not None]


def best(rows: Rows, name: str) -> tuple[int, float] | None:
    """Step and value of the lowest validation of a metric; None before the first.

    >>> best([{"split": "val", "step": 5, "l1": 0.5}, {"split": "val", "step": 9, "l1": 0.7}], "l1")
    (5, 0.5)
    """
    return min(series(rows, "val", name), key=lambda point: point[1], default=None)


def is_over(rows: Rows, name: str, patience: int) -> bool:
    """Whether the last `patience` validations brought no new best; never, with a patience of 0."""
    found = series(rows, "val", name)
    return bool(patience) and bool(found) and sum(step > best(rows, name)[0] for step, _ in found) >= patience


def diversity(made: np.ndarray, given: np.ndarray) -> float:
    """How far apart outputs are, for how far apart examples are: 0 where all outputs are alike.

    Args:
      made: `[n, ...]`, of several examples.
      given: `[m, ...]`, examples.

    >>> diversity(np.zeros((3, 2)), np.arange(6.0).reshape(3, 2))
    0.0
    """
    spread = [float(np.mean(np.std(np.asarray(x, np.float64), axis=0))) for x in (made, given)]
    return spread[0] / max(spread[1], 1e-12)


def alarms(rows: Rows, name: str | None, *, differences: bool = False) -> dict[str, str]:
    """What looks wrong, by a short name.

    Args:
      rows: the lines of the log.
      name: the validation metric that is watched, or None.
      differences: whether the discriminators' losses are differences, as in a WGAN, whose zero means nothing.
    """
    found = {}
    last = [row for row in rows[-2 * LINES_AT_ZERO :] if row["split"] == "train"][-LINES_AT_ZERO:]
    critics = [key for key in (last or [{}])[-1] if key.startswith("discriminator") and not key.endswith("_penalty")]
    for critic in sorted(critics) if len(last) == LINES_AT_ZERO and not differences else ():
        if all(row.get(critic) is not None and row[critic] < AT_ZERO for row in last):
            found[critic] = (
                f"{critic} has stayed below {AT_ZERO}: it has won and teaches nothing; a lower rate_d may help"
            )
    if not rows or rows[-1]["split"] != "val":  # what follows is new after a validation only
        return found
    spread = series(rows, "val", "diversity")
    if spread and spread[-1][1] < LEAST_DIVERSITY:
        found["diversity"] = (
            f"outputs vary {spread[-1][1]:.2g} times as much as examples do: collapsed, or hardly begun"
        )
    if name and _has_risen(rows, name):
        step, value = best(rows, name)
        found["overfitting"] = f"{name} in validation has been rising since step {step} ({value:.4g}): overfitting"
    return found


def _has_risen(rows: Rows, name: str) -> bool:
    """Whether validation is worse than it was, while training is better than it was then."""
    validation, training = series(rows, "val", name), series(rows, "train", name)
    if len(validation) <= VALIDATIONS_RISEN or not training:
        return False
    step, lowest = best(rows, name)
    worse = [value > lowest + RISEN * abs(lowest) for at, value in validation[-VALIDATIONS_RISEN:] if at > step]
    then = min(training, key=lambda point: abs(point[0] - step))[1]
    return len(worse) == VALIDATIONS_RISEN and all(worse) and training[-1][1] < then
