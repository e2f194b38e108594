"""Schedules: loss weights and learning rates as functions of the training step."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from models.errors import UserError

Points = tuple[tuple[float, float], ...]
Schedule = float | Points


def at_step(schedule: Schedule, step: tf.Tensor) -> tf.Tensor | float:
    """The value of a schedule at a step: linear between its points and constant outside them.

    Args:
      schedule: a number, or points ``((step, value), ...)`` with steps in rising order.
      step: integer scalar.

    >>> float(at_step(((0, 5.0), (100, 0.0)), tf.constant(50)))
    2.5
    >>> at_step(3.0, tf.constant(7))
    3.0
    """
    if not isinstance(schedule, tuple):
        return schedule
    step = tf.cast(step, tf.float32)
    value = tf.constant(schedule[0][1], tf.float32)
    for (x0, y0), (x1, y1) in zip(schedule, schedule[1:], strict=False):
        fraction = tf.clip_by_value((step - x0) / max(x1 - x0, 1e-9), 0.0, 1.0)
        value = tf.where(step >= x0, y0 + (y1 - y0) * fraction, value)
    return value


def is_zero(schedule: Schedule) -> bool:
    """Whether a schedule is zero at every step, so that the loss that it weights need not be computed.

    >>> is_zero(0.0), is_zero(((0, 5.0), (10, 0.0)))
    (True, False)
    """
    return not any(value for _, value in schedule) if isinstance(schedule, tuple) else not schedule


def skip_if_zero(weight: tf.Tensor | float, loss: Callable[[], tf.Tensor], zero: tf.Tensor) -> tf.Tensor:
    """`loss()` while its weight is positive, else `zero`: its forward passes are skipped once a schedule has ended."""
    return tf.cond(weight > 0, loss, lambda: zero) if tf.is_tensor(weight) else loss()


DECAYS = ("linear", "constant", "cosine")


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate with linear warm-up, a decay, and a factor that the trainer controls.

    Args:
      learning_rate: the highest value.
      steps: updates in the whole training.
      decay: "linear" is constant for the fraction `flat` of `steps`, then falls linearly to zero (Sec. 4 of
        arXiv:1703.10593); "cosine" falls along half a cosine (Eq. 5 of arXiv:1608.03983, one period); "constant".
      flat: the fraction of `steps` during which "linear" is constant.
      warmup_steps: updates in which the learning rate rises linearly from zero.
      scale: a scalar variable that the trainer lowers after a divergence, or None.

    Raises:
      UserError: no such decay.

    >>> round(float(LearningRate(2.0, 100, decay="cosine")(50)), 3)
    1.0
    """

    def __init__(
        self,
        learning_rate: float,
        steps: int,
        *,
        decay: str = "linear",
        flat: float = 0.5,
        warmup_steps: int = 0,
        scale: tf.Variable | None = None,
    ):
        if decay not in DECAYS:
            raise UserError(f"decay={decay!r}; wanted one of {', '.join(DECAYS)}")
        self.learning_rate, self.steps, self.scale = learning_rate, steps, scale
        self.decay, self.flat, self.warmup_steps = decay, flat, warmup_steps

    def __call__(self, step):
        """The learning rate of an optimizer's update, counted from 0."""
        step = tf.cast(step, tf.float32)
        learning_rate = self.learning_rate * self._decay(step)
        if self.warmup_steps:
            learning_rate *= tf.minimum(1.0, (step + 1) / self.warmup_steps)
        return learning_rate if self.scale is None else learning_rate * self.scale

    def _decay(self, step):
        if self.decay == "constant":
            return tf.ones_like(step)
        if self.decay == "cosine":
            return 0.5 * (1 + tf.cos(math.pi * tf.minimum(step / max(self.steps, 1), 1.0)))
        start = self.flat * self.steps
        return tf.clip_by_value((self.steps - step) / max(self.steps - start, 1.0), 0.0, 1.0)

    def get_config(self) -> dict:
        """The arguments except the scale."""
        names = ("learning_rate", "steps", "decay", "flat", "warmup_steps")
        return {name: getattr(self, name) for name in names}
