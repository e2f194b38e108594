"""Evaluation: the domain classifier, the rows of a table, and the report."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import PIL.Image
import pytest
import soundfile
from testbed import preprocess, voice, write_voices

from models.features import audio, ood_examples, recording
from pipelines.data import dataset
from pipelines.evaluation import domain_classifier, examples, run_evaluation, translation_quality


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Records of voices that no run was trained on, all in the test split."""
    folder, data_dir = (tmp_path_factory.mktemp("records") / name for name in ("voices", "held_out"))
    write_voices(folder, 12, seed=100)
    preprocess(folder, data_dir, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], fractions=(0.0, 1.0))
    return str(data_dir)


def test_files_that_the_run_was_trained_on_are_left_out(speech_run, speech_folder, speech_records, tmp_path, capsys):
    (tmp_path / "renamed").symlink_to(speech_folder)  # by other names
    pairs = ["n_fft=256", "n_mels=32"]
    preprocess(tmp_path / "renamed", tmp_path / "out", ("low", "high"), pairs=pairs, fractions=(0.0, 1.0))
    test, stderr = translation_quality.Evaluator(speech_run, str(tmp_path / "out")).test, capsys.readouterr().err
    for name in ("low", "high"):
        trained_on = dataset.open_records(speech_records).of("train", name)
        assert len(test[name]) == 12 - len(trained_on) < 12
        assert f"{len(trained_on)} test files of {name} are left out" in stderr


def test_examples_are_selected_by_a_hash_and_not_by_their_order(speech_records, monkeypatch):
    data = dataset.open_records(speech_records)
    all_ids = [source.id for source in data.of("train", "low")]
    monkeypatch.setattr(examples, "MAX_SOURCES", 3)
    selected = {name: examples.read_examples(data, "train", name) for name in ("low", "high")}
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


def test_the_classifier_is_invariant_to_inversion(speech_run, held_out):
    _, accuracies = translation_quality.Evaluator(speech_run, held_out).train_classifier()
    for kind in ("accuracy", "accuracy_inverted"):
        assert set(accuracies[kind]) == {"low", "high"} and min(accuracies[kind].values()) >= 0.9


def test_the_classifier_separates_image_domains(picture_run, picture_records):
    _, accuracies = translation_quality.Evaluator(picture_run, picture_records).train_classifier()
    assert min(accuracies["accuracy"].values()) == 1.0


def test_the_classifier_assigns_noise_to_neither_domain(picture_run, picture_records):
    evaluator = translation_quality.Evaluator(picture_run, picture_records)
    classifier, accuracies = evaluator.train_classifier()
    assert min(accuracies["accuracy"].values()) == 1.0
    rng, images = np.random.default_rng(5), [x.features for split in evaluator.test.values() for x in split]
    noise = [rng.uniform(-1, 1, x.shape).astype(np.float32) for x in images]
    scrambled = [rng.permutation(x.reshape(-1, x.shape[-1])).reshape(x.shape) for x in images]
    for broken in (noise, scrambled, [ood_examples.unlike(x, rng) for x in images]):
        assert np.mean(classifier.predict(broken) == 2) >= 0.9


def test_a_classifier_is_the_same_for_the_same_seed(speech_run, held_out):
    evaluator = translation_quality.Evaluator(speech_run, held_out)
    features = {name: [x.features for x in split] for name, split in evaluator.test.items()}
    logits = [
        domain_classifier.fit(features, evaluator.spec, seed=3, steps=5).network(
            features["low"][0][None].astype(np.float32)
        )
        for _ in "ab"
    ]
    np.testing.assert_array_equal(*logits)


class AlwaysFirstDomain:
    """A classifier that assigns everything to the first domain."""

    def predict(self, examples):
        return np.zeros(len(examples), int)


@pytest.fixture(scope="module")
def evaluated(speech_run, held_out, tmp_path_factory):
    """The output folder and the metrics of an evaluation."""
    out = tmp_path_factory.mktemp("evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation_quality.Evaluator, "train_classifier", lambda self, seed: (AlwaysFirstDomain(), {}))
        patch.setattr(run_evaluation, "NUM_SHOWN", 2)
        patch.setattr(translation_quality, "MAX_COPY_SYNTHESIS", 2)
        metrics = run_evaluation.evaluate(speech_run, held_out, str(out))
    assert metrics == json.loads((out / "metrics.json").read_text())
    return out, metrics


def test_the_table_has_all_rows(evaluated):
    _, metrics = evaluated
    table = metrics["ways"]["low to high"]["rows"]
    assert list(table) == list(translation_quality.ROWS)
    assert table["no_op"]["lsd_to_source_db"] == 0 < table["model"]["lsd_to_source_db"]
    assert table["copy_synthesis"]["mcd_db"] < min(table[row]["mcd_db"] for row in ("no_op", "mean_variance"))
    assert metrics["ways"]["low to high"]["verdict"] == (
        "does not convert: within noise of no-op (0 % classified as target, no-op 0 %)"
    )


def test_copy_synthesis_has_a_row_per_inverter(evaluated):
    table = evaluated[1]["copy_synthesis"]
    assert list(table) == [
        f"{name}, {inverter}" for name in ("low", "high") for inverter in ("griffin_lim", "source_phase")
    ]
    for row in table.values():
        assert row["n"] == 2 and row["convergence_db"] < -5 and row["stoi"] > 0.5 and row["times_real_time"] > 0


def test_the_report_is_self_contained(evaluated):
    out, _ = evaluated
    page = (out / "report.html").read_text()
    sounds = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    assert len(sounds) == 2 * 3 * 2
    y, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert rate_hz == 8000 and len(y) > 1000
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    terms = ("mel-cepstral distortion", "does not convert", "times real time", "&#34;plugin&#34;")
    for text in ("no_op", "copy_synthesis", *terms):
        assert text in page


def test_speech_is_shown_as_source_converted_and_target(evaluated):
    out, _ = evaluated
    with PIL.Image.open(out / "example.png") as picture:
        assert picture.width > 3 * picture.height


def test_a_model_that_encodes_is_judged_by_its_reconstructions(code_run, held_out, tmp_path):
    table = run_evaluation.evaluate(code_run, held_out, str(tmp_path))["reconstruction"]
    assert set(table) == {"low", "high"}
    assert all(np.isfinite(row["model"]) and row["mean_of_data"] > 0.1 for row in table.values())


def test_records_of_another_front_end_are_refused(speech_run, picture_records):
    with pytest.raises(ValueError, match="another front end"):
        translation_quality.Evaluator(speech_run, picture_records)


def test_records_without_a_test_split_are_refused(speech_run, speech_folder, tmp_path):
    preprocess(speech_folder, tmp_path, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], fractions=(0.1, 0.0))
    with pytest.raises(ValueError, match="no test files"):
        translation_quality.Evaluator(speech_run, str(tmp_path))
