"""F0 of domains, and its transformation."""

import numpy as np
import pytest
import tensorflow as tf

from models.features.audio_spec import AudioSpec
from models.recognition import pitch_encoder
from models.synthesis.intonation import MAX_SCALE, Intonation, Pitch, smooth


def pitch_of(log_f0, width=1000):
    log_f0 = tf.constant(log_f0, tf.float32)
    voicing = tf.ones_like(log_f0)
    mean, deviation = pitch_encoder.local_moments(log_f0, voicing, width)
    return Pitch(log_f0, log_f0 - mean, deviation, voicing)


def heard(mean, deviation):
    """An intonation of two domains, the second of which has that mean and deviation."""
    made = Intonation(2)
    for moments in (made.level, made.relative):
        moments.sums.assign(1e-6 * moments.sums)
    wave = mean + deviation * np.sqrt(2) * np.sin(np.arange(1000) * 2 * np.pi / 100)
    made.add(pitch_of([wave]), tf.constant([1]))
    return made


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_f0_of_any_register_gets_mean_and_deviation_of_the_domain(shift):
    rng = np.random.default_rng(0)
    moved = heard(5.3, 0.15).in_domain(pitch_of(rng.normal(4.6 + shift, 0.2, (1, 300))), tf.constant([1]))
    assert moved.log_f0.numpy().mean() == pytest.approx(5.3, abs=0.01)
    assert moved.log_f0.numpy().std() == pytest.approx(0.15, abs=0.01)
    assert moved.deviation.numpy().mean() == pytest.approx(0.15, abs=0.01)
    np.testing.assert_allclose(moved.log_f0 - 5.3, moved.relative, atol=0.01)


@pytest.mark.parametrize(("deviation", "scale"), [(0.01, MAX_SCALE), (1.0, 1 / MAX_SCALE)])
def test_the_deviation_changes_within_limits(deviation, scale):
    x = np.random.default_rng(0).normal(5.0, deviation, (1, 300))
    moved = heard(5.0, 0.1).in_domain(pitch_of(x), tf.constant([1]))
    assert moved.log_f0.numpy().std() == pytest.approx(scale * x.std(), rel=0.02)


def test_a_voice_without_intonation_is_moved_only():
    moved = heard(5.3, 0.15).in_domain(pitch_of(np.full((1, 50), 4.8)), tf.constant([1]))
    np.testing.assert_allclose(moved.log_f0, 5.3, atol=0.01)


def test_statistics_are_what_the_transformation_depends_on():
    first, second = heard(5.3, 0.15), Intonation(2)
    for source, target in zip(first.statistics(), second.statistics(), strict=True):
        target.assign(source)
    pitch = pitch_of(np.random.default_rng(0).normal(4.8, 0.1, (1, 50)))
    results = [made.in_domain(pitch, tf.constant([1])).log_f0 for made in (first, second)]
    np.testing.assert_array_equal(*results)


def test_smoothing_removes_errors_of_single_frames_and_keeps_the_contour():
    spec = AudioSpec.at(16000)
    rng, times = np.random.default_rng(0), np.arange(300) / spec.frame_rate_hz
    contour = 0.2 * np.sin(2 * np.pi * times)  # a rise and a fall in a second
    before = pitch_of(4.8 + contour[None] + rng.normal(0, 0.05, (1, 300)))
    after = smooth(before, spec)
    error = [np.std(pitch.relative[0] - contour) for pitch in (before, after)]
    assert error[1] < error[0] / 2
    assert np.std(after.relative) == pytest.approx(np.std(contour), rel=0.05)
    np.testing.assert_allclose(after.log_f0 - after.relative, before.log_f0 - before.relative, atol=1e-6)


def test_smoothing_ignores_unvoiced_frames():
    log_f0, voicing = np.full((1, 60), 5.0), np.ones((1, 60))
    log_f0[0, 20:30], voicing[0, 20:30] = 6.0, 0.0
    pitch = Pitch(*(tf.constant(x, tf.float32) for x in (log_f0, log_f0 - 5.0, 0 * log_f0, voicing)))
    after = smooth(pitch, AudioSpec.at(16000))
    np.testing.assert_allclose(after.relative.numpy()[voicing > 0], 0.0, atol=0.01)
