"""Speaker embeddings: invariances, silence and short recordings, and speakers that are told apart."""

import numpy as np
import pytest
import spoken_clips
from scipy import signal

from models.metrics import speaker_embedding
from models.metrics.speaker_embedding import EMBEDDING_SIZE, MELS, STEP_FRAMES, WINDOW_FRAMES, embed
from pipelines.evaluation import external_metrics

RATE_HZ = 16000


def vowels(seed, pitch_hz, tract, seconds=3.0):
    """A sequence of vowels of a voice: pulses at a pitch through resonances, `tract` times those of a man."""
    rng, n = np.random.default_rng(seed), int(0.2 * RATE_HZ)
    pieces = []
    for _ in range(int(seconds / 0.2)):
        pulses = np.zeros(n)
        pulses[:: int(RATE_HZ / (pitch_hz * rng.uniform(0.9, 1.1)))] = 1.0
        for hz, low in zip(
            rng.uniform((300, 900, 2200, 3300), (800, 2200, 2800, 3700)), (80, 90, 120, 150), strict=True
        ):
            pole = np.exp(-np.pi * low / RATE_HZ + 2j * np.pi * tract * hz / RATE_HZ)
            pulses = signal.lfilter([1.0], [1.0, -2 * pole.real, abs(pole) ** 2], pulses)
        pieces.append(pulses / np.abs(pulses).max())
    return np.concatenate(pieces)


def test_an_embedding_has_unit_length_and_does_not_depend_on_level():
    y = vowels(0, 110, 1.0)
    assert embed(y, RATE_HZ).shape == (EMBEDDING_SIZE,)
    assert np.linalg.norm(embed(y, RATE_HZ)) == pytest.approx(1)
    assert embed(y, RATE_HZ) @ embed(0.01 * y, RATE_HZ) == pytest.approx(1, abs=1e-4)


def test_silence_has_no_direction_and_short_recordings_have_one():
    assert not embed(np.zeros(8000), RATE_HZ).any() and not embed(np.zeros(0), RATE_HZ).any()
    for length in (1, 10, 399, 400, 2000):
        assert np.linalg.norm(embed(vowels(0, 110, 1.0)[:length], RATE_HZ)) == pytest.approx(1)


def test_pauses_are_left_out():
    y, pause = vowels(0, 110, 1.0), np.zeros(2 * RATE_HZ)
    assert len(speaker_embedding.speech_frames(np.concatenate([y, pause, y]), RATE_HZ)) == pytest.approx(600, abs=40)
    assert embed(y, RATE_HZ) @ embed(np.concatenate([pause, y, pause]), RATE_HZ) > 0.99


def test_recordings_do_not_depend_on_each_other():
    recordings = [vowels(0, 110, 1.0, seconds=7.0), np.zeros(RATE_HZ), vowels(1, 210, 1.18, seconds=0.4)]
    together, alone = speaker_embedding.embed_all(recordings, RATE_HZ), [embed(y, RATE_HZ) for y in recordings]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_an_embedding_is_the_mean_over_windows():
    frames = speaker_embedding.speech_frames(vowels(0, 110, 1.0, seconds=4.0), RATE_HZ)
    windows = speaker_embedding.cut_windows(frames)
    assert windows.shape == (len(speaker_embedding.window_starts(len(frames))), WINDOW_FRAMES, MELS)
    np.testing.assert_array_equal(windows[1], frames[STEP_FRAMES : STEP_FRAMES + WINDOW_FRAMES])
    parts = speaker_embedding.embed_frames(list(windows), speaker_embedding._weights())
    whole = speaker_embedding.embed_frames([frames], speaker_embedding._weights())[0]
    np.testing.assert_allclose(whole, parts.mean(axis=0) / np.linalg.norm(parts.mean(axis=0)), atol=1e-5)


def test_an_embedding_hardly_depends_on_the_sample_rate_and_on_a_filter():
    y = vowels(0, 110, 1.0)
    resampled = signal.resample_poly(y, 441, 160)
    assert embed(y, RATE_HZ) @ embed(resampled, 44100) > 0.95
    filtered = signal.lfilter([1.0, -0.7], [1.0], y)
    assert embed(y, RATE_HZ) @ embed(filtered, RATE_HZ) > 0.8


def test_recordings_of_one_voice_are_more_similar_than_those_of_two():
    low, high = ([embed(vowels(n, *voice), RATE_HZ) for n in range(4)] for voice in ((110, 1.0), (210, 1.18)))
    same = [group[i] @ group[j] for group in (low, high) for i in range(4) for j in range(i)]
    different = [x @ y for x in low for y in high]
    assert np.mean(same) > np.mean(different) + 0.1, (np.mean(same), np.mean(different))


def test_a_speaker_is_the_mean_of_the_recordings():
    recordings = [vowels(n, 110, 1.0) for n in range(3)]
    speaker = speaker_embedding.embed_speaker(recordings, RATE_HZ)
    mean = np.mean([embed(y, RATE_HZ) for y in recordings], axis=0)
    np.testing.assert_allclose(speaker, mean / np.linalg.norm(mean), atol=1e-6)


@spoken_clips.needs_metric("speaker_similarity")
def test_embeddings_are_those_of_the_teacher():
    from pipelines.evaluation.external import ge2e

    recordings = [spoken_clips.speech(text, voice) for voice in ("en-us+m3", "en-us+f2") for text in spoken_clips.TEXTS]
    rate_hz = spoken_clips.synthesizer().rate_hz
    teacher = [ge2e.embed(external_metrics.to_speech_rate(y, rate_hz)) for y in recordings]
    similarities = np.sum(np.multiply(teacher, [embed(y, rate_hz) for y in recordings]), axis=1)
    assert similarities.min() > 0.85, similarities
