"""Phone error rates: with a recogniser of fixed answers, and with hama if it is installed."""

import sys
import types

import numpy as np
import pytest
import spoken_clips

from pipelines.evaluation import external_metrics
from pipelines.evaluation.external import phones_lost
from pipelines.evaluation.external_metrics import Clip


@pytest.fixture
def recognized(monkeypatch):
    """Replace hama by a recogniser whose phones are the number of samples in digits; returns the list of its inputs."""
    inputs = []

    class ASRModel:
        def transcribe_waveform(self, waveform, sample_rate):
            inputs.append((len(waveform), sample_rate))
            return types.SimpleNamespace(phonemes=[*str(len(waveform)), "<unk>"])

    monkeypatch.setitem(sys.modules, "hama", types.SimpleNamespace(ASRModel=ASRModel))
    phones_lost._recognizer.cache_clear()
    yield inputs
    phones_lost._recognizer.cache_clear()


def _ones(samples):
    return np.ones(samples, np.float32)


def test_the_rate_is_the_edit_distance_over_the_phones_of_the_source(recognized):
    source = _ones(1234)
    results = [_ones(1234), _ones(1235), _ones(124), np.zeros(9, np.float32)]
    scores = phones_lost.PhonesLost().score([Clip(y, 16000, source) for y in results])["phones_lost"]
    assert scores.tolist() == [0, 0.25, 0.25, 1]
    assert recognized.count((1234, 16000)) == 2  # the source is recognised once


def test_the_recogniser_is_called_at_16_khz(recognized):
    phones_lost.PhonesLost().score([Clip(_ones(500), 8000, _ones(1000))])
    assert recognized == [(1000, 16000), (2000, 16000)]


def test_without_phones_in_the_source_there_is_no_rate(recognized):
    clips = [Clip(_ones(100), 16000), Clip(_ones(100), 16000, np.zeros(100, np.float32))]
    assert np.isnan(phones_lost.PhonesLost().score(clips)["phones_lost"]).all()


@spoken_clips.needs_metric("phones_lost")
def test_hama_tells_a_sentence_in_another_voice_from_another_sentence():
    source, same, other = (
        spoken_clips.speech(spoken_clips.TEXTS[text], voice)
        for text, voice in (
            (0, spoken_clips.SOURCE_VOICE),
            (0, spoken_clips.TARGET_VOICE),
            (1, spoken_clips.SOURCE_VOICE),
        )
    )
    clips = [spoken_clips.clip(y, source) for y in (source, same, other, spoken_clips.noise())]
    unchanged, same, other, noise = external_metrics.score_external(clips, {"phones_lost": phones_lost.PhonesLost()})[
        "phones_lost"
    ]
    assert unchanged == 0 and same < 0.5 < other and noise > 0.7
