"""Speaker similarities: with an encoder of fixed answers, and with resemblyzer's weights if they are installed."""

import numpy as np
import pytest
import spoken_clips

from pipelines.evaluation import external_metrics
from pipelines.evaluation.external import ge2e, speaker_similarity
from pipelines.evaluation.external_metrics import Clip


@pytest.fixture
def embedded(monkeypatch):
    """Replace the encoder: recordings of n samples get the unit vector at angle n in degrees; returns its inputs."""
    inputs = []

    def embed(waveform):
        inputs.append(len(waveform))
        return np.cos(np.radians([len(waveform), len(waveform) - 90]))

    monkeypatch.setattr(ge2e, "embed", embed)
    monkeypatch.setattr(ge2e, "EMBEDDING_SIZE", 2)
    return inputs


def _ones(samples):
    return np.ones(samples, np.float32)


def test_similarities_are_cosines_to_the_mean_embeddings(embedded):
    target, source = (_ones(20), _ones(40)), (_ones(90),)  # mean direction of the target: 30 degrees
    clips = [Clip(_ones(n), 16000, source_speaker=source, target_speaker=target) for n in (30, 90)]
    scores = speaker_similarity.SpeakerSimilarity().score(clips)
    assert scores["similarity_to_target"] == pytest.approx([1, 0.5])
    assert scores["similarity_to_source"] == pytest.approx([0.5, 1])
    assert sorted(embedded) == [20, 30, 40, 90, 90]  # the recordings of a speaker are embedded once


def test_without_recordings_of_a_speaker_there_is_no_similarity(embedded):
    scores = speaker_similarity.SpeakerSimilarity().score([Clip(_ones(30), 16000, target_speaker=(_ones(30),))])
    assert scores["similarity_to_target"] == pytest.approx([1])
    assert np.isnan(scores["similarity_to_source"]).all()


@spoken_clips.needs_metric("speaker_similarity")
def test_voices_are_told_apart_and_silence_is_like_none():
    source, target = (
        tuple(spoken_clips.speech(text, voice) for text in spoken_clips.TEXTS[:1])
        for voice in (spoken_clips.SOURCE_VOICE, spoken_clips.TARGET_VOICE)
    )
    speakers = {"source_speaker": source, "target_speaker": target}
    results = [
        spoken_clips.speech(spoken_clips.TEXTS[1], spoken_clips.SOURCE_VOICE),
        spoken_clips.speech(spoken_clips.TEXTS[1], spoken_clips.TARGET_VOICE),
        np.zeros(16000, np.float32),
        np.zeros(0, np.float32),
    ]
    clips = [spoken_clips.clip(y, **speakers) for y in results]
    scores = external_metrics.score_external(clips, {"similarity": speaker_similarity.SpeakerSimilarity()})
    difference = scores["similarity_to_target"] - scores["similarity_to_source"]
    assert difference[0] < 0 < difference[1]
    assert difference[2:].tolist() == [0, 0] and scores["similarity_to_target"][2:].tolist() == [0, 0]
