"""Comparison of runs: groups of seeds, means and deviations, names."""

import json
import types

import pytest

from models.errors import UserError
from pipelines.evaluation import comparison, run_evaluation, translation_quality

DIRECTION, REVERSE = "low to high", "high to low"


@pytest.fixture
def opened(monkeypatch):
    """Runs that are opened, with one direction, or none of a run whose name starts with "ae"."""
    names = []

    def open_run(run_dir, data_dir):
        names.append(run_dir)
        is_translator = not run_dir.rpartition("/")[2].startswith("ae")
        return types.SimpleNamespace(directions=lambda: [("low", "high")] * is_translator), None

    monkeypatch.setattr(translation_quality, "open_run", open_run)
    return names


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


def test_every_run_has_its_report_beside_the_comparison(tmp_path, monkeypatch, capsys, opened):
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


def test_runs_of_different_directions_are_compared_where_they_translate(tmp_path, monkeypatch, opened):
    results = {"a": run(0, 4.0, plugin="cut"), "b": run(0, 5.0)}
    results["b"]["ways"][REVERSE] = results["b"]["ways"][DIRECTION] | {"verdict": "converts in part"}
    monkeypatch.setattr(run_evaluation, "evaluate", lambda run_dir, *_, **__: results[run_dir])
    for names in ("ab", "ba"):
        compared = comparison.evaluate_runs(list(names), "records", str(tmp_path))["comparison"]
        assert set(compared) == {DIRECTION, REVERSE}
        assert len(compared[DIRECTION]["rows"]) == 4
        assert list(compared[REVERSE]["rows"]) == ["no_op", "cyclegan small", "copy_synthesis"]
        page = (tmp_path / "report.html").read_text()
        assert "b: converts in part." in page and "a: converts" in page


RECORDS = {"train": {"files": 5, "hash": "a"}, "statistics": {"low": [1.0, 2.0]}}


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"precision": "mixed_bfloat16"}, "precision=mixed_bfloat16"),
        ({"warm_start": "runs/large"}, "warm_start=runs/large"),
        ({"sample_weights": {"file": "weights.csv", "hash": "beef"}}, "sample_weights=beef"),
        ({"records": RECORDS | {"train": {"files": 6, "hash": "b"}}}, "records=records ("),
        ({"records": {}}, "records=records ("),
    ],
    ids=str,
)
def test_runs_that_differ_in_more_than_the_seed_have_rows_of_their_own(fields, label):
    runs = {name: run(n, 4.0) for n, name in enumerate("abc")}
    for each in runs.values():
        each["run"] |= {"data_dir": "records", "records": RECORDS, "versions": {"numpy": "1"}}
    runs["c"]["run"] |= fields
    table, _ = comparison.compare_direction(runs, DIRECTION)
    together, alone = list(table)[1:-1]
    assert (table[together]["runs"], table[alone]["runs"]) == (2, 1)
    assert alone.startswith(f"cyclegan small {label}")


def test_what_does_not_change_results_does_not_divide_runs():
    runs = {name: run(n, 4.0) for n, name in enumerate("abcd")}
    for each in runs.values():
        each["run"] |= {"data_dir": "records", "records": RECORDS}
    runs["b"]["run"] |= {"strategy": "mirrored", "jit_compile": True, "versions": {"numpy": "2"}, "of_tomorrow": 1}
    runs["c"]["run"] |= {"data_dir": "copy", "precision": "float32", "warm_start": "", "sample_weights": {}}
    runs["d"]["run"] |= {"records": RECORDS | {"statistics": {"low": [1.0, 2.0 + 1e-8]}}}  # of another machine
    table, _ = comparison.compare_direction(runs, DIRECTION)
    assert table["cyclegan small"]["runs"] == 4


def test_keys_that_an_older_run_lacks_have_their_default():
    older, newer, other = run(0, 4.0), run(1, 6.0), run(0, 8.0)
    newer["run"]["config"] |= {"ema": 0.0, "accumulation_steps": 2}
    older["run"]["config"] |= {"accumulate": 2}
    other["run"]["config"] |= {"ema": 0.5, "accumulation_steps": 2, "of_a_plugin_of_tomorrow": 1}
    table, _ = comparison.compare_direction({"a": older, "b": newer, "c": other}, DIRECTION)
    rows = ["cyclegan small ema=0.0 of_a_plugin_of_tomorrow=absent", "cyclegan small ema=0.5 of_a_plugin_of_tomorrow=1"]
    assert list(table)[1:-1] == rows
    assert [table[row]["mcd_db"] for row in rows] == [5.0, 8.0]


def test_a_run_of_a_plugin_that_is_not_installed_is_compared():
    runs = {"a": run(0, 4.0, plugin="of_another_machine"), "b": run(1, 5.0, plugin="of_another_machine")}
    table, _ = comparison.compare_direction(runs, DIRECTION)
    assert table["of_another_machine small"]["mcd_db"] == 4.5


def test_runs_of_one_name_and_runs_that_do_not_translate_are_refused_before_the_first_evaluation(
    tmp_path, monkeypatch, opened
):
    evaluated = []
    monkeypatch.setattr(run_evaluation, "evaluate", lambda *arguments, **_: evaluated.append(arguments))
    with pytest.raises(UserError, match="runs/a has the same name"):
        comparison.evaluate_runs(["runs/a", "others/a/"], "records", str(tmp_path))
    with pytest.raises(UserError, match="--run_dir=runs/ae does not translate"):
        comparison.evaluate_runs(["runs/a", "runs/ae"], "records", str(tmp_path))
    assert opened == ["runs/a", "runs/ae"] and not evaluated
