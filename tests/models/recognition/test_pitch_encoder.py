import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from models.features import audio
from models.features.audio_spec import AudioSpec
from models.recognition import pitch_encoder


def voice(f0_hz, spec, seconds=1.0):
    """Log-mels of a pulse train through three formants, of the front end's level."""
    rate = spec.sample_rate_hz
    y = np.zeros(int(seconds * rate))
    y[np.round(np.arange(0, len(y) - 1, rate / f0_hz)).astype(int)] = 1.0
    for frequency, width in ((600, 90), (1200, 110), (2500, 160)):
        r = np.exp(-np.pi * width / rate)
        y = scipy.signal.lfilter([1.0], [1, -2 * r * np.cos(2 * np.pi * frequency / rate), r * r], y)
    return np.float32(audio.log_mel(audio.normalize_level(y, spec), spec))[None]


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
@pytest.mark.parametrize("f0_hz", [85, 110, 150, 220, 300])
def test_finds_the_f0_of_synthetic_voices(f0_hz, rate):
    spec = AudioSpec.at(rate)
    log_f0, voicing = (x.numpy()[0, 8:-8] for x in pitch_encoder.track(tf.constant(voice(f0_hz, spec)), spec))
    assert np.median(voicing) > 0.5
    assert np.median(np.exp(log_f0)) == pytest.approx(f0_hz, rel=0.06)


def test_noise_and_silence_are_unvoiced():
    spec = AudioSpec.at(16000)
    noise = audio.normalize_level(np.random.default_rng(0).normal(size=16000), spec)
    for y in (noise, np.zeros(16000)):
        voicing = pitch_encoder.track(tf.constant(np.float32(audio.log_mel(y, spec))[None]), spec)[1].numpy()
        assert voicing.mean() < 0.3


def test_local_moments_are_of_voiced_frames():
    log_f0 = tf.constant([[5.0, 5.2, 5.4, 0.0]])
    voicing = tf.constant([[1.0, 1.0, 1.0, 0.0]])
    mean, deviation = pitch_encoder.local_moments(log_f0, voicing, 10)
    np.testing.assert_allclose(mean[0], [5.2] * 4, atol=3e-3)
    np.testing.assert_allclose(deviation[0, :3], [np.std([5.0, 5.2, 5.4])] * 3, atol=3e-3)


def test_without_voiced_frames_the_local_mean_is_the_frames_own():
    log_f0 = tf.constant([[5.0, 5.2, 5.4]])
    mean, deviation = pitch_encoder.local_moments(log_f0, tf.zeros_like(log_f0), 1)
    np.testing.assert_allclose(mean, log_f0, atol=1e-4)
    np.testing.assert_allclose(deviation, 0.0, atol=1e-3)


def test_local_moments_depend_on_their_window_only():
    rng = np.random.default_rng(0)
    log_f0, voicing = rng.uniform(4, 6, (1, 50)), rng.random((1, 50))
    a, b = (
        pitch_encoder.local_moments(tf.constant(x, tf.float32), tf.constant(voicing, tf.float32), 5)
        for x in (log_f0, log_f0 + 3 * (np.arange(50) < 10))
    )
    for found, wanted in zip(a, b, strict=True):
        np.testing.assert_allclose(found[:, 16:], wanted[:, 16:], atol=1e-3)
