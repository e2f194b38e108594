"""In which rounds of an epoch a record is drawn: spread evenly, begun at random (systematic sampling)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipelines.data import sample_weights

MAX_RECORDS_PER_DRAW = 4  # that a round may pass over at most, in the mean, for each that it draws


class SamplingRounds:
    """The rounds of all epochs of some records, numbered on from the beginning of training.

    A record that an epoch draws n times is drawn in n of its rounds, one every (rounds / n), from a random one on
    (systematic sampling, Madow & Madow 1944). There are as many rounds as the most drawn record has draws, but no
    more than that a round draws one in `RECORDS_A_DRAW` of the records it passes over; beyond, that record is drawn
    more than once in a round.

    Args:
      shares: how often an epoch draws from each record; whole numbers, or others that come to one in the sum.
      seed: of the phases; the order within a round is up to :meth:`seeds`.

    Attributes:
      draws: of an epoch.
      rounds: of an epoch.
      every: whether every round draws every record once.
    """

    def __init__(self, shares: Sequence[float], *, seed: int):
        per_record = np.asarray(shares, np.float64)
        self.seed, self.draws = seed, round(float(per_record.sum()))
        most = max(1, int(np.ceil(per_record.max() - 1e-6)))
        self.rounds = min(most, max(1, -(-MAX_RECORDS_PER_DRAW * self.draws // len(per_record))))
        self.every = self.rounds == 1 and bool(np.allclose(per_record, 1, atol=1e-6))
        self.edges = tf.constant(sample_weights.cumulative_draws(per_record), tf.float64)

    def seeds(self, number: tf.Tensor) -> tf.Tensor:
        """`[2]` int64: a seed of its own for each round."""
        return tf.stack([tf.constant(self.seed, tf.int64), tf.cast(number, tf.int64)])

    def times(self, number: tf.Tensor) -> tf.Tensor:
        """How often a round draws from each record, `[records]` int64."""
        epoch, place = number // self.rounds, number % self.rounds
        draws = sample_weights.systematic_draws(self.edges, self.seeds(epoch))
        seeds = tf.stack([tf.constant(self.seed + 1, tf.int64), tf.cast(epoch, tf.int64)])
        span = {"minval": 0, "maxval": self.rounds, "dtype": tf.int64}
        phases = tf.random.stateless_uniform(tf.shape(draws), seeds, alg="philox", **span)
        before, after = ((draws * (place + n) + phases) // self.rounds for n in (0, 1))
        return after - before

    def place_of(self, draw: int) -> tuple[int, int]:
        """The round in which a draw of the training is, and how many draws of that round are before it."""
        epoch, left = divmod(draw, self.draws)
        number = epoch * self.rounds
        while left and left >= (count := int(tf.reduce_sum(self.times(tf.constant(number, tf.int64))))):
            number, left = number + 1, left - count
        return number, left
