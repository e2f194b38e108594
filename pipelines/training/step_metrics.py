"""Means of the metrics of training steps, and the speed of the steps."""

from __future__ import annotations

import time
from collections.abc import Mapping

import tensorflow as tf

SPEED_METRICS = ("steps_per_s", "waiting")


class Meter:
    """Means since the last reading: metrics, steps per second, share of the time spent waiting for input."""

    def __init__(self):
        self.sums, self.steps, self.waited_s, self.started = {}, 0, 0.0, time.monotonic()

    def add(self, values: Mapping[str, tf.Tensor], waited_s: float) -> None:
        """Add the metrics of one step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in values.items()}
        self.steps, self.waited_s = self.steps + 1, self.waited_s + waited_s

    def exclude(self, seconds: float) -> None:
        """Leave out a time, such as that of a validation, from the speed."""
        self.started += seconds

    def read(self) -> dict[str, float]:
        """Return the means and start again."""
        means = {name: float(total) / self.steps for name, total in self.sums.items()}
        elapsed_s = max(1e-9, time.monotonic() - self.started)
        means |= dict(zip(SPEED_METRICS, (self.steps / elapsed_s, self.waited_s / elapsed_s), strict=True))
        self.__init__()
        return means


def format_metrics(values: Mapping[str, float]) -> str:
    """Format metrics for the progress line.

    >>> format_metrics({"cycle": 0.12345, "steps_per_s": 7.0})
    'cycle 0.123'
    """
    return "  ".join(f"{name} {value:.3f}" for name, value in values.items() if name not in SPEED_METRICS)
