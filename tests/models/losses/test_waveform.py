"""Losses between waveforms: zero for equals, growth with distance, finite gradients."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from testbed import SMALL

from models import spectral
from models.losses import waveform

SCALES = waveform.resolutions(SMALL)


TERMS = {
    "mel": lambda x, y: waveform.mel(x, y, SMALL),
    "stft": lambda x, y: waveform.multi_resolution_stft(x, y, SCALES),
    "said": lambda x, y: waveform.frame_loss(x, spectral.stft(y, SMALL), SMALL),
}


each_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)


@each_term
def test_waveform_losses_of_equal_waveforms_are_zero(term, voice_pair):
    assert np.max(np.abs(term(voice_pair, voice_pair))) < 1e-4


@each_term
def test_waveform_losses_grow_with_distance_and_are_per_example(term, voice_pair, rng):
    noise = tf.constant(rng.normal(size=voice_pair.shape), tf.float32)
    costs = [term(voice_pair, voice_pair + level * noise).numpy() for level in (0.001, 0.01, 0.1)]
    assert (costs[0] < costs[1]).all() and (costs[1] < costs[2]).all()
    one = term(voice_pair[:1], voice_pair[:1] + 0.01 * noise[:1]).numpy()
    np.testing.assert_allclose(one[0], costs[1][0], rtol=1e-4)


def test_frames_of_a_whole_recording_fit_a_part_of_it(rng):
    hop, first, count = SMALL.hop_length, 10, 16
    whole = tf.constant(rng.normal(size=(1, 40 * hop)), tf.float32)
    frames = spectral.stft(whole, SMALL)[:, first : first + count]
    part = whole[:, first * hop : (first + count - 1) * hop]
    assert float(waveform.frame_loss(part, frames, SMALL)[0]) < 1e-4


@pytest.mark.parametrize("n_fft", [254, 256, 1022])
def test_resolutions_exist_for_every_even_size_of_frames(n_fft):
    spec = dataclasses.replace(SMALL, n_fft=n_fft, win_length=n_fft, hop_length=n_fft // 4, n_mels=8)
    assert [scale.n_fft for scale in waveform.resolutions(spec)] == [n_fft // 4 * 2, n_fft, 2 * n_fft]


@each_term
def test_gradients_are_finite_on_silence(term):
    y = tf.Variable(tf.zeros([1, 20 * SMALL.hop_length]))
    with tf.GradientTape() as tape:
        cost = term(tf.zeros_like(y), y)
    assert np.isfinite(tape.gradient(cost, y)).all() and np.isfinite(cost).all()


def test_resolutions_are_half_once_and_twice_the_front_ends():
    assert [(s.n_fft, s.win_length, s.hop_length) for s in SCALES] == [(128, 128, 32), (256, 256, 64), (512, 512, 128)]


def test_features_that_are_equal_match():
    x = [tf.ones([2, 3]), tf.zeros([2, 4, 5])]
    np.testing.assert_array_equal(waveform.feature_matching(x, x), [0, 0])
    np.testing.assert_array_equal(waveform.feature_matching(x, [tf.zeros([2, 3]), x[1]]), [0.5, 0.5])
