"""Examples of an evaluation: a reproducible sample, and the recordings of its excerpts."""

import dataclasses

import numpy as np
import soundfile
from testbed import preprocess, voice

from models.features import audio, recording
from pipelines.data import dataset
from pipelines.evaluation import examples


def test_examples_are_those_that_a_hash_chooses_and_not_the_first(speech_records, monkeypatch):
    data = dataset.open_records(speech_records)
    everyone = [source.id for source in data.of("train", "low")]
    monkeypatch.setattr(examples, "MAX_SOURCES", 3)
    found = {name: examples.examples_of(data, "train", name) for name in ("low", "high")}
    ids = [x.id for x in found["low"]]
    assert len(ids) == 3 and ids == sorted(ids) and ids != everyone[:3] and set(ids) < set(everyone)
    again = examples.chosen(found["low"], 2)
    assert [x.stem for x in again] == [x.stem for x in examples.chosen(list(reversed(found["low"])), 2)]


def test_what_is_listened_to_is_what_is_looked_at(speech_folder, tmp_path, monkeypatch):
    (tmp_path / "long").mkdir()
    y = np.concatenate([np.zeros(8000)] + [voice(110.0, 3.0, 8000, seed=n) for n in range(4)])
    soundfile.write(tmp_path / "long" / "x.wav", y, 8000)
    preprocess(tmp_path, tmp_path / "records", ["long"], pairs=["n_fft=256", "n_mels=32"], fractions=(0.0, 1.0))
    data = dataset.open_records(str(tmp_path / "records"))
    monkeypatch.setattr(examples, "MAX_FRAMES", 200)
    (example,) = examples.examples_of(data, "test", "long")
    spec, (source,) = data.spec.features, data.sources
    assert len(example.features) == 200 and example.first % spec.hop_length == 0 < example.first
    read, taken = [], recording.blocks

    def blocks(*given, **options):
        for part in taken(*given, **options):
            read.append(len(part))
            yield part

    monkeypatch.setattr(recording, "blocks", blocks)
    monkeypatch.setattr(recording, "BLOCK_FRAMES", 1024)
    heard = examples.recorded(example, data.spec)
    assert len(heard) == 200 * spec.hop_length
    assert sum(read) <= example.first + len(heard) + 2 * (1024 + spec.n_fft + 200 * spec.hop_length)
    apart = np.abs(audio.log_mel(source.gain * heard, spec)[4:196] - example.features[4:196])
    assert np.median(apart.max(axis=1)) < 0.05
    assert examples.recorded(dataclasses.replace(example, path=str(tmp_path / "gone.wav")), data.spec) is None
