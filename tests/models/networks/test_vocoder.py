"""Networks of the vocoder: spectra to waveforms, projections and discriminators."""

import numpy as np
import pytest
import tensorflow as tf
from testbed import CLIP_FRAMES, SMALL

from models import layers, spectral
from models.features import audio
from models.networks import vocoder as vocoder_networks


def test_a_waveform_is_the_inverse_transform_of_the_predicted_spectrum(rng):
    predicted = tf.complex(*(tf.constant(rng.normal(size=(2, CLIP_FRAMES, 129)), tf.float32) for _ in range(2)))
    made = vocoder_networks.waveform(predicted, tf.zeros([2, CLIP_FRAMES, 32]), SMALL, projections=0)
    np.testing.assert_array_equal(made, spectral.istft(predicted, SMALL))
    assert made.shape == (2, (CLIP_FRAMES - 1) * SMALL.hop_length)


def test_frames_have_the_predicted_phases_and_magnitudes(voice_pair, rng):
    log_mels = spectral.log_mel(voice_pair, SMALL)
    predicted = tf.constant(0.3 * rng.normal(size=(2, CLIP_FRAMES, 2 * 129)), tf.float32)
    found = vocoder_networks.complex_frames(predicted, log_mels, SMALL)
    silent = vocoder_networks.complex_frames(tf.zeros_like(predicted), log_mels, SMALL)
    np.testing.assert_allclose(tf.math.angle(found), predicted[..., 129:], atol=1e-4)
    np.testing.assert_allclose(tf.math.log(tf.abs(found) / tf.abs(silent)), predicted[..., :129], atol=1e-4)


def test_zero_outputs_give_the_magnitudes_of_the_mels(voice_pair):
    log_mels = spectral.log_mel(voice_pair, SMALL)
    found = tf.abs(vocoder_networks.complex_frames(tf.zeros([2, CLIP_FRAMES, 2 * 129]), log_mels, SMALL))
    again = tf.math.log(tf.maximum(found @ audio.mel_matrix(SMALL).T, SMALL.floor))
    assert np.mean(np.abs(again - log_mels)) < 0.05


def test_no_bin_is_louder_than_any_recording_could_be():
    shout = vocoder_networks.complex_frames(tf.fill([1, 4, 2 * 129], 99.0), tf.zeros([1, 4, 32]), SMALL)
    assert np.abs(shout).max() <= SMALL.n_fft * 1.001


def test_projections_bring_a_waveform_to_its_mels_and_leave_one_that_has_them(voice_pair, rng):
    log_mels, true = spectral.log_mel(voice_pair, SMALL), spectral.stft(voice_pair, SMALL)
    again = vocoder_networks.waveform(true, log_mels, SMALL, projections=3)
    inside = slice(SMALL.hop_length, -SMALL.hop_length)  # the recording begins with a leap, which mels do not hold
    assert mel_error(again, log_mels) < 0.02 and np.max(np.abs(again - voice_pair)[:, inside]) < 0.02
    phase = tf.constant(rng.uniform(-np.pi, np.pi, true.shape), tf.float32)
    predicted = tf.cast(tf.abs(true), tf.complex64) * tf.exp(tf.complex(0.0, phase))
    found = [
        mel_error(vocoder_networks.waveform(predicted, log_mels, SMALL, projections=n), log_mels) for n in (0, 4, 16)
    ]
    assert found[0] > 2 * found[1] > 3 * found[2]


def mel_error(waveforms, log_mels):
    """Mean absolute difference of their log-mels from those."""
    return float(np.mean(np.abs(spectral.log_mel(waveforms, SMALL) - log_mels)))


def test_projections_leave_silence_silent(rng):
    floor = tf.fill([1, CLIP_FRAMES, 32], SMALL.log_floor)
    predicted = tf.complex(*(tf.constant(1e-5 * rng.normal(size=(1, CLIP_FRAMES, 129)), tf.float32) for _ in range(2)))
    made = vocoder_networks.waveform(predicted, floor, SMALL, projections=8)
    assert np.abs(made).max() < 1e-4 and np.isfinite(made).all()


@pytest.mark.parametrize("samples", [1, 29, 30, 31, 1001])
@pytest.mark.parametrize("period", [2, 7])
def test_period_discriminators_accept_any_length(period, samples):
    discriminator = vocoder_networks.period_discriminator(period, channels=2)
    logits = discriminator(tf.ones([2, samples]))
    assert logits.shape[0] == 2 and logits.shape[2:] == (period, 1) and np.isfinite(logits).all()
    assert len(layers.FeatureTaps(discriminator)(tf.ones([2, samples]))) == 5


def test_a_period_puts_samples_that_far_apart_into_one_column():
    folded = vocoder_networks.PeriodRows(3)(tf.range(8.0)[None])[0, ..., 0]
    np.testing.assert_array_equal(folded, [[0, 1, 2], [3, 4, 5], [6, 7, 0]])


@pytest.mark.parametrize("samples", [1, 640, 1001])
def test_resolution_discriminators_accept_any_length(samples):
    discriminator = vocoder_networks.resolution_discriminator(SMALL, channels=2)
    logits = discriminator(tf.ones([2, samples]))
    assert logits.shape[:2] == (2, SMALL.frames(samples)) and np.isfinite(logits).all()
