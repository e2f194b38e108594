"""An evaluation: its rows, its report and its metrics file."""

import base64
import io
import json
import re

import numpy as np
import PIL.Image
import pytest
import soundfile

from pipelines.evaluation import run_evaluation, translation_quality


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
