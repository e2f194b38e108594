"""The TensorFlow twin of the front end: what NumPy gives, batched, in the graph, and back."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, SPECS, each_spec, laws, voice

from models import spectral
from models.features import audio, inversion


def some_voice(spec, seconds=0.4):
    return voice(150, seconds, spec.sample_rate_hz, 3)


def voices(spec, seconds=0.4):
    return np.stack([voice(f0_hz, seconds, spec.sample_rate_hz, seed=n) for n, f0_hz in enumerate((110, 170, 230))])


def magnitudes(spec, seconds=0.4):
    return np.stack([np.abs(audio.stft(y, spec)) for y in voices(spec, seconds)])


def assert_near(found, wanted, tolerance=1e-5):
    """Equal up to a part of the largest value."""
    np.testing.assert_allclose(found, wanted, atol=tolerance * np.abs(wanted).max())


# ------------------------------------------------------------------ twins


@each_spec
def test_spectrograms_are_those_of_numpy(spec):
    y = some_voice(spec)
    assert_near(spectral.stft(y, spec), audio.stft(y, spec))


@each_spec
def test_log_mels_are_those_of_numpy(spec):
    y = some_voice(spec)
    np.testing.assert_allclose(spectral.log_mel(y, spec), audio.log_mel(y, spec), atol=1e-4)


@each_spec
def test_inverse_transforms_are_those_of_numpy(spec, rng):
    frames = (12, spec.n_fft // 2 + 1)
    spectrogram = (rng.normal(size=frames) + 1j * rng.normal(size=frames)).astype(np.complex64)
    spectrogram[:, [0, -1]] = spectrogram[:, [0, -1]].real
    assert_near(spectral.istft(spectrogram, spec), inversion.istft(spectrogram, spec))


@each_spec
@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_magnitudes_of_mels_are_those_of_numpy(spec, iterations):
    log_mels = audio.log_mel(some_voice(spec), spec)
    found = spectral.mel_to_magnitude(log_mels, spec, iterations=iterations)
    assert_near(found, inversion.mel_to_magnitude(log_mels, spec, iterations=iterations))
    assert tf.reduce_min(found) >= 0


@each_spec
@pytest.mark.parametrize(("iterations", "momentum", "first_frame"), [(0, 0.99, 0), (4, 0.99, 250), (4, 0.0, 7)])
def test_griffin_lim_is_that_of_numpy(spec, iterations, momentum, first_frame):
    magnitude = np.abs(audio.stft(some_voice(spec), spec))
    options = {"iterations": iterations, "momentum": momentum, "first_frame": first_frame}
    wanted = inversion.griffin_lim(magnitude, spec, **options)
    assert_near(spectral.griffin_lim(magnitude, spec, **options), wanted, 1e-3)


@laws
@given(
    samples=st.integers(1, 6000),
    level_db=st.floats(-90, 20),
    pause=st.integers(0, 3000),
    silent=st.booleans(),
)
def test_power_and_gain_to_the_level_are_those_of_numpy(samples, level_db, pause, silent):
    y = np.random.default_rng(samples).normal(size=samples) * 10 ** (level_db / 20) * (not silent)
    y = np.concatenate([y, np.zeros(pause)]).astype(np.float32)
    powers = audio.block_powers(y, SMALL.sample_rate_hz)
    both = tf.stack([y, 0 * y])
    gain, power = spectral.level_gain(both, SMALL), spectral.active_power(both, SMALL)
    assert gain.shape == power.shape == (2, 1)
    np.testing.assert_allclose(gain[:, 0], [audio.level_gain(powers, SMALL.level_db), 1.0], rtol=1e-4)
    np.testing.assert_allclose(power[:, 0], [audio.active_power(powers), 0.0], rtol=1e-4)


@laws
@given(frames=st.integers(1, 60), seed=st.integers(0, 2**32 - 1), spread=st.floats(0, 5), range_db=st.floats(5, 60))
def test_the_frames_that_sound_are_those_of_numpy(frames, seed, spread, range_db):
    drawn = np.random.default_rng(seed).normal(size=(frames, 1)) * spread - 6
    log_mels = np.maximum(drawn + np.zeros(SMALL.n_mels), SMALL.log_floor).astype(np.float32)
    found = spectral.active_frames(log_mels, SMALL, range_db=range_db)
    np.testing.assert_array_equal(found, audio.active_frames(log_mels, SMALL, range_db=range_db))


def test_the_frames_of_a_voice_that_sound_are_those_of_numpy():
    log_mels = audio.log_mel(np.concatenate([some_voice(SMALL), np.zeros(2000, np.float32)]), SMALL)
    found = spectral.active_frames(log_mels, SMALL).numpy()
    np.testing.assert_array_equal(found, audio.active_frames(log_mels, SMALL))
    assert 0 < found.sum() < len(found)


# ------------------------------------------------------------------ laws of its own


@laws
@given(
    seed=st.integers(0, 2**32 - 1),
    hops=st.integers(1, 20),
    more=st.integers(0, 63),
    spec=st.sampled_from([SMALL, *SPECS.values()]),
)
def test_the_inverse_of_a_spectrogram_is_the_recording(seed, hops, more, spec):
    y = np.random.default_rng(seed).normal(size=(2, hops * spec.hop_length + more)).astype(np.float32)
    found = spectral.istft(spectral.stft(y, spec), spec)
    assert found.shape == (2, hops * spec.hop_length)
    np.testing.assert_allclose(found, y[:, : found.shape[1]], atol=1e-5)


@each_spec
def test_griffin_lim_brings_magnitudes_into_agreement(spec):
    y = some_voice(spec)
    magnitude = np.abs(audio.stft(y, spec))

    def convergence_db(iterations):
        found = np.abs(audio.stft(spectral.griffin_lim(magnitude, spec, iterations=iterations).numpy(), spec))
        return 20 * np.log10(np.linalg.norm(found - magnitude) / np.linalg.norm(magnitude))

    assert convergence_db(32) < -20 and convergence_db(32) < convergence_db(1) < convergence_db(0)


def test_right_phases_are_left_as_they_are():
    y = some_voice(SMALL)[: 30 * SMALL.hop_length]
    spectrogram = audio.stft(y, SMALL)
    found = spectral.griffin_lim(np.abs(spectrogram), SMALL, phase=np.float32(np.angle(spectrogram)))
    np.testing.assert_allclose(found, y, atol=1e-4)


@pytest.mark.parametrize("first_frame", [1, 20, 255, 256, 1000])
def test_a_chunk_begins_with_the_phases_of_its_place_in_the_whole(first_frame, rng):
    row = rng.uniform(size=(1, SMALL.n_fft // 2 + 1)).astype(np.float32)
    whole = spectral.griffin_lim(np.tile(row, (first_frame + 12, 1)), SMALL, iterations=0)
    chunk = spectral.griffin_lim(np.tile(row, (12, 1)), SMALL, iterations=0, first_frame=tf.constant(first_frame))
    edge, start = SMALL.n_fft, first_frame * SMALL.hop_length
    np.testing.assert_allclose(chunk[edge:], whole[start + edge :], atol=1e-5)


WAYS = {
    "stft": lambda spec: (spectral.stft, voices(spec)),
    "istft": lambda spec: (spectral.istft, magnitudes(spec).astype(np.complex64)),
    "log_mel": lambda spec: (spectral.log_mel, voices(spec)),
    "mel_to_magnitude": lambda spec: (spectral.mel_to_magnitude, spectral.log_mel(voices(spec), spec).numpy()),
    "griffin_lim": lambda spec: (functools.partial(spectral.griffin_lim, iterations=4), magnitudes(spec)),
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@each_way
def test_a_batch_gives_what_its_members_give_one_by_one(way):
    fn, x = way(SMALL)
    together = fn(x, SMALL)
    for n, one in enumerate(x):
        assert_near(together[n], fn(one, SMALL), 1e-4)
    np.testing.assert_array_equal(fn(x[None], SMALL)[0].shape, together.shape)


@each_way
def test_a_graph_for_any_length_gives_what_eager_execution_gives(way):
    fn, x = way(SMALL)
    shape = [None, None, *x.shape[2:]]

    @tf.function(input_signature=[tf.TensorSpec(shape, x.dtype)])
    def graph(x):
        return fn(x, SMALL)

    for part in (x, x[:1, :-7]):
        assert_near(graph(part), fn(part, SMALL), 1e-4)


@pytest.mark.parametrize("samples", [1, 63, 64, 1000])
def test_silence_of_any_length_stays_finite_there_and_back(samples):
    y = np.zeros((2, samples), np.float32)
    log_mels = spectral.log_mel(y * spectral.level_gain(y, SMALL), SMALL)
    np.testing.assert_allclose(log_mels, SMALL.log_floor, rtol=1e-6)
    assert not np.any(spectral.active_frames(log_mels[0], SMALL))
    magnitude = spectral.mel_to_magnitude(log_mels, SMALL)
    back = spectral.griffin_lim(magnitude, SMALL)
    assert back.shape == (2, samples - samples % SMALL.hop_length)
    rms = np.sqrt(np.mean(np.square(back))) if samples >= SMALL.hop_length else 0.0
    assert rms < 10 ** ((SMALL.level_db - 40) / 20)
    assert not np.any(spectral.griffin_lim(0 * magnitude, SMALL))


@each_spec
def test_a_voice_goes_to_mels_and_back_and_sounds_the_same(spec):
    log_mels = spectral.log_mel(some_voice(spec), spec)
    y = spectral.griffin_lim(spectral.mel_to_magnitude(log_mels, spec), spec)
    again = spectral.log_mel(y, spec).numpy()
    active = audio.active_frames(log_mels.numpy(), spec)
    assert np.abs(again - log_mels)[active].mean() < 0.25
