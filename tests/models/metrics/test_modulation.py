"""Modulation spectra: known powers, and distances that follow from them."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, laws, seeds, voice

from models.errors import UserError
from models.features import audio
from models.metrics.modulation import DB, modulation_spectrum, modulation_spectrum_distance

RATE_HZ = SMALL.frame_rate_hz  # 125


def log_mels(seed, frames=200):
    return np.random.default_rng(seed).normal(size=(frames, SMALL.n_mels))


def distance(x, y):
    return modulation_spectrum_distance(x, y, SMALL)


@laws
@given(a=seeds, b=seeds, frames=st.integers(8, 400), level=st.floats(-2, 2))
def test_symmetric_zero_with_itself_and_invariant_to_level(a, b, frames, level):
    x, y = log_mels(a), log_mels(b, frames)
    assert distance(x, x) == 0 <= distance(x, y) == distance(y, x)
    assert distance(x + level, y) == pytest.approx(distance(x, y), abs=1e-6)


@laws
@given(seed=seeds, gain=st.floats(0.2, 1.5), frames=st.integers(8, 300))
def test_a_change_of_the_depth_of_modulation_is_that_change_in_db(seed, gain, frames):
    x = log_mels(seed, frames)
    assert distance(x, gain * x) == pytest.approx(abs(20 * np.log10(gain)), abs=1e-6)


@pytest.mark.parametrize("frames", [60, 125, 20000])
def test_the_power_of_white_noise_is_its_variance(frames):
    powers = [10 ** (modulation_spectrum(log_mels(seed, frames) / DB, SMALL) / 10) for seed in range(5)]
    geometric = np.exp(-0.5772) if frames <= 125 else 1  # of a single periodogram, which is exponential
    assert np.mean(powers) == pytest.approx(geometric, rel=0.15)


@pytest.mark.parametrize("rate_hz", [2, 5, 20])
def test_a_sinusoid_is_found_at_its_rate(rate_hz):
    x = np.sin(2 * np.pi * rate_hz * np.arange(500) / RATE_HZ)[:, None] + np.zeros(SMALL.n_mels)
    spectrum = modulation_spectrum(x / DB, SMALL)
    assert spectrum.shape == (25,) and spectrum.argmax() == rate_hz - 1  # bins from 1 Hz
    samples = 125
    power = (samples / 4) ** 2 / (0.375 * samples)  # |DFT|^2 of a sinusoid under a Hann window, over its energy
    assert spectrum.max() == pytest.approx(10 * np.log10(power), abs=0.01)


def test_equal_to_a_second_implementation_of_a_recording_of_two_segments(rng):
    x = rng.normal(size=(187, SMALL.n_mels))  # segments of 125 frames from 0 and 62
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(125) / 125)
    expected = np.zeros(25)
    for band in (x * 8.685889638).T:
        powers = 0
        for start in (0, 62):
            segment = (band[start : start + 125] - band[start : start + 125].mean()) * window
            dft = np.exp(-2j * np.pi * np.outer(np.arange(1, 26), np.arange(125)) / 125) @ segment
            powers += np.abs(dft) ** 2 / np.sum(window**2) / 2
        expected += 10 * np.log10(powers) / SMALL.n_mels
    np.testing.assert_allclose(modulation_spectrum(x, SMALL), expected, atol=1e-3)


def test_smoothing_raises_the_distance_and_pauses_at_the_ends_do_not():
    x = audio.log_mel(voice(110, 2.0, 8000, 0), SMALL).astype(np.float64)
    smoothed = [scipy.ndimage.gaussian_filter1d(x, width, axis=0) for width in (1, 2, 4)]
    distances = [distance(x, y) for y in smoothed]
    assert 0 < distances[0] < distances[1] < distances[2]
    pause = np.full((40, SMALL.n_mels), SMALL.log_floor)
    assert distance(x, np.concatenate([pause, x, pause])) == 0


def test_silence_is_finite_and_short_recordings_are_refused():
    silence = np.full((100, SMALL.n_mels), SMALL.log_floor)
    assert np.isfinite(distance(silence, log_mels(0)))
    for frames in (0, 7):
        with pytest.raises(UserError, match=f"{frames} active frames"):
            distance(log_mels(0), log_mels(0, frames))
