import numpy as np
import pytest
import tensorflow as tf

from models import stateless_random
from models.features import audio
from models.features.audio_spec import AudioSpec, band_centres
from models.recognition import voice_perturbation

SPEC = AudioSpec.at(16000)


def tone_band(factor_index):
    """Centre in Hz of the loudest band of a tone of 1 kHz after a stretch."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    mels = tf.constant(audio.log_mel(tone, SPEC)[None, 10:50], tf.float32)
    y = voice_perturbation.stretch(mels, tf.constant([factor_index]), SPEC, largest=1.25)
    return band_centres(SPEC)[int(np.argmax(y[0].numpy().mean(axis=0)))]


@pytest.mark.parametrize("index", [0, 20, 40])
def test_stretch_multiplies_frequencies(index):
    factor = voice_perturbation.stretch_factors(1.25)[index]
    assert tone_band(index) == pytest.approx(1000 * factor, rel=0.04)


def test_the_middle_stretch_changes_nothing():
    x = tf.random.stateless_normal([2, 5, 80], [0, 1])
    y = voice_perturbation.stretch(x, tf.constant([20, 20]), SPEC, largest=1.5)
    np.testing.assert_allclose(x, y, atol=1e-5)


def test_filters_are_smooth_constant_over_time_and_differ_by_example():
    rng = stateless_random.StatelessRng(tf.constant([1, 2], tf.int64), tf.range(2), 2)
    y = voice_perturbation.random_filter(tf.zeros([2, 4, 80]), rng, deviation=0.5).numpy()
    assert np.ptp(y, axis=1).max() == 0
    assert np.abs(np.diff(y[:, 0], n=2)).max() < 0.5
    assert np.abs(y[0] - y[1]).max() > 0.1
