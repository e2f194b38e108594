"""An evaluation: its rows, its report and its metrics file."""

import base64
import csv
import io
import json
import pathlib
import re

import numpy as np
import PIL.Image
import pytest
import soundfile
from browser_fixtures import decoded_durations, serious_violations
from testbed import preprocess, write_voices

from models.errors import UserError
from pipelines import progress
from pipelines.data import dataset
from pipelines.evaluation import (
    comparison,
    copy_synthesis,
    external_metrics,
    file_lists,
    run_evaluation,
    translation_quality,
)
from pipelines.evaluation.external_metrics import ExternalMetric, ScoreInfo
from pipelines.reporting import html_report

ACCURACIES = {"accuracy": {"low": 1.0, "high": 1.0}}


class AlwaysFirstDomain:
    """A classifier that assigns everything to the first domain."""

    def logits(self, examples):
        return np.tile([5.0, -5.0], (len(examples), 1))

    def is_neither(self, logits):
        return {}


class Duration(ExternalMetric):
    """An external metric."""

    scores = {"duration_of_result": ScoreInfo("number of samples over the rate", higher_is_better=True, unit="s")}

    def score(self, clips):
        return {"duration_of_result": [len(clip.waveform) / clip.sample_rate_hz for clip in clips]}


@pytest.fixture(scope="module")
def evaluated(speech_run, held_out, tmp_path_factory):
    """The output folder and the metrics of an evaluation."""
    out = tmp_path_factory.mktemp("evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            translation_quality.Evaluator, "train_classifier", lambda self, seed: (AlwaysFirstDomain(), ACCURACIES)
        )
        patch.setattr(file_lists, "MAX_FILES", 2)
        patch.setattr(copy_synthesis, "MAX_RECORDINGS", 2)
        patch.setattr(external_metrics, "select_metrics", lambda names: {names: Duration()})
        lines: dict[str, list] = {}
        show = progress.Progress.show
        patch.setattr(
            progress.Progress,
            "show",
            lambda self, done: lines.setdefault(self.task, []).append((done, self.total)) or show(self, done),
        )
        metrics = run_evaluation.evaluate(speech_run, held_out, str(out), external="duration")
    for task, steps in (("evaluate", range(1, 11)), ("external metrics", range(60, 121, 60))):
        assert lines[task] == [(step, steps[-1]) for step in steps]
    assert metrics == json.loads((out / "metrics.json").read_text())
    return out, metrics


def test_the_table_has_all_rows(evaluated):
    _, metrics = evaluated
    table = metrics["ways"]["low to high"]["rows"]
    assert list(table) == list(translation_quality.ROWS)
    assert 0 < table["no_op"]["lsd_to_source_db"] < table["mean_variance"]["lsd_to_source_db"]
    assert table["no_op"]["content_error"] < table["mean_variance"]["content_error"] < 1
    assert 0 < table["model"]["diversity"] < 2
    assert table["copy_synthesis"]["mcd_db"] < min(table[row]["mcd_db"] for row in ("no_op", "mean_variance"))
    direction = metrics["ways"]["low to high"]
    assert direction["verdict"] == metrics["verdict"] == "does not convert"
    assert direction["reasons"][:2] == ["within noise of no-op", "0 % classified as target, no-op 0 %"]
    assert metrics["reasons"][0].startswith("low to high: does not convert: within noise")


def test_external_metrics_add_columns_and_their_definitions(evaluated):
    out, metrics = evaluated
    for direction in metrics["ways"].values():
        assert all(0.5 < row["duration_of_result"] < 2 for row in direction["rows"].values())
    page = (out / "report.html").read_text()
    assert ">duration of result</th>" in page and "number of samples over the rate; in s; higher is better" in page


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
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    assert len(sounds) == 2 * 4 * 2
    y, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert rate_hz == 8000 and len(y) > 1000
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    terms = ("mel-cepstral distortion", "does not convert", "times real time", "&#34;plugin&#34;")
    for text in ("no_op", "copy_synthesis", *terms):
        assert text in page


def test_speech_is_shown_as_source_converted_and_target(evaluated):
    out, _ = evaluated
    with PIL.Image.open(out / "example.png") as picture:
        assert picture.width > 3 * picture.height


def test_a_model_that_encodes_is_evaluated_by_its_reconstructions(autoencoder_run, held_out, tmp_path):
    table = run_evaluation.evaluate(autoencoder_run, held_out, str(tmp_path))["reconstruction"]
    assert set(table) == {"low", "high"}
    assert all(np.isfinite(row["model"]) and row["mean_of_data"] > 0.1 for row in table.values())


def test_an_output_folder_that_cannot_be_created_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for module, name in ((run_evaluation, "Evaluator"), (translation_quality, "open_run")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("the evaluation has begun"))
    out = str(tmp_path / "file" / "out")
    with pytest.raises(UserError, match="--output_dir=.*file/out cannot be created"):
        run_evaluation.evaluate("run", "records", out)
    with pytest.raises(UserError, match="--output_dir=.*file/out/? cannot be created"):
        comparison.evaluate_runs(["a", "b"], "records", out)


def test_recordings_that_are_missing_or_changed_are_not_scored(vocoder_run, tmp_path, monkeypatch, capsys):
    """Of records with relative paths, from another working directory."""
    (tmp_path / "elsewhere").mkdir()
    write_voices(tmp_path / "voices", 3, seed=7)
    monkeypatch.chdir(tmp_path)
    options = {"pairs": ["n_fft=256", "n_mels=32"], "fractions": (0.0, 1.0), "waveforms": True}
    preprocess(pathlib.Path("voices"), "records", ("low", "high"), **options)
    assert not any(source.path.startswith("/") for source in dataset.read_manifest("records"))
    monkeypatch.chdir(tmp_path / "elsewhere")

    def count_recordings():
        table = run_evaluation.evaluate(vocoder_run, "../records", str(tmp_path / "out"))["copy_synthesis"]
        warnings = [line for line in capsys.readouterr().err.splitlines() if "recordings" in line]
        return [table[f"{name}, griffin_lim"]["n"] for name in ("low", "high")], warnings

    assert count_recordings() == ([3, 3], [])
    low, high = (sorted((tmp_path / "voices" / name).iterdir()) for name in ("low", "high"))
    low[0].write_bytes(high[0].read_bytes())
    low[1].unlink()
    counts, (warning,) = count_recordings()
    assert counts == [1, 3] and "of 6 recordings 1 are missing and 1 have other bytes" in warning
    for path in (low[2], *high):
        path.unlink()
    with pytest.raises(UserError, match="records: none of the recordings of its test split is there"):
        count_recordings()


def test_scores_of_every_file_are_written(evaluated):
    out, metrics = evaluated
    with open(out / "scores.csv") as file:
        rows = list(csv.DictReader(file))
    for direction, way in metrics["ways"].items():
        source, _, target = direction.partition(" to ")
        for row, means in way["rows"].items():
            scores = [r for r in rows if (r["source"], r["target"], r["row"]) == (source, target, row)]
            assert len(scores) == means["n"]
            values = [float(r["target_log_odds"]) for r in scores]
            assert np.mean(values) == pytest.approx(means["target_log_odds"], rel=1e-4)


def test_the_model_card_of_the_export_has_the_results(evaluated, speech_run):
    out, _ = evaluated
    card = (pathlib.Path(speech_run) / "export" / "README.md").read_text()
    assert "- low to high: **does not convert** (within noise of no-op" in card
    assert "Consent." in (out / "report.html").read_text()


def test_the_report_works_in_a_browser(evaluated, open_page):
    out, _ = evaluated
    page = open_page((out / "report.html").as_uri())
    durations = decoded_durations(page)
    assert len(durations) == 2 * 4 * 2 and all(0.3 < seconds < 2 for seconds in durations)
    assert page.locator(".outcome").all_inner_texts() == ["does not convert"] * 2
    assert page.locator(".chart canvas").count() >= 1 and serious_violations(page) == []
    assert (out / "report.html").stat().st_size < 15e6


def test_a_confusion_matrix_is_printed():
    matrix = html_report.Matrix(["horse", "zebra"], ["horse", "zebra", "neither"], [[9, 1, 0], [0, 10, 0]])
    lines = run_evaluation.format_section(html_report.Section("Classifier", matrix=matrix)).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["Classifier"],
        ["true", "class", "horse", "zebra", "neither"],
        ["horse", "9", "1", "0"],
    ]
