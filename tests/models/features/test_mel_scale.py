"""The mel scale against that of librosa."""

import librosa
import numpy as np
import pytest

from models.features import mel_scale

BANKS = [
    (16000, 1024, 80, 40.0, 7600.0),
    (8000, 512, 80, 40.0, 3800.0),
    (22050, 1024, 80, 40.0, 10473.7),
    (44100, 2048, 128, 0.0, 22050.0),
    (16000, 400, 13, 1000.0, 8000.0),
]


@pytest.mark.parametrize("bank", BANKS)
def test_the_filters_have_the_values_of_librosa(bank):
    rate_hz, n_fft, n_mels, fmin_hz, fmax_hz = bank
    expected = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=fmin_hz, fmax=fmax_hz)
    filters = mel_scale.filter_bank(*bank)
    assert filters.dtype == np.float32
    np.testing.assert_allclose(filters, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("bank", BANKS)
def test_the_edges_of_bands_are_those_of_librosa(bank):
    edges_hz = mel_scale.band_edges_hz(*bank[2:])
    expected = librosa.mel_frequencies(bank[2] + 2, fmin=bank[3], fmax=bank[4])
    np.testing.assert_allclose(edges_hz, expected, rtol=1e-12)


def test_bands_narrower_than_the_distance_of_bins_are_zero():
    assert not mel_scale.filter_bank(16000, 64, 80, 0.0, 8000.0).max(axis=1).all()


@pytest.mark.parametrize("hz", [0.0, 440.0, 999.999, 1000.0, 1000.001, 12345.0])
def test_a_frequency_survives_its_conversion_to_mels(hz):
    assert mel_scale.mel_to_hz(np.array(mel_scale.hz_to_mel(hz))) == pytest.approx(hz)
