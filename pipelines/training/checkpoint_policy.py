"""Checkpoint policy of a training run: what is saved, when a failed save ends training, and the best validation."""

from __future__ import annotations

import math
import sys

import numpy as np
import tensorflow as tf

from pipelines.training import metrics_log
from pipelines.training.checkpoint import Checkpointer
from plugins import base


class CheckpointPolicy:
    """The last few training states and that of the best validation.

    Args:
      run_dir: the run directory.
      plugin: the plugin that is trained.

    Attributes:
      latest: the checkpoints from which training resumes.
      best: the checkpoint of the best validation.
    """

    def __init__(self, run_dir: str, plugin: base.Plugin):
        self.plugin = plugin
        self.latest = Checkpointer(run_dir, plugin)
        self.best = Checkpointer(run_dir, plugin, folder="best", max_to_keep=1)

    def save(self, step: int, log: metrics_log.MetricsLog, *, required: bool = False) -> None:
        """Save the training state and the log, unless a weight is not finite.

        A failure is a warning, and earlier checkpoints stay. A state that is not finite would replace those to which
        training can return.

        Raises:
          OSError: the checkpoint could not be written and is required.
        """
        self._save(self.latest, step, log, required=required)

    def save_if_best(self, step: int, log: metrics_log.MetricsLog, value: float | None) -> None:
        """Save the training state as the best one if its validation metric is lower than that of the best so far."""
        if value is not None and value < self.best.best_value():
            self.best.value.assign(value)
            self._save(self.best, step, log)

    def _save(
        self, checkpointer: Checkpointer, step: int, log: metrics_log.MetricsLog, *, required: bool = False
    ) -> None:
        if not is_finite(self.plugin):
            return
        try:
            log.flush()
            checkpointer.save(step)
        except (OSError, tf.errors.OpError) as error:
            if required:
                raise
            print(f"warning: {error}; training continues", file=sys.stderr, flush=True)


def is_finite(plugin: base.Plugin) -> bool:
    """Return whether all floating-point variables of a checkpoint are finite."""
    networks = [v.value for network in plugin.networks() for v in network.variables]
    floats = [v for v in [*networks, *plugin.variables] if v.dtype.is_floating]
    return all(np.isfinite(float(tf.reduce_sum(tf.abs(v)))) for v in floats)


def require_finite(plugin: base.Plugin, step: int, values: dict[str, float]) -> None:
    """Check the metrics of a step and the weights.

    Raises:
      FloatingPointError: one is not finite; the message names the metrics, or else the weights.
    """
    names = [name for name, value in values.items() if not math.isfinite(value)]
    if not names and not is_finite(plugin):
        names = ["weights"]
    if names:
        raise FloatingPointError(f"step {step}: {', '.join(names)} not finite")
