"""Log-mels back to samples in NumPy, and the joining of chunks."""

from unittest import mock

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, SPECS, each_spec, laws, voice

from models.features import audio, inversion

seeds = st.integers(0, 2**32 - 1)


def convergence_db(y, magnitude, spec):
    """Spectral convergence: how far the magnitudes of `y` are from those wanted (Sturmel & Daudet 2011)."""
    return 20 * np.log10(np.linalg.norm(np.abs(audio.stft(y, spec)) - magnitude) / np.linalg.norm(magnitude))


# ------------------------------------------------------------------ the inverse transform


@laws
@given(seed=seeds, hops=st.integers(1, 30), more=st.integers(0, 63), spec=st.sampled_from([SMALL, *SPECS.values()]))
def test_the_inverse_of_a_spectrogram_is_the_recording(seed, hops, more, spec):
    y = np.random.default_rng(seed).normal(size=hops * spec.hop_length + more).astype(np.float32)
    found = inversion.istft(audio.stft(y, spec), spec)
    assert found.shape == (hops * spec.hop_length,)
    np.testing.assert_allclose(found, y[: len(found)], atol=1e-5)


def test_the_inverse_gives_the_nearest_consistent_spectrogram(rng):
    frames = (9, SMALL.n_fft // 2 + 1)
    wanted = rng.normal(size=frames) + 1j * rng.normal(size=frames)
    y = inversion.istft(wanted, SMALL)

    def distance(y):
        misfit = np.abs(audio.stft(y, SMALL) - wanted) ** 2
        return 2 * misfit.sum() - misfit[:, [0, -1]].sum()  # over both halves of the spectrum

    for _ in range(10):
        assert distance(y) < distance(y + 0.01 * rng.normal(size=len(y)))


# ------------------------------------------------------------------ mels to magnitudes


def divergence(x, y):
    """Generalised Kullback-Leibler divergence."""
    return np.sum(x * np.log(x / y) - x + y)


@each_spec
def test_magnitudes_have_the_mels_wanted_nearer_than_those_of_the_pseudo_inverse(spec):
    log_mels = audio.log_mel(voice(150, 0.5, spec.sample_rate_hz, 3), spec)
    magnitude = inversion.mel_to_magnitude(log_mels, spec)
    clipped = np.maximum(0, np.exp(log_mels) @ np.linalg.pinv(audio.mel_matrix(spec)).T)

    def error(magnitude):
        return np.abs(audio.log_mel_from_stft(magnitude, spec) - log_mels).mean()

    assert magnitude.min() >= 0
    assert error(magnitude) < 0.02 and error(magnitude) < error(clipped) / 3


@each_spec
def test_no_iteration_leads_away_from_the_mels_wanted(spec):
    log_mels = audio.log_mel(voice(150, 0.3, spec.sample_rate_hz, 3), spec).astype(np.float64)
    bank, distances = audio.mel_matrix(spec), []
    for iterations in range(8):
        mels = inversion.mel_to_magnitude(log_mels, spec, iterations=iterations) @ bank.T
        distances.append(divergence(np.exp(log_mels), mels))
    assert all(np.diff(distances) < 0)


def test_louder_mels_give_magnitudes_as_much_louder(rng):
    log_mels = rng.normal(size=(5, SMALL.n_mels))
    quiet, loud = (inversion.mel_to_magnitude(x, SMALL) for x in (log_mels, log_mels + 2))
    np.testing.assert_allclose(loud, np.exp(2) * quiet, rtol=1e-6)


def test_bands_hold_nothing_from_outside_their_range():
    magnitude = inversion.mel_to_magnitude(np.zeros((3, SMALL.n_mels)), SMALL)
    hz = librosa.fft_frequencies(sr=SMALL.sample_rate_hz, n_fft=SMALL.n_fft)
    assert not magnitude[:, (hz <= SMALL.fmin_hz) | (hz >= SMALL.fmax_hz)].any()


# ------------------------------------------------------------------ phases


@each_spec
def test_griffin_lim_brings_magnitudes_into_agreement(spec):
    magnitude = np.abs(audio.stft(voice(150, 0.5, spec.sample_rate_hz, 3), spec))
    none, one, many = (
        convergence_db(inversion.griffin_lim(magnitude, spec, iterations=n), magnitude, spec) for n in (0, 1, 32)
    )
    assert many < one < none and many < -20


@each_spec
@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_is_that_of_librosa_from_the_same_phases(spec, momentum):
    magnitude = np.abs(audio.stft(voice(150, 0.3, spec.sample_rate_hz, 3), spec))
    drawn = 2 * np.pi * np.random.RandomState(7).random(magnitude.T.shape).T  # noqa: NPY002 librosa draws so
    with mock.patch.object(inversion, "phase_table", lambda spec: drawn):
        found = inversion.griffin_lim(magnitude, spec, iterations=6, momentum=momentum)
    wanted = librosa.griffinlim(
        magnitude.T,
        n_iter=6,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        n_fft=spec.n_fft,
        window=spec.window,
        pad_mode="constant",
        momentum=momentum,
        random_state=7,
    )
    np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())


def test_the_fixed_phases_are_as_good_a_beginning_as_random_ones():
    own, drawn = [], []
    for seed in range(4):
        magnitude = np.abs(audio.stft(voice(100 + 40 * seed, 0.5, 8000, seed), SMALL))
        options = {"n_iter": 32, "hop_length": SMALL.hop_length, "n_fft": SMALL.n_fft, "pad_mode": "constant"}
        theirs = librosa.griffinlim(magnitude.T, random_state=seed, **options)
        own.append(convergence_db(inversion.griffin_lim(magnitude, SMALL), magnitude, SMALL))
        drawn.append(convergence_db(theirs, magnitude, SMALL))
    assert np.mean(own) < np.mean(drawn) + 1


@each_spec
def test_right_phases_are_left_as_they_are(spec):
    y = voice(150, 0.5, spec.sample_rate_hz, 3)[: 20 * spec.hop_length]
    spectrogram = audio.stft(y, spec)
    with mock.patch.object(inversion, "phase_table", lambda spec: np.angle(spectrogram)):
        found = inversion.griffin_lim(np.abs(spectrogram), spec, iterations=5)
    np.testing.assert_allclose(found, y, atol=1e-5)


@pytest.mark.parametrize("first_frame", [1, 20, 255, 256, 1000])
def test_a_chunk_begins_with_the_phases_of_its_place_in_the_whole(first_frame, rng):
    magnitude = np.tile(rng.uniform(size=(1, SMALL.n_fft // 2 + 1)), (first_frame + 12, 1))
    whole = inversion.griffin_lim(magnitude, SMALL, iterations=0)
    chunk = inversion.griffin_lim(magnitude[first_frame:], SMALL, iterations=0, first_frame=first_frame)
    edge, start = SMALL.n_fft, first_frame * SMALL.hop_length
    np.testing.assert_allclose(chunk[edge:], whole[start + edge :], atol=1e-5)
    if first_frame % inversion.PHASE_PERIOD_FRAMES:
        elsewhere = inversion.griffin_lim(magnitude[first_frame:], SMALL, iterations=0)
        assert not np.allclose(elsewhere[edge:], chunk[edge:], atol=1e-2)


def test_the_phases_are_the_same_every_time_and_fill_the_circle():
    table = inversion.phase_table(SMALL)
    assert table.shape == (inversion.PHASE_PERIOD_FRAMES, SMALL.n_fft // 2 + 1)
    np.testing.assert_array_equal(table, inversion.phase_table(SMALL))
    counts, _ = np.histogram(table, bins=8, range=(-np.pi, np.pi))
    assert counts.sum() == table.size and np.ptp(counts) < 0.1 * counts.mean()


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("level", ["silence", 0.0])
def test_silence_and_constant_mels_of_any_length_stay_finite(frames, level):
    value = SMALL.log_floor if level == "silence" else level
    magnitude = inversion.mel_to_magnitude(np.full((frames, SMALL.n_mels), value, np.float32), SMALL)
    y = inversion.griffin_lim(magnitude, SMALL, iterations=3)
    assert y.shape == ((frames - 1) * SMALL.hop_length,) and np.isfinite(y).all()
    assert not inversion.griffin_lim(np.zeros_like(magnitude), SMALL, iterations=3).any()


# ------------------------------------------------------------------ joining


@st.composite
def cuttings(draw):
    """A length, an overlap, and where chunks begin and end."""
    overlap = draw(st.integers(0, 8))
    lengths = draw(st.lists(st.integers(max(1, 2 * overlap), 2 * overlap + 20), min_size=1, max_size=6))
    lengths[-1] = draw(st.integers(max(1, overlap), lengths[-1]))
    starts = np.cumsum([0, *(length - overlap for length in lengths[:-1])])
    return overlap, [(start, start + length) for start, length in zip(starts, lengths, strict=True)]


@laws
@given(cutting=cuttings(), seed=seeds)
def test_chunks_that_agree_join_to_the_whole(cutting, seed):
    overlap, spans = cutting
    y = np.random.default_rng(seed).normal(size=spans[-1][1]).astype(np.float32)
    found = np.concatenate(list(inversion.crossfade([y[start:end] for start, end in spans], overlap)))
    np.testing.assert_allclose(found, y, atol=1e-6)


@laws
@given(overlap=st.integers(1, 50), before=st.floats(-1, 1), after=st.floats(-1, 1))
def test_chunks_that_differ_are_faded_from_one_to_the_other(overlap, before, after):
    chunks = [np.full(2 * overlap, value, np.float32) for value in (before, after)]
    found = np.concatenate(list(inversion.crossfade(chunks, overlap)))
    assert len(found) == 3 * overlap
    np.testing.assert_allclose(found[[0, -1]], [before, after], atol=1e-6)
    steps = np.diff(found) * np.sign(after - before)
    assert (steps >= -1e-6).all() and steps.max() <= abs(after - before) * np.pi / 2 / overlap + 1e-6


@laws
@given(frames=st.integers(1, 4000), context=st.integers(0, 300))
def test_chunks_see_their_context_but_few_frames_of_silence(frames, context):
    margin, chunks = inversion.margin(context), list(inversion.chunks(frames, inversion.margin(context)))
    edge = inversion.edge(margin)
    assert margin >= context and edge <= 16
    first, last = chunks[0], chunks[-1]
    assert (first.first, first.before, last.first + last.frames, last.after) == (0, edge, frames, edge)
    for chunk in chunks:
        before_start, after_end = chunk.before - chunk.first, chunk.first + chunk.frames + chunk.after - frames
        assert chunk.before == margin or before_start == edge
        assert chunk.after == margin or after_end == edge
        assert max(before_start, after_end) <= edge and (chunk.first - chunk.before) % max(1, edge) == 0


def test_nothing_joins_to_nothing():
    assert list(inversion.crossfade([], 4)) == []
