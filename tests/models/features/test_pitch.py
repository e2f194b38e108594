"""Pitch: found in recordings of any length, measured over a corpus, moved without moving the rest."""

import io

import numpy as np
import pytest
import soundfile
from testbed import SMALL, VOICES_HZ, preprocess, voice, write_voices

from models.features import audio, f0_tracking, pitch, psola
from models.features.highpass import highpass
from models.features.stats import Moments, merge
from models.metrics import speech
from pipelines.data import dataset

RATE_HZ = 8000
HOP = f0_tracking.hop_length(RATE_HZ)
each_voice = pytest.mark.parametrize("f0_hz", VOICES_HZ.values(), ids=VOICES_HZ)


def file_of(y, rate_hz=RATE_HZ):
    made = io.BytesIO()
    soundfile.write(made, y, rate_hz, format="WAV", subtype="FLOAT")
    return made


def moved_by(y, f0_hz, ratio):
    return psola.shift_pitch(y, RATE_HZ / f0_hz, np.full(len(f0_hz), ratio), HOP)


# ------------------------------------------------------------------ in pieces


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pitch, "PIECE_FRAMES", 90)
    monkeypatch.setattr(pitch, "CONTEXT_FRAMES", 40)


def test_a_recording_in_pieces_has_the_pitch_of_the_whole_however_it_arrives(small_pieces):
    y = voice(110.0, 4.0, RATE_HZ, seed=2)
    found = list(pitch.split_with_f0(np.split(y, [7, 5000, 5001, 21000]), RATE_HZ))
    again = list(pitch.split_with_f0([y], RATE_HZ))
    assert all(len(f0) == -(-len(part) // HOP) <= 90 + 40 for part, f0 in found)
    np.testing.assert_array_equal(np.concatenate([part for part, _ in found]), y)
    for (_, f0), (_, same) in zip(found, again, strict=True):
        np.testing.assert_array_equal(f0, same)
    here, whole = np.concatenate([f0 for _, f0 in found]), f0_tracking.track_f0(y, RATE_HZ)[:-1]
    assert np.mean(np.isnan(here) == np.isnan(whole)) > 0.97
    assert np.nanquantile(np.abs(here / whole - 1), 0.97) < 0.02


# ------------------------------------------------------------------ its moments


def test_the_moments_of_recordings_are_those_of_their_voiced_frames_and_merge():
    recordings = [voice(f0_hz, 1.0, RATE_HZ, seed=3) for f0_hz in VOICES_HZ.values()]
    found = merge(*(pitch.log_f0_moments(file_of(y), RATE_HZ) for y in recordings))
    filtered = [np.concatenate(list(highpass([y], RATE_HZ))) for y in recordings]
    f0_hz = np.concatenate([f0_tracking.track_f0(y, RATE_HZ)[: -(-len(y) // HOP)] for y in filtered])
    wanted = np.log(f0_hz[~np.isnan(f0_hz)])
    assert found.count == len(wanted)
    np.testing.assert_allclose([found.mean[0], found.std[0]], [wanted.mean(), wanted.std()], rtol=1e-5)
    assert pitch.log_f0_moments(file_of(np.zeros(4000)), RATE_HZ).count == 0


def test_records_keep_them_if_asked(tmp_path):
    write_voices(tmp_path, 2)
    preprocess(tmp_path, tmp_path / "out", VOICES_HZ, pairs=["n_fft=256"], pitch=True, fractions=(0.0, 0.0))
    found = dataset.open_records(str(tmp_path / "out")).spec.pitch
    for name, f0_hz in VOICES_HZ.items():
        assert abs(np.exp(found[name].mean[0]) / f0_hz - 1) < 0.06 and 50 < found[name].count < 200


# ------------------------------------------------------------------ moving it


def envelope(y):
    """Timbre in dB: mean log-mels of what sounds, as cosines over the bands too slow for harmonics."""
    log_mels = audio.log_mel(y, SMALL)
    cepstra = speech.cepstra(log_mels[audio.active_frames(log_mels, SMALL)], 6).mean(axis=0)
    return 10 / np.log(10) * np.sqrt(2) * cepstra


@pytest.mark.parametrize(("f0_hz", "ratio"), [(110.0, 1.3), (110.0, 1.7), (220.0, 0.55), (220.0, 1.25)])
def test_pitch_moves_and_length_level_silence_and_timbre_stay(f0_hz, ratio):
    silence = np.zeros(2000, np.float32)
    y = np.concatenate([silence, voice(f0_hz, 1.5, RATE_HZ, seed=4), silence])
    before = f0_tracking.track_f0(y, RATE_HZ)
    made = moved_by(y, before, ratio)
    after = f0_tracking.track_f0(made, RATE_HZ)
    both = ~np.isnan(before) & ~np.isnan(after)
    assert np.mean(both) > 0.8 * np.mean(~np.isnan(before))
    assert abs(np.median((after / before)[both]) / ratio - 1) < 0.01
    assert np.quantile(np.abs(after / before / ratio - 1)[both], 0.95) < 0.03
    assert made.shape == y.shape and made.dtype == np.float32
    assert not made[:1900].any() and not made[-1900:].any()
    assert abs(10 * np.log10(np.mean(made**2) / np.mean(y**2))) < 1.5
    faster = np.interp(np.arange(0, len(y), ratio), np.arange(len(y)), y)
    apart, far = (np.linalg.norm(envelope(x) - envelope(y)) for x in (made, np.float32(faster)))
    assert apart < 0.25 * far


@each_voice
def test_pitch_that_is_not_moved_leaves_the_recording_as_it_is(f0_hz):
    y = voice(f0_hz, 1.0, RATE_HZ, seed=5)
    made = moved_by(y, f0_tracking.track_f0(y, RATE_HZ), 1.0)
    assert np.sqrt(np.mean((made - y) ** 2)) < 0.003 * np.sqrt(np.mean(y**2))


def test_what_is_not_voiced_is_not_touched():
    y = voice(110.0, 1.0, RATE_HZ, seed=6)
    f0_hz = f0_tracking.track_f0(y, RATE_HZ)
    f0_hz[: len(f0_hz) // 2] = np.nan
    made = moved_by(y, f0_hz, 1.5)
    start = HOP * (len(f0_hz) // 2 - 1)
    np.testing.assert_array_equal(made[:start], y[:start])
    assert np.abs(made - y)[start:].max() > 0.01
    np.testing.assert_array_equal(moved_by(y, np.full(len(f0_hz), np.nan), 1.5), y)


def test_the_rule_gives_the_targets_mean_and_deviation(rng):
    x, y = np.log(110) + 0.1 * rng.normal(size=500), np.log(190) + 0.15 * rng.normal(size=400)
    found = np.log(pitch.convert_f0(np.exp(x), Moments.of(x[:, None]), Moments.of(y[:, None])))
    np.testing.assert_allclose([found.mean(), found.std()], [y.mean(), y.std()], rtol=1e-6)
    assert np.isnan(pitch.convert_f0(np.array([np.nan]), Moments.of(x[:, None]), Moments.of(y[:, None]))).all()


def test_a_recording_moved_in_pieces_is_as_long_and_nearly_that_moved_whole(small_pieces, monkeypatch):
    y = voice(110.0, 4.0, RATE_HZ, seed=7)
    voices = [Moments.of(np.log([[0.9 * f0], [1.1 * f0]])) for f0 in VOICES_HZ.values()]
    found = np.concatenate(list(pitch.convert_pitch(np.array_split(y, 5), RATE_HZ, *voices)))
    monkeypatch.undo()
    whole = np.concatenate(list(pitch.convert_pitch([y], RATE_HZ, *voices)))
    assert found.shape == whole.shape == y.shape
    mels, wanted = (audio.log_mel(x, SMALL) for x in (found, whole))
    sounds = audio.active_frames(wanted, SMALL)
    assert np.abs(mels - wanted)[sounds].mean() < 0.15
    steps = [np.abs(np.diff(x)).max() for x in (found, whole)]
    assert steps[0] < 1.2 * steps[1]
