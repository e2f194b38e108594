"""The corpus of the demo: training sentences of each voice, and held-out sentences of both."""

import importlib.util
import pathlib

import pytest
import soundfile

from pipelines import demo, demo_corpus


@pytest.fixture
def speak(monkeypatch):
    """Records, in place of speaking them, the sentences and the voice by (part, domain)."""

    def record(seed):
        folders = {}

        class Recorder:
            def synthesize_folder(self, folder, texts, voice):
                folders[pathlib.PurePath(folder).parts[-2:]] = (texts, voice)

        monkeypatch.setattr(demo_corpus, "SpeechSynthesizer", Recorder)
        demo.write_corpus("corpus", 40, seed)
        return folders

    return record


def test_no_training_sentence_is_spoken_by_both_voices_or_held_out(speak):
    folders = speak(seed=0)
    low, high, held_out = (
        set(folders[key][0]) for key in (("training", "low"), ("training", "high"), ("held_out", "low"))
    )
    assert (len(low), len(high), len(held_out)) == (40, 40, demo.HELD_OUT_SENTENCES)
    assert not low & high and not low & held_out and not high & held_out


def test_held_out_sentences_are_parallel(speak):
    folders = speak(seed=0)
    (low, low_voice), (high, high_voice) = folders["held_out", "low"], folders["held_out", "high"]
    assert low == high and low_voice != high_voice
    assert {name: folders["training", name][1] for name in demo.VOICES} == demo.VOICES


def test_the_corpus_is_reproducible_from_the_seed(speak):
    assert speak(seed=0) == speak(seed=0) != speak(seed=1)


@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs eSpeak NG: pip install 'crossfade[demo]'"
)
def test_parallel_files_have_one_name_and_one_sample_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "HELD_OUT_SENTENCES", 2)
    demo.write_corpus(str(tmp_path), 2, seed=0)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav"))
    names = ["sentence_000.wav", "sentence_001.wav"]
    assert files == [
        f"{part}/{name}/{n}" for part in ("held_out", "training") for name in ("high", "low") for n in names
    ]
    infos = [soundfile.info(str(tmp_path / path)) for path in files]
    assert len({(info.samplerate, info.channels, info.subtype) for info in infos}) == 1
    assert all(info.duration > 0.5 for info in infos)
