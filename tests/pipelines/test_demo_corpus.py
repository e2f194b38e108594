"""Sentences of the demo, and eSpeak NG, which speaks them."""

import importlib.util
import sys

import numpy as np
import pytest
import soundfile

from pipelines import demo_corpus

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs eSpeak NG: pip install 'crossfade[demo]'"
)


@pytest.mark.parametrize("seed", [0, 1])
def test_sentences_are_distinct_and_reproducible_from_the_seed(seed):
    texts = demo_corpus.sentences(330, seed)
    assert len(set(texts)) == 330 and demo_corpus.sentences(330, seed) == texts
    assert demo_corpus.sentences(100, seed) == texts[:100]
    assert demo_corpus.sentences(330, seed + 1) != texts


def test_a_sentence_has_a_subject_a_verb_an_object_and_a_place():
    for text in demo_corpus.sentences(50, seed=0):
        assert text[0].isupper() and text.endswith(".")
        subjects, verbs, objects, places = (
            [part for part in parts if part in text.lower()]
            for parts in (demo_corpus.SUBJECTS, demo_corpus.VERBS, demo_corpus.OBJECTS, demo_corpus.PLACES)
        )
        assert subjects and verbs and objects and places


def test_without_its_package_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ValueError, match=r"pip install 'crossfade\[demo\]'"):
        demo_corpus.SpeechSynthesizer()


@pytest.fixture(scope="module")
def synthesizer():
    return demo_corpus.SpeechSynthesizer()


@needs_espeak
def test_speech_fills_its_range_and_differs_between_voices_and_sentences(synthesizer):
    first = synthesizer.synthesize("The river map.", "en-us+m3")
    assert first.dtype == np.int16 and len(first) > 0.3 * synthesizer.rate_hz and np.abs(first).max() > 1000
    other_voice = synthesizer.synthesize("The river map.", "en-us+f2")
    other_sentence = synthesizer.synthesize("Two cups of tea before the storm.", "en-us+m3")
    assert not np.array_equal(other_voice[: len(first)], first[: len(other_voice)])
    assert len(other_sentence) > 1.2 * len(first)


@needs_espeak
def test_a_folder_has_one_file_a_sentence_at_the_sample_rate_of_the_synthesizer(synthesizer, tmp_path):
    texts = demo_corpus.sentences(3, seed=0)
    synthesizer.synthesize_folder(str(tmp_path / "low"), texts, "en-us+m3")
    paths = sorted((tmp_path / "low").iterdir())
    assert [path.name for path in paths] == [f"sentence_{n:03d}.wav" for n in range(3)]
    for path, text in zip(paths, texts, strict=True):
        y, rate_hz = soundfile.read(path)
        assert rate_hz == synthesizer.rate_hz == soundfile.info(path).samplerate and soundfile.info(path).channels == 1
        again = synthesizer.synthesize(text, "en-us+m3")
        assert len(y) == pytest.approx(len(again), rel=0.01)  # eSpeak NG varies its periods at random


@needs_espeak
def test_an_unknown_voice_is_refused(synthesizer):
    with pytest.raises(ValueError, match="no voice no-such-voice"):
        synthesizer.synthesize("Hello.", "no-such-voice")
