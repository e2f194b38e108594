"""Systematic sampling: in which rounds of an epoch a record is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipelines.data import sample_weights

MAX_RECORDS_PER_DRAW = 4  # upper bound of the records that a round reads for each that it draws, on average


class SamplingRounds:
    """The rounds of all epochs of some records, numbered from the beginning of training.

    A record that an epoch draws n times is drawn in n of its rounds: one in every (rounds / n), with a random phase
    (systematic sampling, Madow & Madow 1944). An epoch has as many rounds as the most frequent record has draws, but
    so few that a round reads at most `MAX_RECORDS_PER_DRAW` records for each draw; with fewer rounds than draws, that
    record is drawn more than once in a round.

    Args:
      expected_draws: draws of each record in an epoch; fractions are allowed, their sum is rounded.
      seed: random seed of the phases; :meth:`seeds` gives those of the order in a round.

    Attributes:
      draws_per_epoch: number of draws in an epoch.
      rounds_per_epoch: number of rounds in an epoch.
      uniform: whether every round draws every record once.
    """

    def __init__(self, expected_draws: Sequence[float], *, seed: int):
        per_record = np.asarray(expected_draws, np.float64)
        self.seed, self.draws_per_epoch = seed, round(float(per_record.sum()))
        max_draws = max(1, int(np.ceil(per_record.max() - 1e-6)))
        self.rounds_per_epoch = min(
            max_draws, max(1, -(-MAX_RECORDS_PER_DRAW * self.draws_per_epoch // len(per_record)))
        )
        self.uniform = self.rounds_per_epoch == 1 and bool(np.allclose(per_record, 1, atol=1e-6))
        self.edges = tf.constant(sample_weights.cumulative_draws(per_record), tf.float64)

    def seeds(self, number: tf.Tensor) -> tf.Tensor:
        """Return the random seed of a round, `[2]` int64."""
        return tf.stack([tf.constant(self.seed, tf.int64), tf.cast(number, tf.int64)])

    def draw_counts(self, number: tf.Tensor) -> tf.Tensor:
        """Return how often a round draws each record, `[records]` int64."""
        epoch, index = number // self.rounds_per_epoch, number % self.rounds_per_epoch
        draws = sample_weights.systematic_draws(self.edges, self.seeds(epoch))
        seeds = tf.stack([tf.constant(self.seed + 1, tf.int64), tf.cast(epoch, tf.int64)])
        options = {"minval": 0, "maxval": self.rounds_per_epoch, "dtype": tf.int64}
        phases = tf.random.stateless_uniform(tf.shape(draws), seeds, alg="philox", **options)
        before, after = ((draws * (index + n) + phases) // self.rounds_per_epoch for n in (0, 1))
        return after - before

    def locate(self, draw: int) -> tuple[int, int]:
        """Return the round of a draw, counted from the beginning of training, and its position in the round."""
        epoch, remaining = divmod(draw, self.draws_per_epoch)
        number = epoch * self.rounds_per_epoch
        while remaining and remaining >= (count := int(tf.reduce_sum(self.draw_counts(tf.constant(number, tf.int64))))):
            number, remaining = number + 1, remaining - count
        return number, remaining
