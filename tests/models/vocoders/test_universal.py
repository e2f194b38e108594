"""Universal vocoders: their files, their front ends, and copy synthesis against Griffin-Lim."""

import dataclasses

import numpy as np
import pytest
from testbed import VOICES_HZ, voice

from models.features import audio, inversion
from models.features.audio import AudioSpec
from models.vocoders import universal

each_rate = pytest.mark.parametrize("rate_hz", universal.RATES_HZ)


def vocode(vocoder, log_mels):
    """A waveform `[(frames - 1) * hop_length]`, with silence around it."""
    margin = vocoder.context * vocoder.spec.hop_length
    padding = ((vocoder.context, vocoder.context), (0, 0))
    padded = np.pad(log_mels, padding, constant_values=vocoder.spec.log_floor)
    return vocoder.vocode(padded[None])[0].numpy()[margin:-margin]


@each_rate
def test_weights_are_the_declared_ones_and_say_what_they_are_of(rate_hz):
    vocoder = universal.load(rate_hz)
    assert vocoder.sha256 == universal.SHA256[rate_hz] and vocoder.spec == AudioSpec.at(rate_hz)
    assert "CC BY 4.0" in vocoder.description["data"] and vocoder.description["speakers"] > 200
    weights = [w for w in vocoder.network.get_weights() if w.ndim > 1]
    scaled = [np.abs(w).mean() * np.sqrt(np.prod(w.shape[:-1])) for w in weights]  # initial ones: about 0.9
    assert 1 < np.mean(scaled) < 5


@each_rate
def test_copy_synthesis_is_nearer_to_the_mels_than_by_griffin_lim(rate_hz):
    vocoder = universal.load(rate_hz)
    for hz in VOICES_HZ.values():
        y = audio.normalize_level(voice(hz, 1.5, rate_hz, seed=5), vocoder.spec)
        log_mels = audio.log_mel(y, vocoder.spec)
        magnitude = inversion.mel_to_magnitude(log_mels, vocoder.spec)
        waveforms = vocode(vocoder, log_mels), inversion.griffin_lim(magnitude, vocoder.spec)
        errors = [np.abs(audio.log_mel(z, vocoder.spec)[2:-2] - log_mels[2:-2]).mean() for z in waveforms]
        assert errors[0] < 0.8 * errors[1]


def test_a_clip_does_not_depend_on_its_neighbours():
    vocoder = universal.load(8000)
    log_mels = np.stack([audio.log_mel(voice(hz, 0.5, 8000, seed=5), vocoder.spec) for hz in VOICES_HZ.values()])
    together = vocoder.vocode(log_mels).numpy()
    np.testing.assert_array_equal(together[1], vocoder.vocode(log_mels[1:]).numpy()[0])


def test_silence_stays_silent():
    vocoder = universal.load(8000)
    y = vocode(vocoder, np.full((40, 80), vocoder.spec.log_floor, np.float32))
    assert np.abs(y).max() < 1e-3


@pytest.mark.parametrize("change", [{"n_mels": 40}, {"level_db": -20.0}, {"sample_rate_hz": 11025}])
def test_other_front_ends_have_no_vocoder(change):
    assert universal.find(dataclasses.replace(AudioSpec.at(8000), fmax_hz=3800.0)) is universal.load(8000)
    assert universal.find(dataclasses.replace(AudioSpec.at(8000), **change)) is None
