"""Examples of an evaluation: a reproducible sample, and the recordings of its excerpts."""

import dataclasses

import numpy as np
import soundfile
from testbed import preprocess, voice

from models.features import audio, recording
from pipelines.data import dataset
from pipelines.evaluation import examples


def test_examples_are_selected_by_a_hash_and_not_by_their_order(speech_records):
    data = dataset.open_records(speech_records)
    all_ids = [source.id for source in data.sources_of("train", "low")]
    selected = {name: examples.read_examples(data, "train", name, max_sources=3) for name in ("low", "high")}
    ids = [x.id for x in selected["low"]]
    assert len(ids) == 3 and ids == sorted(ids) and ids != all_ids[:3] and set(ids) < set(all_ids)
    fewer = examples.sample_examples(selected["low"], 2)
    assert [x.stem for x in fewer] == [x.stem for x in examples.sample_examples(list(reversed(selected["low"])), 2)]


def test_waveform_and_features_of_an_example_are_of_the_same_samples(speech_folder, tmp_path, monkeypatch):
    (tmp_path / "long").mkdir()
    y = np.concatenate([np.zeros(8000)] + [voice(110.0, 3.0, 8000, seed=n) for n in range(4)])
    soundfile.write(tmp_path / "long" / "x.wav", y, 8000)
    preprocess(tmp_path, tmp_path / "records", ["long"], pairs=["n_fft=256", "n_mels=32"], fractions=(0.0, 1.0))
    data = dataset.open_records(str(tmp_path / "records"))
    monkeypatch.setattr(examples, "MAX_FRAMES", 200)
    (example,) = examples.read_examples(data, "test", "long")
    spec, (source,) = data.spec.features, data.sources
    assert len(example.features) == 200 and example.start_sample % spec.hop_length == 0 < example.start_sample
    read, original = [], recording.blocks

    def blocks(*args, **options):
        for part in original(*args, **options):
            read.append(len(part))
            yield part

    monkeypatch.setattr(recording, "blocks", blocks)
    monkeypatch.setattr(recording, "BLOCK_FRAMES", 1024)
    waveform = examples.read_waveform(example, data.spec)
    assert len(waveform) == 200 * spec.hop_length
    assert sum(read) <= example.start_sample + len(waveform) + 2 * (1024 + spec.n_fft + 200 * spec.hop_length)
    differences = np.abs(audio.log_mel(source.gain * waveform, spec)[4:196] - example.features[4:196])
    assert np.median(differences.max(axis=1)) < 0.05
    assert examples.read_waveform(dataclasses.replace(example, path=str(tmp_path / "gone.wav")), data.spec) is None
