"""Comparison of runs: groups of seeds, means and deviations, names."""

import json

import pytest

from models.errors import UserError
from pipelines.evaluation import comparison, run_evaluation

DIRECTION = "low to high"


def run(seed, mcd, *, plugin="cyclegan", cycle=10.0, verdict="converts"):
    rows = {
        "no_op": {"n": 5, "mcd_db": 8.0},
        "model": {"n": 5, "mcd_db": mcd},
        "copy_synthesis": {"n": 5, "mcd_db": 0.8},
    }
    return {
        "run": {"plugin": plugin, "preset": "small", "config": {"seed": seed, "cycle": cycle}},
        "ways": {DIRECTION: {"rows": rows, "verdict": verdict}},
    }


def test_seeds_of_one_configuration_share_a_row():
    runs = {"a": run(0, 4.0), "b": run(1, 5.0), "c": run(2, 6.0)}
    table, spread = comparison.compare_direction(runs, DIRECTION)
    assert list(table) == ["no_op", "cyclegan small", "copy_synthesis"]
    assert table["cyclegan small"] == {"runs": 3, "n": 5, "mcd_db": 5.0}
    assert spread == {"cyclegan small": {"mcd_db": [4.0, 6.0]}}


def test_configurations_are_rows_named_by_what_differs():
    runs = {"a": run(0, 4.0), "b": run(0, 5.0, cycle=5.0), "c": run(0, 6.0, plugin="cut", cycle=1.0)}
    table, spread = comparison.compare_direction(runs, DIRECTION)
    assert list(table)[1:-1] == ["cyclegan small cycle=10.0", "cyclegan small cycle=5.0", "cut small"]
    assert spread == {}


def test_every_run_has_its_report_beside_the_comparison(tmp_path, monkeypatch, capsys):
    results = {"a": run(0, 4.0), "b": run(1, 5.0, verdict="does not convert")}
    folders = []

    def evaluate(run_dir, data_dir, output_dir, **options):
        folders.append((data_dir, output_dir, options))
        return results[run_dir.split("/")[-1]]

    monkeypatch.setattr(run_evaluation, "evaluate", evaluate)
    metrics = comparison.evaluate_runs(["runs/a", "runs/b"], "records", str(tmp_path), seed=3)
    assert folders == [("records", f"{tmp_path}/{name}", {"seed": 3}) for name in "ab"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert metrics["comparison"][DIRECTION]["rows"]["cyclegan small"]["mcd_db"] == 4.5
    page = (tmp_path / "report.html").read_text()
    assert "4.5 ± 0.7" in page and "b: does not convert" in page and "4.5 ± 0.7" in capsys.readouterr().out


def test_runs_of_one_name_and_runs_that_do_not_translate_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="runs/a has the same name"):
        comparison.evaluate_runs(["runs/a", "others/a/"], "records", str(tmp_path))
    monkeypatch.setattr(run_evaluation, "evaluate", lambda *_, **__: {"run": {}})
    with pytest.raises(UserError, match="--run_dir=runs/a does not translate"):
        comparison.evaluate_runs(["runs/a", "runs/b"], "records", str(tmp_path))
