"""Learning curves: the metrics of a training run as series that the page of a report plots."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

MAX_POINTS = 400  # of a series; longer ones are averaged in bins of equal numbers of rows
NO_CURVES = frozenset({"split", "step", "steps_per_s", "waiting"})


@dataclasses.dataclass(frozen=True)
class Curve:
    """One metric over the steps.

    Attributes:
      name: of the metric.
      steps: sorted steps of all values.
      train: value at each step; None where there is none.
      val: the same on the validation split.
    """

    name: str
    steps: list[float]
    train: list[float | None]
    val: list[float | None]

    def describe(self) -> str:
        """Return first, last and lowest values as a sentence.

        >>> Curve("loss", [1, 2, 3], [0.5, 0.25, 0.3], [None, None, None]).describe()
        'training 0.5 at first, 0.3 at last, lowest 0.25 at step 2'
        """
        return "; ".join(
            f"{name} {values[0][1]:.3g} at first, {values[-1][1]:.3g} at last, "
            f"lowest {min(v for _, v in values):.3g} at step {min(values, key=lambda pair: pair[1])[0]:.0f}"
            for name, values in (("training", self._points(self.train)), ("validation", self._points(self.val)))
            if values
        )

    def _points(self, values: Sequence[float | None]) -> list[tuple[float, float]]:
        return [(step, v) for step, v in zip(self.steps, values, strict=True) if v is not None]


def make_curves(metrics: Sequence[Mapping]) -> list[Curve]:
    """Return a curve for each metric, in order of first appearance.

    Args:
      metrics: rows of `metrics.jsonl`: `split` ("train" or "val"), `step`, and metrics, which may be None.
    """
    names = dict.fromkeys(name for row in metrics for name in row if name not in NO_CURVES)
    curves = []
    for name in names:
        series = {split: _thin(_read_series(metrics, split, name)) for split in ("train", "val")}
        steps = sorted({step for points in series.values() for step, _ in points})
        if steps:
            train, val = ([dict(points).get(step) for step in steps] for points in series.values())
            curves.append(Curve(name, steps, train, val))
    return curves


def _read_series(metrics: Sequence[Mapping], split: str, name: str) -> list[tuple[float, float]]:
    rows = (row for row in metrics if row["split"] == split)
    return [(row["step"], row[name]) for row in rows if isinstance(row.get(name), float | int)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average adjacent points until at most `MAX_POINTS` are left."""
    size = math.ceil(len(points) / MAX_POINTS)
    if size <= 1:
        return points
    return [tuple(np.mean(points[start : start + size], axis=0)) for start in range(0, len(points), size)]
