import numpy as np
import pytest
import tensorflow as tf

from models.features import audio
from models.features.audio_spec import AudioSpec, band_centres
from models.recognition import content_encoder

SPEC = content_encoder.SPEC


def log_mels(spec, seconds=3.0):
    """Noise that changes its spectrum every 0.2 s: something is "spoken"."""
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * 48000)) / 48000
    y = sum(
        np.sin(2 * np.pi * f * t) * (rng.random(len(t) // 9600 + 1) > 0.4).repeat(9600)[: len(t)]
        for f in range(120, 3600, 120)
    )
    y = (
        y[:: 48000 // spec.sample_rate_hz]
        if 48000 % spec.sample_rate_hz == 0
        else np.interp(np.arange(int(seconds * spec.sample_rate_hz)) / spec.sample_rate_hz, t, y)
    )
    return np.float32(audio.log_mel(audio.normalize_level(y, spec), spec))[None]


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_one_vector_for_each_frame_of_every_front_end(rate):
    spec = AudioSpec.at(rate)
    x = log_mels(spec)
    content = content_encoder.encode(tf.constant(x), spec)
    assert content.shape == (1, x.shape[1], content_encoder.COMPONENTS)
    assert np.isfinite(content).all()


def test_content_is_scaled():
    content = content_encoder.encode(tf.constant(log_mels(SPEC)), SPEC).numpy()
    assert 0.1 < content.var() < 10


@pytest.mark.parametrize("rate", [8000, 22050])
def test_other_front_ends_are_interpolated_to_the_encoders_bands_and_frames(rate):
    wanted, x = log_mels(SPEC)[0], log_mels(AudioSpec.at(rate))
    found = content_encoder.to_encoder_log_mels(tf.constant(x), AudioSpec.at(rate)).numpy()[0]
    frames = min(len(wanted), len(found)) - 5
    below = band_centres(SPEC) < 3000
    difference = (found[5:frames] - wanted[5:frames])[:, below]
    assert abs(np.median(difference)) < 0.7
    assert np.corrcoef(found[5:frames, below].ravel(), wanted[5:frames, below].ravel())[0, 1] > 0.9


def test_bands_above_the_front_end_are_at_the_floor():
    found = content_encoder.to_encoder_log_mels(tf.constant(log_mels(AudioSpec.at(8000))), AudioSpec.at(8000)).numpy()
    np.testing.assert_allclose(found[..., band_centres(SPEC) > 3900], SPEC.log_floor)


@pytest.mark.parametrize("rate", [16000, 22050])
def test_content_depends_on_no_frame_beyond_the_context(rate):
    spec = AudioSpec.at(rate)
    x = np.repeat(log_mels(spec), 3, axis=1)
    changed = x.copy()
    changed[:, 0] += 1.0
    reach = content_encoder.context(spec)
    a, b = (content_encoder.encode(tf.constant(each), spec).numpy() for each in (x, changed))
    np.testing.assert_allclose(a[:, reach + 1 :], b[:, reach + 1 :], atol=1e-5)


def test_resampled_frames_are_interpolated():
    x = tf.constant([[[0.0], [1.0], [2.0]]])
    y = content_encoder.resample_frames(x, 0.5, tf.constant(6)).numpy().ravel()
    np.testing.assert_allclose(y, [0, 0.5, 1, 1.5, 2, 2])


def test_weights_are_in_the_package_and_small():
    weights = content_encoder.read_weights(content_encoder.WEIGHTS)
    assert weights["components"].shape == (190, content_encoder.COMPONENTS)
    assert 1.5e6 < sum(value.size for value in weights.values()) < 3e6


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_content_changes_more_in_a_varying_sound_than_in_noise(rate):
    spec = AudioSpec.at(rate)
    noise = audio.log_mel(audio.normalize_level(np.random.default_rng(0).normal(size=3 * rate), spec), spec)
    varying, frames = log_mels(spec), 100
    both = np.stack([varying[0, :frames], np.float32(noise[:frames])])
    change, entropy = content_encoder.change_and_entropy(tf.constant(both), spec)
    assert change.shape == entropy.shape == (2,)
    assert change[0] > 1.3 * change[1] and np.all(entropy > 0) and np.all(entropy < np.log(191))


def test_the_content_of_a_single_frame_does_not_change():
    change, entropy = content_encoder.change_and_entropy(tf.constant(log_mels(SPEC)[:, :1]), SPEC)
    assert change == 0 and np.isfinite(entropy)
