"""Running moments of domains."""

import numpy as np
import tensorflow as tf

from models.running_moments import RunningMoments


def test_weighted_moments_of_each_domain(rng):
    x, weights = rng.normal(2.0, 3.0, (6, 500, 4)), rng.random((6, 500))
    domain = tf.constant([0, 1, 0, 1, 1, 0])
    moments = RunningMoments(3, 4, name="moments")
    for row in range(6):
        moments.add(
            tf.constant(x[row : row + 1]), domain[row : row + 1], tf.constant(np.float32(weights[row : row + 1]))
        )
    for index in (0, 1):
        rows = domain.numpy() == index
        frames, w = x[rows].reshape(-1, 4), weights[rows].reshape(-1)
        mean = np.average(frames, axis=0, weights=w)
        std = np.sqrt(np.average((frames - mean) ** 2, axis=0, weights=w))
        np.testing.assert_allclose(moments.mean(tf.constant([index]))[0, 0], mean, atol=0.05)
        np.testing.assert_allclose(moments.std(tf.constant([index]))[0, 0], std, rtol=0.02)


def test_a_domain_without_examples_has_the_initial_mean_and_a_deviation_of_one():
    moments = RunningMoments(2, 3, mean=5.0, name="moments")
    np.testing.assert_allclose(moments.mean(tf.constant([1])), np.full((1, 1, 3), 5.0), rtol=1e-5)
    np.testing.assert_allclose(moments.std(tf.constant([1])), np.ones((1, 1, 3)), rtol=1e-3)


def test_recent_steps_count_more():
    moments = RunningMoments(1, 1, name="moments")
    for value in (0.0, 1.0):
        for _ in range(3000):
            moments.add(tf.fill([1, 4, 1], value), tf.constant([0]))
    assert 0.9 < moments.mean(tf.constant([0])).numpy().item() < 1.0
