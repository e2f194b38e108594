"""From one voice to another in closed form: the linear algebra, and what it does to voices."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, laws, voice

from models.features import audio, stats, transport
from models.features.audio import AudioSpec
from models.features.stats import Moments

SPEC = AudioSpec.at(8000)  # its bands tell harmonics apart

seeds = st.integers(0, 2**32 - 1)


def positive(seed, bins=5):
    """A covariance, of full rank or less."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(bins, rng.integers(1, 2 * bins))) * 2
    return x @ x.T


def with_gains(seed, gains):
    """A symmetric matrix with these eigenvalues."""
    directions, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(gains), len(gains))))
    return directions @ np.diag(gains) @ directions.T


def moved(source, a):
    """The covariance whose ridged self is `a (S + ridge) a`."""
    ridge = transport.RIDGE * np.eye(len(a))
    return a @ (source + ridge) @ a - ridge


@functools.cache
def moments(f0_hz, first_seed=0, spec=SPEC):
    """Of three clips of a voice."""
    made = Moments.empty(spec.n_mels, stats.LAGS)
    for seed in range(first_seed, first_seed + 3):
        x = audio.log_mel(voice(f0_hz, 1.0, spec.sample_rate_hz, seed), spec)
        part = Moments.of(x, active=audio.active_frames(x, spec), lags=stats.LAGS)
        made = stats.merge(made, part)
    return made


# ------------------------------------------------------------------ Gaussians


gains_within_reach = st.lists(st.floats(0.2, transport.MAX_GAIN), min_size=5, max_size=5)


@laws
@given(source=seeds, map_seed=seeds, gains=gains_within_reach)
def test_the_monge_map_is_the_one_symmetric_map_between_two_covariances(source, map_seed, gains):
    s, a = positive(source) + np.eye(5), with_gains(map_seed, gains)
    t = moved(s, a)
    found = transport.monge_map(s, t)
    np.testing.assert_allclose(found, a, atol=1e-6)
    np.testing.assert_allclose(moved(s, found), t, atol=1e-6 * np.trace(t))


@laws
@given(source=seeds, map_seed=seeds, gains=gains_within_reach)
def test_the_effort_of_the_monge_map_is_the_bures_distance(source, map_seed, gains):
    s, away = positive(source) + np.eye(5), with_gains(map_seed, gains) - np.eye(5)
    ridge = transport.RIDGE * np.eye(5)
    effort = np.trace(away @ (s + ridge) @ away)
    found = transport.squared_bures(s + ridge, moved(s, away + np.eye(5)) + ridge)
    assert found == pytest.approx(effort, abs=1e-6 * np.trace(s))


@laws
@given(source=seeds, map_seed=seeds, gains=st.lists(st.floats(0.2, 30), min_size=5, max_size=5))
def test_no_direction_is_amplified_more_than_the_largest_gain(source, map_seed, gains):
    s = positive(source) + np.eye(5)
    found = transport.monge_map(s, moved(s, with_gains(map_seed, gains)))
    np.testing.assert_allclose(found, with_gains(map_seed, np.minimum(gains, transport.MAX_GAIN)), atol=1e-5)


@laws
@given(source=seeds)
def test_equal_covariances_are_moved_nowhere(source):
    np.testing.assert_allclose(transport.monge_map(positive(source), positive(source)), np.eye(5), atol=1e-6)


@laws
@given(source=seeds, target=seeds)
def test_the_bures_distance_is_symmetric_and_zero_for_equal_matrices_only(source, target):
    s, t = positive(source), positive(target)
    scale = np.trace(s + t)
    assert transport.squared_bures(s, s) == pytest.approx(0, abs=1e-5 * scale)
    assert transport.squared_bures(s, t) == pytest.approx(transport.squared_bures(t, s), abs=1e-5 * scale)
    assert transport.squared_bures(s, t) > 1e-3 * scale or np.allclose(s, t)


@laws
@given(deviations=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=5))
def test_without_correlations_the_bures_distance_is_that_of_the_deviations(deviations):
    a, b = np.array(deviations).T
    found = transport.squared_bures(np.diag(a**2), np.diag(b**2))
    assert found == pytest.approx(np.sum((a - b) ** 2), abs=1e-4)


# ------------------------------------------------------------------ frames


@laws
@given(half=st.integers(0, 3), frames=st.integers(1, 12), seed=seeds)
def test_filtering_is_the_convolution_of_tensorflow(half, frames, seed):
    rng = np.random.default_rng(seed)
    x, taps = rng.normal(size=(frames, 4)), rng.normal(size=(2 * half + 1, 4, 4))
    wanted = tf.nn.conv1d(x[None], taps, stride=1, padding="SAME")[0]
    np.testing.assert_allclose(transport.apply_kernel(x, taps), wanted, atol=1e-9)


@pytest.mark.parametrize("spec", [SPEC, SMALL], ids=["80 mels", "32 mels"])
def test_equal_moments_give_the_filter_that_changes_nothing(spec):
    found = transport.kernel(moments(150, spec=spec), moments(150, spec=spec), spec)
    wanted = np.zeros((2 * transport.CONTEXT + 1, spec.n_mels, spec.n_mels))
    wanted[transport.CONTEXT] = np.eye(spec.n_mels)
    np.testing.assert_allclose(found, wanted, atol=1e-8)


@pytest.mark.parametrize(("here", "there"), [(110, 220), (220, 110), (150, 200)])
def test_the_filter_brings_a_voice_it_has_not_seen_nearer_to_the_other(here, there):
    source, target = moments(here), moments(there)
    taps = transport.kernel(source, target, SPEC)
    x = audio.log_mel(voice(here, 1.5, 8000, 9), SPEC)
    x = stats.normalize(x[audio.active_frames(x, SPEC)], source)
    wanted = target.covariance(0) + 1e-6 * np.eye(SPEC.n_mels)

    def distance(x):
        return transport.squared_bures(Moments.of(stats.denormalize(x, target)).covariance(0), wanted)

    assert distance(transport.apply_kernel(x, taps)) < 0.7 * distance(x)


def test_bands_that_follow_one_another_in_the_target_do_so_in_what_is_filtered(rng):
    x = rng.normal(size=(2, 6000, SMALL.n_mels))
    y = x[1].copy()
    y[1:, 1::2] = 0.8 * x[1, :-1, ::2] + 0.6 * x[1, 1:, 1::2]  # odd bands echo even ones a frame later
    source, target = (Moments.of(frames, lags=stats.LAGS) for frames in (x[0], y))
    found = Moments.of(transport.apply_kernel(x[0], transport.kernel(source, target, SMALL)), lags=1).covariance(1)
    assert np.diag(found, 1)[::2].mean() > 0.4
    assert abs(np.diag(found, -1)[::2].mean()) < 0.1


# ------------------------------------------------------------------ pitch


@pytest.mark.parametrize(("here", "there"), [(110, 220), (220, 110), (110, 165), (140, 200), (200, 260)])
def test_the_ratio_of_two_pitches_is_found(here, there):
    found = transport.pitch_ratio(moments(here), moments(there, first_seed=5), SPEC)
    assert found == pytest.approx(there / here, rel=0.05)


@pytest.mark.parametrize("spec", [SPEC, SMALL], ids=["80 mels", "32 mels"])
@pytest.mark.parametrize(("here", "there"), [(110, 220), (150, 165), (140, 200)])
def test_the_way_back_has_the_inverse_ratio(here, there, spec):
    source, target = moments(here, spec=spec), moments(there, spec=spec)
    up, down = transport.pitch_ratio(source, target, spec), transport.pitch_ratio(target, source, spec)
    assert up * down == pytest.approx(1)


@pytest.mark.parametrize("f0_hz", [110, 150, 220])
def test_voices_of_one_pitch_are_not_moved(f0_hz):
    assert transport.pitch_ratio(moments(f0_hz), moments(f0_hz, first_seed=5), SPEC) == 1
    assert transport.pitch_ratio(moments(f0_hz), moments(f0_hz), SPEC) == 1


def test_noise_has_no_pitch_that_could_be_moved(rng):
    x = rng.normal(size=(2, 4000, SPEC.n_mels))
    here, there = (Moments.of(part, lags=stats.LAGS) for part in x)
    assert transport.pitch_ratio(here, there, SPEC) == 1


# ------------------------------------------------------------------ envelope


@pytest.mark.parametrize("bins", [32, 80])
def test_the_envelope_keeps_slow_cosines_and_drops_fast_ones(bins):
    smooth = transport.envelope_matrix(bins)
    np.testing.assert_allclose(smooth, smooth.T, atol=1e-12)
    places = (np.arange(bins) + 0.5) * np.pi / bins
    for order in range(bins):
        cosine = np.cos(order * places)
        share = cosine @ smooth @ cosine / (cosine @ cosine)
        np.testing.assert_allclose(smooth @ cosine, share * cosine, atol=1e-9)
        assert -1e-9 < share < 1 + 1e-9
        if abs(order - transport.ENVELOPE_ORDER) > transport.ENVELOPE_SLOPE / 2:
            assert share == pytest.approx(float(order < transport.ENVELOPE_ORDER), abs=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_stretching_leaves_the_envelope_where_it_is(ratio, rng):
    smooth = transport.envelope_matrix(SPEC.n_mels)
    slow = transport.ENVELOPE_ORDER - transport.ENVELOPE_SLOPE
    places = (np.arange(SPEC.n_mels) + 0.5) * np.pi / SPEC.n_mels
    x = rng.normal(size=slow) @ np.cos(np.outer(np.arange(slow), places))
    np.testing.assert_allclose(smooth @ x, x, atol=1e-9)
    np.testing.assert_allclose(transport.stretch_matrix(ratio, SPEC) @ x, x, atol=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 0.8])
def test_nothing_is_stretched_in_from_beyond_the_top_band(ratio, rng):
    hz = transport.band_hz(SPEC)
    fine = rng.normal(size=SPEC.n_mels)
    fine -= transport.envelope_matrix(SPEC.n_mels) @ fine
    moved = transport.stretch_matrix(ratio, SPEC) @ fine - transport.envelope_matrix(SPEC.n_mels) @ fine
    empty = hz > 1.01 * ratio * hz[-1]
    np.testing.assert_array_equal(moved[empty] == 0, True)
    assert 0 < empty.sum() < len(hz) and np.abs(moved[~empty]).max() > 0.1


def test_stretching_by_one_changes_nothing():
    np.testing.assert_allclose(transport.stretch_matrix(1.0, SPEC), np.eye(SPEC.n_mels), atol=1e-12)


@pytest.mark.parametrize(("source_hz", "ratio"), [(400, 2.0), (800, 0.5), (600, 1.5), (900, 0.8)])
def test_stretching_moves_a_harmonic_by_the_ratio(source_hz, ratio):
    hz = transport.band_hz(SPEC)
    x = np.zeros(SPEC.n_mels)
    x[np.argmin(abs(hz - source_hz))] = 1.0
    fine = x - transport.envelope_matrix(SPEC.n_mels) @ x
    moved = transport.stretch_matrix(ratio, SPEC) @ fine
    peak_hz = hz[np.argmax(moved)]
    assert peak_hz == pytest.approx(source_hz * ratio, rel=0.05)


@pytest.mark.parametrize("spec", [SPEC, SMALL, AudioSpec()], ids=["8k", "small", "16k"])
def test_bands_lie_in_rising_order_where_their_filters_peak(spec):
    hz = transport.band_hz(spec)
    assert len(hz) == spec.n_mels and (np.diff(hz) > 0).all()
    peaks = np.argmax(audio.mel_matrix(spec), axis=1) * spec.sample_rate_hz / spec.n_fft
    np.testing.assert_allclose(hz, peaks, atol=spec.sample_rate_hz / spec.n_fft)


def test_bands_that_do_not_vary_in_the_target_are_not_amplified():
    """As of a telephone, whose recordings are stored at a higher rate."""
    source = audio.log_mel(voice(120.0, 2.0, SPEC.sample_rate_hz, 0), SPEC)
    target = audio.log_mel(voice(200.0, 2.0, SPEC.sample_rate_hz, 1), SPEC)
    target[:, -20:] = SPEC.log_floor
    a, b = (Moments.of(x, lags=stats.LAGS) for x in (source, target))
    y = transport.apply_kernel(stats.normalize(source, a), transport.kernel(a, b, SPEC))
    assert y.std(axis=0).max() < 2 and y[:, :-20].std(axis=0).mean() > 0.5


@pytest.mark.parametrize("fmin_hz", [1300.0, 2000.0])
def test_without_bands_that_resolve_harmonics_the_pitch_is_not_changed(fmin_hz):
    spec = AudioSpec.at(8000, fmin_hz=fmin_hz, n_mels=20)
    low, high = moments(110.0, spec=spec), moments(220.0, spec=spec)
    assert transport.pitch_ratio(low, high, spec) == transport.pitch_ratio(low, low, spec) == 1.0
    np.testing.assert_allclose(transport.kernel(low, low, spec), transport.identity_kernel(20), atol=1e-6)


def test_domains_without_variance_have_no_pitch_ratio():
    constant = Moments.of(np.full((50, SPEC.n_mels), SPEC.log_floor), lags=stats.LAGS)
    assert transport.pitch_ratio(constant, constant, SPEC) == 1.0
