"""The F0 tracker: known voices, noise, levels, lengths, and the frames in which it looks."""

import numpy as np
import pytest
import scipy.signal
from testbed import VOICES_HZ, glide, voice

from models.features import f0_tracking
from tests import bench_pitch

RATE_HZ = 8000
each_voice = pytest.mark.parametrize("f0_hz", VOICES_HZ.values(), ids=VOICES_HZ)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100])
@each_voice
def test_the_pitch_of_a_voice_is_found(f0_hz, rate_hz):
    found = f0_tracking.track_f0(voice(f0_hz, 1.5, rate_hz, seed=1), rate_hz)
    times = np.arange(len(found)) * f0_tracking.hop_length(rate_hz) / rate_hz
    voiced = ~np.isnan(found)
    errors = np.abs(found / glide(f0_hz, times, np.random.default_rng(1)) - 1)[voiced]
    assert 0.4 < voiced.mean() < 0.9 and np.median(errors) < 0.004 and np.quantile(errors, 0.95) < 0.02


@pytest.mark.parametrize("noise_db", [None, 20, 5])
@pytest.mark.parametrize("f0_hz", [63, 70, 85, 110, 220, 330, 480])
def test_pulses_of_low_and_high_voices_are_found_in_noise(f0_hz, noise_db, rng):
    y, rate_hz, truth = bench_pitch.pulse_voice(f0_hz, noise_db, rng)
    found = f0_tracking.track_f0(y, rate_hz)[: len(truth)]
    voiced = np.isfinite(truth)
    both = voiced & np.isfinite(found)
    assert both.sum() > (0.85 if noise_db != 5 else 0.6) * voiced.sum()
    assert np.mean(np.abs(found / truth - 1)[both] > 0.2) < 0.01
    assert np.median(1200 * np.abs(np.log2(found / truth))[both]) < 8
    assert np.mean(np.isfinite(found[~voiced])) < 0.45  # three frames on either side of a syllable see it


@pytest.mark.parametrize("f0_hz", [63.0, 100.0, 233.3, 490.0])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_a_steady_tone_has_its_frequency(f0_hz, rate_hz):
    t = np.arange(rate_hz) / rate_hz
    y = sum(np.sin(2 * np.pi * n * f0_hz * t + n) / n for n in range(1, 6))
    found = f0_tracking.track_f0(y, rate_hz)[10:-10]
    assert np.isfinite(found).all() and np.abs(1200 * np.log2(found / f0_hz)).max() < 3


def test_a_frame_is_centred_on_its_sample():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    f0_hz = 120 * 2 ** (0.4 * t)
    y = scipy.signal.sawtooth(2 * np.pi * np.cumsum(f0_hz) / RATE_HZ)
    found = f0_tracking.track_f0(y, RATE_HZ)
    times = np.arange(len(found)) / f0_tracking.FRAME_RATE_HZ
    late_s = np.log2(found / 120) / 0.4 - times
    assert np.abs(np.median(late_s[10:-10])) < 0.001


def test_the_level_does_not_matter(rng):
    y = voice(110.0, 1.0, RATE_HZ, seed=8)
    for level in (1e-4, 100.0):
        np.testing.assert_allclose(f0_tracking.track_f0(level * y, RATE_HZ), f0_tracking.track_f0(y, RATE_HZ), 1e-3)


@pytest.mark.parametrize("samples", [1, 79, 80, 300, 8000])
def test_silence_and_noise_of_any_length_are_hardly_voiced(samples, rng):
    for y in (np.zeros(samples), 0.1 * rng.normal(size=samples)):
        found = f0_tracking.track_f0(np.float32(y), RATE_HZ)
        assert len(found) == 1 + samples // f0_tracking.hop_length(RATE_HZ)
        assert np.sum(~np.isnan(found)) <= 0.1 * len(found) + 1 and (y.any() or np.isnan(found).all())


def test_a_hum_far_below_the_voice_is_silence():
    y = voice(220.0, 1.0, RATE_HZ, seed=9)
    hum = 0.003 * np.abs(y).max() * np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ)
    found = f0_tracking.track_f0(np.concatenate([y, hum]), RATE_HZ)
    assert np.isnan(found[110:]).all() and np.isfinite(f0_tracking.track_f0(hum, RATE_HZ)[5:-5]).all()


def test_a_recording_longer_than_a_block_has_the_pitch_of_its_parts(monkeypatch):
    y = voice(110.0, 3.0, RATE_HZ, seed=2)
    whole = f0_tracking.track_f0(y, RATE_HZ)
    monkeypatch.setattr(f0_tracking, "BLOCK_FRAMES", 7)
    np.testing.assert_allclose(f0_tracking.track_f0(y, RATE_HZ), whole, rtol=1e-4)
