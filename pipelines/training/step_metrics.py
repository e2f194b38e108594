"""Means of a step's metrics, and how fast steps are."""

from __future__ import annotations

import time
from collections.abc import Mapping

import tensorflow as tf


class Meter:
    """Means of the metrics since it was last read, steps a second, and the share of time spent waiting for input."""

    def __init__(self):
        self.sums, self.steps, self.waited_s, self.began = {}, 0, 0.0, time.monotonic()

    def add(self, values: Mapping[str, tf.Tensor], waited_s: float) -> None:
        """The metrics of one more step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in values.items()}
        self.steps, self.waited_s = self.steps + 1, self.waited_s + waited_s

    def read(self) -> dict[str, float]:
        """The means; begins anew."""
        means = {name: float(total) / self.steps for name, total in self.sums.items()}
        spent = max(1e-9, time.monotonic() - self.began)
        means |= {"steps_per_s": self.steps / spent, "waiting": self.waited_s / spent}
        self.__init__()
        return means


def spoken(values: Mapping[str, float]) -> str:
    """Metrics for the progress line.

    >>> spoken({"cycle": 0.12345, "steps_per_s": 7.0})
    'cycle 0.123'
    """
    return "  ".join(f"{k} {v:.3f}" for k, v in values.items() if k not in ("steps_per_s", "waiting"))
