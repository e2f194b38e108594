"""Alarms during training: discriminator loss near zero, mode collapse, overfitting."""

from __future__ import annotations

import sys

import numpy as np

from pipelines.training import early_stopping

MIN_DISCRIMINATOR_LOSS, NUM_LOG_ROWS = 0.01, 5  # alarm where the loss stays below it for so many rows of the log
MIN_DIVERSITY = 0.1
MIN_RELATIVE_RISE, NUM_VALIDATIONS = 0.1, 3  # alarm where so many validations in a row are worse than the best by it


class AlarmReporter:
    """Prints each kind of alarm once.

    Args:
      wasserstein: whether the discriminators are Wasserstein critics.
    """

    def __init__(self, *, wasserstein: bool = False):
        self.wasserstein, self.reported = wasserstein, set()

    def report(self, rows: early_stopping.Rows, monitor: str | None, *, prints: bool = True) -> None:
        """Print the alarms of the log to stderr that have not been reported yet.

        Args:
          rows: rows of the log.
          monitor: name of the validation metric for the alarm of overfitting, or None.
          prints: False only marks them as reported.
        """
        alarms = find_alarms(rows, monitor, wasserstein=self.wasserstein)
        for name, message in alarms.items():
            if prints and name not in self.reported:
                print(f"alarm: {message}", file=sys.stderr, flush=True)
        self.reported |= alarms.keys()


def diversity(outputs: np.ndarray, examples: np.ndarray) -> float:
    """Mean standard deviation of outputs divided by that of examples; 0 under complete mode collapse.

    Args:
      outputs: `[n, ...]`, of different inputs.
      examples: `[m, ...]`.

    >>> diversity(np.zeros((3, 2)), np.arange(6.0).reshape(3, 2))
    0.0
    """
    output_std, example_std = (float(np.mean(np.std(np.asarray(x, np.float64), axis=0))) for x in (outputs, examples))
    return output_std / max(example_std, 1e-12)


def find_alarms(rows: early_stopping.Rows, monitor: str | None, *, wasserstein: bool = False) -> dict[str, str]:
    """Return the alarms of a log as name -> message.

    Args:
      rows: rows of the log; the alarms of mode collapse and overfitting need a validation as the last row.
      monitor: name of the validation metric for the alarm of overfitting, or None.
      wasserstein: whether the discriminators are Wasserstein critics, for whose losses zero has no meaning.
    """
    alarms = {} if wasserstein else _discriminator_alarms(rows)
    if not rows or rows[-1]["split"] != "val":
        return alarms
    ratios = early_stopping.series(rows, "val", "diversity")
    if ratios and ratios[-1][1] < MIN_DIVERSITY:
        alarms["diversity"] = (
            f"diversity {ratios[-1][1]:.2g}: outputs vary much less than examples; mode collapse, or an early step"
        )
    if monitor and _is_overfitting(rows, monitor):
        step, value = early_stopping.best(rows, monitor)
        alarms["overfitting"] = (
            f"overfitting: validation metric {monitor} has been rising since step {step} ({value:.4g})"
        )
    return alarms


def _discriminator_alarms(rows: early_stopping.Rows) -> dict[str, str]:
    last = [row for row in rows[-2 * NUM_LOG_ROWS :] if row["split"] == "train"][-NUM_LOG_ROWS:]
    if len(last) < NUM_LOG_ROWS:
        return {}
    losses = sorted(key for key in last[-1] if key.startswith("discriminator") and not key.endswith("_penalty"))
    return {
        name: f"{name} has stayed below {MIN_DISCRIMINATOR_LOSS}: the discriminator gives the generator no gradient; "
        "lower the discriminators' learning rate"
        for name in losses
        if all(row.get(name) is not None and row[name] < MIN_DISCRIMINATOR_LOSS for row in last)
    }


def _is_overfitting(rows: early_stopping.Rows, name: str) -> bool:
    """Return whether validation is worse than at its best step while training is better than at that step."""
    validation, training = early_stopping.series(rows, "val", name), early_stopping.series(rows, "train", name)
    if len(validation) <= NUM_VALIDATIONS or not training:
        return False
    best_step, lowest = early_stopping.best(rows, name)
    limit = lowest + MIN_RELATIVE_RISE * abs(lowest)
    is_worse = [value > limit for step, value in validation[-NUM_VALIDATIONS:] if step > best_step]
    training_at_best = min(training, key=lambda point: abs(point[0] - best_step))[1]
    return len(is_worse) == NUM_VALIDATIONS and all(is_worse) and training[-1][1] < training_at_best
