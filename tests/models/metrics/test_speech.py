"""Speech metrics: cepstra, alignment, and distances with known values."""

import numpy as np
import pystoi
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, seeds, voice

from models.errors import UserError
from models.features import audio
from models.features.audio import AudioSpec
from models.metrics import speech

SPEC = AudioSpec.at(8000, n_fft=256, n_mels=32)


DB = 20 / np.log(10)


@laws
@given(seed=seeds, bins=st.integers(14, 80))
def test_cepstra_of_all_orders_rebuild_the_spectrum(seed, bins):
    x = np.random.default_rng(seed).normal(size=(3, bins))
    c = speech.cepstra(x, bins - 1)
    basis = np.cos(np.pi * np.outer(np.arange(1, bins), np.arange(bins) + 0.5) / bins)
    np.testing.assert_allclose(x.mean(axis=1, keepdims=True) + c @ basis, x, atol=1e-9)


@laws
@given(seed=seeds, level=st.floats(-5, 5))
def test_cepstra_do_not_depend_on_the_level(seed, level):
    x = np.random.default_rng(seed).normal(size=(3, 32))
    np.testing.assert_allclose(speech.cepstra(x + level), speech.cepstra(x), atol=1e-9)


def log_mels(seed, frames=20):
    return np.random.default_rng(seed).normal(size=(frames, SPEC.n_mels))


@laws
@given(seed=seeds, frames=st.integers(1, 12), others=st.integers(1, 12))
def test_an_alignment_is_monotonic_and_complete(seed, frames, others):
    x, y = log_mels(seed, frames), log_mels(seed + 1, others)
    path = speech.dtw_path(x, y)
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [frames - 1, others - 1]
    steps = {tuple(step) for step in np.diff(path, axis=0)}
    assert steps <= {(0, 1), (1, 0), (1, 1)}


@laws
@given(seed=seeds, repeats=st.lists(st.integers(1, 3), min_size=2, max_size=8))
def test_a_slower_recording_is_aligned_frame_by_frame(seed, repeats):
    x = log_mels(seed, len(repeats))
    which = np.repeat(np.arange(len(repeats)), repeats)
    path = speech.dtw_path(x, x[which])
    np.testing.assert_array_equal(which[path[:, 1]], path[:, 0])


def distortion(x, y):
    return speech.mel_cepstral_distortion(x, y, SPEC)


@laws
@given(seed=seeds, level=st.floats(-2, 2), repeats=st.integers(1, 3))
def test_the_distortion_of_equals_is_zero_however_loud_or_slow(seed, level, repeats):
    x = log_mels(seed)
    assert distortion(x, x) == 0
    assert distortion(x, np.repeat(x, repeats, axis=0) + level) == pytest.approx(0, abs=1e-6)


@laws
@given(a=seeds, b=seeds, frames=st.integers(5, 25))
def test_the_distortion_is_symmetric_and_positive(a, b, frames):
    x, y = log_mels(a, frames), log_mels(b)
    assert distortion(x, y) == pytest.approx(distortion(y, x))
    assert distortion(x, y) > 0 or np.array_equal(x, y)


@laws
@given(order=st.integers(1, 31), shift=st.floats(-2, 2))
def test_a_shift_of_one_cepstrum_is_its_distance_in_db(order, shift):
    x = np.tile(log_mels(0, 1), (6, 1))
    cosine = np.cos(np.pi * order * (np.arange(SPEC.n_mels) + 0.5) / SPEC.n_mels)
    wanted = 10 / np.log(10) * np.sqrt(2) * abs(shift) if order <= speech.CEPSTRA else 0
    assert distortion(x, x + shift * cosine) == pytest.approx(wanted, abs=1e-6)


def test_pauses_do_not_count():
    x, y = (audio.log_mel(voice(f0_hz, 0.5, 8000, 0), SPEC) for f0_hz in (110, 180))
    pause = np.full((30, SPEC.n_mels), SPEC.log_floor)
    assert distortion(np.concatenate([pause, x]), np.concatenate([y, pause])) == pytest.approx(distortion(x, y))
    assert distortion(pause, pause) == 0


def test_the_distortion_is_larger_between_voices_than_within_one():
    low, again, high = (
        audio.log_mel(voice(f0_hz, 0.7, 8000, 0) * gain, SPEC) for f0_hz, gain in ((110, 1), (110, 0.7), (220, 1))
    )
    assert distortion(low, again) < 1 < distortion(low, high)


@laws
@given(seed=seeds, shift=st.floats(-3, 3), longer=st.integers(0, 5))
def test_the_spectral_distance_of_a_change_in_level_is_that_level_in_db(seed, shift, longer):
    x = log_mels(seed)
    y = np.concatenate([x + shift, np.zeros((longer, SPEC.n_mels))])
    assert speech.log_spectral_distance(x, y) == pytest.approx(DB * abs(shift), abs=1e-9)
    assert speech.log_spectral_distance(y, x) == pytest.approx(DB * abs(shift), abs=1e-9)


@pytest.mark.parametrize("bands", [0, 1, 8, 32])
def test_the_spectral_distance_is_the_root_mean_square_over_bands(bands):
    x = log_mels(0)
    y = x + 0.5 * (np.arange(SPEC.n_mels) < bands)
    assert speech.log_spectral_distance(x, y) == pytest.approx(DB * 0.5 * np.sqrt(bands / SPEC.n_mels))


def second_distortion(x, y):
    """A second implementation: cepstra by SciPy's DCT, and dynamic time warping by its recursion."""
    cx, cy = (scipy.fft.dct(z, type=2, axis=1)[:, 1:14] / z.shape[1] for z in (x, y))
    costs = np.array([[np.sqrt(np.sum((a - b) ** 2)) for b in cy] for a in cx])
    best = {(-1, -1): (0.0, 0)}  # cell: total cost and length of the best path to it
    for i, j in np.ndindex(costs.shape):
        before = [best[cell] for cell in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if cell in best]
        total, length = min(before)
        best[i, j] = total + costs[i, j], length + 1
    total, length = best[len(cx) - 1, len(cy) - 1]
    return 10 / np.log(10) * np.sqrt(2) * total / length


@laws
@given(a=seeds, b=seeds, frames=st.integers(2, 25))
def test_the_distortion_equals_a_second_implementation(a, b, frames):
    x, y = log_mels(a, frames), log_mels(b)
    assert distortion(x, y) == pytest.approx(second_distortion(x, y), abs=1e-3)


def test_the_distortion_of_voices_equals_a_second_implementation_and_is_symmetric():
    x, y = (audio.log_mel(voice(f0_hz, seconds, 8000, 0), SPEC) for f0_hz, seconds in ((110, 0.4), (180, 0.3)))
    active_x, active_y = (z[audio.active_frames(z, SPEC)].astype(np.float64) for z in (x, y))
    assert distortion(x, y) == pytest.approx(second_distortion(active_x, active_y), abs=1e-3)
    assert distortion(x, y) == pytest.approx(distortion(y, x), abs=1e-6)


def test_aligned_frames_are_those_of_the_distortion():
    x, y = (audio.log_mel(voice(f0_hz, 0.4, 8000, 0), SPEC) for f0_hz in (110, 180))
    pairs = speech.aligned_frames(x, y, SPEC)
    difference = speech.cepstra(x[pairs[:, 0]]) - speech.cepstra(y[pairs[:, 1]])
    values = 10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=1))
    assert distortion(x, y) == pytest.approx(values.mean())
    assert audio.active_frames(x, SPEC)[pairs[:, 0]].all() and audio.active_frames(y, SPEC)[pairs[:, 1]].all()


def test_intelligibility_is_one_for_equals_at_any_level_and_falls_with_noise(rng):
    y = voice(110, 1.5, 8000, 0)
    noise = rng.normal(size=len(y)).astype(np.float32)
    scores = [speech.intelligibility(y, 0.5 * y + level * noise, 8000) for level in (0, 0.01, 0.1, 1)]
    assert scores[0] == pytest.approx(1, abs=1e-6) and all(np.diff(scores) < 0)
    assert scores[1] == pytest.approx(pystoi.stoi(y, 0.5 * y + 0.01 * noise, 8000))


def test_intelligibility_of_short_recordings_is_none_and_other_lengths_are_refused():
    y = voice(110, 0.3, 8000, 0)
    assert speech.intelligibility(y, y, 8000) is None
    with pytest.raises(UserError, match="same length"):
        speech.intelligibility(y, y[1:], 8000)
