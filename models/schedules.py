"""Numbers that change with the step: loss weights and learning rates, as data and as objects."""

from __future__ import annotations

import keras
import tensorflow as tf

Points = tuple[tuple[float, float], ...]
Schedule = float | Points


def at_step(schedule: Schedule, step: tf.Tensor) -> tf.Tensor | float:
    """The value of a schedule at a step, linear between its points and flat outside them.

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
        done = tf.clip_by_value((step - x0) / max(x1 - x0, 1e-9), 0.0, 1.0)
        value = tf.where(step >= x0, y0 + (y1 - y0) * done, value)
    return value


def is_zero(schedule: Schedule) -> bool:
    """Whether a schedule is zero at every step, so that what it weighs need not be computed.

    >>> is_zero(0.0), is_zero(((0, 5.0), (10, 0.0)))
    (True, False)
    """
    return not any(value for _, value in schedule) if isinstance(schedule, tuple) else not schedule


class FlatThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that stays, then falls linearly to zero (Sec. 4 of arXiv:1703.10593), times a factor.

    Args:
      rate: the rate at the beginning.
      steps: where it reaches zero.
      flat: the fraction of `steps` during which it stays.
      factor: a scalar variable that the trainer lowers after a divergence, or None.
    """

    def __init__(self, rate: float, steps: int, *, flat: float = 0.5, factor: tf.Variable | None = None):
        self.rate, self.steps, self.flat, self.factor = rate, steps, flat, factor

    def __call__(self, step):
        """The rate at an optimiser's step."""
        start = self.flat * self.steps
        left = (self.steps - tf.cast(step, tf.float32)) / max(self.steps - start, 1.0)
        rate = self.rate * tf.clip_by_value(left, 0.0, 1.0)
        return rate if self.factor is None else rate * self.factor

    def get_config(self) -> dict:
        """The arguments, but for the factor."""
        return {"rate": self.rate, "steps": self.steps, "flat": self.flat}
