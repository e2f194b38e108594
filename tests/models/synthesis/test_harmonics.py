"""Log-mels of harmonic tones."""

import numpy as np
import pytest
import tensorflow as tf

from models.features.audio_spec import AudioSpec, band_centres
from models.synthesis import harmonics


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050])
def test_bands_at_harmonics_are_louder_than_bands_between_them(rate_hz):
    spec, f0_hz = AudioSpec.at(rate_hz), 220.0
    x = harmonics.log_mels(tf.constant([np.float32(np.log(f0_hz))]), spec).numpy()[0]
    centres = band_centres(spec)
    at = [np.argmin(np.abs(centres - n * f0_hz)) for n in (1, 2, 3)]
    between = [np.argmin(np.abs(centres - (n + 0.5) * f0_hz)) for n in (1, 2)]
    assert x[at].min() > x[between].max() + 1.0


def test_the_mean_over_the_tones_is_zero_in_every_band():
    np.testing.assert_allclose(harmonics.table(AudioSpec.at(16000)).mean(axis=0), 0.0, atol=1e-4)


def test_an_f0_between_two_tones_is_interpolated_and_one_beyond_them_is_clipped():
    spec = AudioSpec.at(16000)
    table = harmonics.table(spec)
    step = np.log(harmonics.HIGHEST_HZ / harmonics.LOWEST_HZ) / harmonics.STEPS
    log_f0 = np.log(harmonics.LOWEST_HZ) + step * np.array([[-50.0, 10.0], [10.5, 1000.0]])
    x = harmonics.log_mels(tf.constant(log_f0, tf.float32), spec).numpy()
    wanted = [[table[0], table[10]], [(table[10] + table[11]) / 2, table[-1]]]
    np.testing.assert_allclose(x, wanted, atol=2e-3)


@pytest.mark.parametrize("changes", [{"n_fft": 4096, "hop_length": 2048}, {"fmax_hz": 300.0, "n_mels": 8}])
def test_unusual_front_ends_have_finite_tones(changes):
    spec = AudioSpec.at(16000, **changes)
    assert np.isfinite(harmonics.table(spec)).all()
