"""The verdict, the judge, and the page."""

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
from pipelines.evaluation import domain_classifier, examples, run_evaluation, translation_quality, verdict
from pipelines.reporting import html_report


def shares(heard, of=50):
    return np.arange(of) < heard


@pytest.mark.parametrize(
    ("model", "no_op", "said"),
    [(50, 0, "converts: "), (20, 0, "converts in part: "), (2, 0, "does not convert"), (40, 40, "does not convert")],
)
def test_the_verdict_compares_with_doing_nothing(model, no_op, said):
    assert verdict.verdict(shares(model), shares(no_op)).startswith(said)


def test_of_too_few_files_nothing_is_said():
    assert verdict.verdict(shares(3, 3), shares(0, 3)).startswith("too few files to tell: 3 where 4")
    assert verdict.verdict(shares(4, 4), shares(0, 4)).startswith("converts")


@pytest.mark.parametrize(("model", "said"), [(50, "more often than transport"), (20, "less"), (41, "no difference")])
def test_what_training_gained_is_said_beside_the_verdict(model, said):
    heard = {"mean_variance": shares(10), "transport": shares(40), "model": shares(model)}
    assert said in verdict.gained(heard, {})


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Records of voices that no run has heard, all for testing."""
    folder, data_dir = (tmp_path_factory.mktemp("records") / name for name in ("voices", "held_out"))
    write_voices(folder, 12, seed=100)
    preprocess(folder, data_dir, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], fractions=(0.0, 1.0))
    return str(data_dir)


def test_files_that_the_run_was_trained_on_are_left_out(speech_run, speech_folder, speech_records, tmp_path, capsys):
    (tmp_path / "moved").symlink_to(speech_folder)  # by other names
    pairs = ["n_fft=256", "n_mels=32"]
    preprocess(tmp_path / "moved", tmp_path / "out", ("low", "high"), pairs=pairs, fractions=(0.0, 1.0))
    found, said = translation_quality.Evaluator(speech_run, str(tmp_path / "out")).test, capsys.readouterr().err
    for name in ("low", "high"):
        trained_on = dataset.open_records(speech_records).sources_of("train", name)
        assert len(found[name]) == 12 - len(trained_on) < 12
        assert f"{len(trained_on)} test files of {name} are left out" in said


def test_examples_are_those_that_a_hash_chooses_and_not_the_first(speech_records, monkeypatch):
    data = dataset.open_records(speech_records)
    everyone = [source.id for source in data.sources_of("train", "low")]
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


def test_the_judge_hears_the_voice_and_not_the_inversion(speech_run, held_out):
    _, facts = translation_quality.Evaluator(speech_run, held_out).judge()
    for kind in ("accuracy", "accuracy_inverted"):
        assert set(facts[kind]) == {"low", "high"} and min(facts[kind].values()) >= 0.9


def test_the_judge_knows_pictures(picture_run, picture_records):
    _, facts = translation_quality.Evaluator(picture_run, picture_records).judge()
    assert min(facts["accuracy"].values()) == 1.0


def test_the_judge_takes_noise_for_neither_domain(picture_run, picture_records):
    made = translation_quality.Evaluator(picture_run, picture_records)
    judge, facts = made.judge()
    assert min(facts["accuracy"].values()) == 1.0
    rng, shown = np.random.default_rng(5), [x.features for found in made.test.values() for x in found]
    noise = [rng.uniform(-1, 1, x.shape).astype(np.float32) for x in shown]
    scrambled = [rng.permutation(x.reshape(-1, x.shape[-1])).reshape(x.shape) for x in shown]
    for broken in (noise, scrambled, [ood_examples.unlike(x, rng) for x in shown]):
        assert np.mean(judge.judge(broken) == 2) >= 0.9


def test_a_judge_is_the_same_for_the_same_seed(speech_run, held_out):
    made = translation_quality.Evaluator(speech_run, held_out)
    shown = {name: [x.features for x in found] for name, found in made.test.items()}
    logits = [
        domain_classifier.fit(shown, made.spec, seed=3, steps=5).network(shown["low"][0][None].astype(np.float32))
        for _ in "ab"
    ]
    np.testing.assert_array_equal(*logits)


class HearsLowOnly:
    """A judge to whom everything is the first voice."""

    def judge(self, examples):
        return np.zeros(len(examples), int)


@pytest.fixture(scope="module")
def evaluated(speech_run, held_out, tmp_path_factory):
    """What an evaluation wrote, and what it said."""
    out = tmp_path_factory.mktemp("evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation_quality.Evaluator, "judge", lambda self, seed: (HearsLowOnly(), {}))
        patch.setattr(run_evaluation, "SHOWN", 2)
        patch.setattr(translation_quality, "MAX_REMADE", 2)
        metrics = run_evaluation.evaluate(speech_run, held_out, str(out))
    assert metrics == json.loads((out / "metrics.json").read_text())
    return out, metrics


def test_every_row_stands_beside_the_model(evaluated):
    _, metrics = evaluated
    table = metrics["ways"]["low to high"]["rows"]
    assert list(table) == list(translation_quality.ROWS)
    assert table["no_op"]["lsd_to_source_db"] == 0 < table["model"]["lsd_to_source_db"]
    assert table["copy_synthesis"]["mcd_db"] < min(table[row]["mcd_db"] for row in ("no_op", "mean_variance"))
    assert metrics["ways"]["low to high"]["verdict"].startswith("does not convert")


def test_each_inverter_stands_in_the_table_of_copy_synthesis(evaluated):
    table = evaluated[1]["copy_synthesis"]
    assert list(table) == [f"{name}, {way}" for name in ("low", "high") for way in ("griffin_lim", "source_phase")]
    for row in table.values():
        assert row["n"] == 2 and row["convergence_db"] < -5 and row["stoi"] > 0.5 and row["times_real_time"] > 0


def test_the_page_holds_all_it_shows(evaluated):
    out, _ = evaluated
    page = (out / "report.html").read_text()
    sounds = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    assert len(sounds) == 2 * 3 * 2
    y, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert rate_hz == 8000 and len(y) > 1000
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    said = ("mel-cepstral distortion", "does not convert", "times real time", "&#34;plugin&#34;")
    for text in ("no_op", "copy_synthesis", *said):
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


def test_names_are_escaped_in_a_page():
    page = html_report.page(title="<script>", summary="", sections=[], metrics=[], configuration={})
    assert "<script>" not in page.replace("<script></script>", "")
