"""Comparison of several runs on the same held-out records; runs that differ in nothing but the seed share a row."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

import plugins
from models.errors import UserError
from pipelines import cli, config, files, run_directory, stable_hash
from pipelines.data import fingerprint
from pipelines.evaluation import run_evaluation, translation_quality
from pipelines.evaluation.direction_table import Intervals, Table
from pipelines.reporting import html_report
from pipelines.training import resume

ABSENT = "absent"  # a key that a run does not have
NO_SETTINGS = ("config", "data_dir", "spec")  # fields of Run; the spec is that of the records, which are compared


def evaluate_runs(run_dirs: Sequence[str], data_dir: str, output_dir: str, **options) -> dict:
    """Evaluate runs, each into a folder of `output_dir` that is called as the run, and write a comparison beside them.

    Args:
      run_dirs: two or more runs.
      data_dir: records with a held-out test split.
      output_dir: gets `report.html` and `metrics.json` of the comparison.
      **options: those of :func:`run_evaluation.evaluate`.

    Returns:
      The content of `metrics.json`: `runs` by name, as :func:`run_evaluation.evaluate` returns them, and `comparison`.

    Raises:
      UserError: two runs have the same name, or a run does not translate; also the errors of
        :func:`translation_quality.open_run` and :func:`run_evaluation.evaluate`.
    """
    names = _run_names(run_dirs)
    for name in ("", *names):
        cli.create_output_folder("output_dir", posixpath.join(output_dir, name))
    for run_dir in run_dirs:  # before the first evaluation, which may take long
        model, _ = translation_quality.open_run(run_dir, data_dir)
        if not model.directions():
            raise UserError(f"--run_dir={run_dir} does not translate; a comparison needs runs that do")
    runs = {}
    for name, run_dir in names.items():
        print(f"{name}\n", flush=True)
        runs[name] = run_evaluation.evaluate(run_dir, data_dir, posixpath.join(output_dir, name), **options)
    comparison, sections = {}, []
    for direction in dict.fromkeys(direction for run in runs.values() for direction in run["ways"]):
        translating = {name: run for name, run in runs.items() if direction in run["ways"]}
        table, spread = compare_direction(translating, direction)
        comparison[direction] = {"rows": table, "spread": spread}
        verdicts = "; ".join(f"{name}: {run['ways'][direction]['verdict']}" for name, run in translating.items())
        headings, cells = html_report.format_table(table, spread)
        sections.append(html_report.Section(direction, headings=headings, table=cells, text=f"{verdicts}."))
        print(run_evaluation.format_section(sections[-1]))
    page = html_report.render_page(
        title=" and ".join(dict.fromkeys(run["run"]["plugin"] for run in runs.values())),
        summary="Means over runs that differ in the seed only, and their standard deviation.",
        sections=sections,
        metrics=[],
        configuration={name: run["run"] for name, run in runs.items()},
    )
    metrics = {"runs": runs, "comparison": comparison}
    files.write(posixpath.join(output_dir, "metrics.json"), files.json_bytes(metrics))
    files.write(posixpath.join(output_dir, "report.html"), page.encode())
    print(f"report: {posixpath.join(output_dir, 'report.html')}")
    return metrics


def _run_names(run_dirs: Sequence[str]) -> dict[str, str]:
    """Map the last part of the path of each run to the path."""
    names: dict[str, str] = {}
    for run_dir in run_dirs:
        name = posixpath.basename(run_dir.rstrip("/"))
        if name in names:
            raise UserError(f"--run_dir={run_dir}: {names[name]} has the same name; wanted runs of different names")
        names[name] = run_dir
    return names


def compare_direction(runs: Mapping[str, Mapping], direction: str) -> tuple[Table, Intervals]:
    """Return a row for each baseline, of the first run, and for each group of runs that differ in the seed only.

    Args:
      runs: metrics by name of runs that translate in this direction.
      direction: key of `ways`.

    Returns:
      The rows, with the number of `runs` of each, and the mean minus and plus the standard deviation between the runs.
    """
    first, *_ = runs.values()
    rows = first["ways"][direction]["rows"]
    table: Table = {name: values for name, values in rows.items() if name not in ("model", "copy_synthesis")}
    spread: Intervals = {}
    for label, group in _group_by_configuration(runs).items():
        results = [run["ways"][direction]["rows"]["model"] for run in group]
        keys = [key for key in results[0] if key != "n" and all(key in result for result in results)]
        values = {key: np.array([result[key] for result in results]) for key in keys}
        table[label] = {"runs": len(group), "n": results[0]["n"], **{k: float(v.mean()) for k, v in values.items()}}
        if len(group) > 1:
            deviations = {key: (v.mean(), v.std(ddof=1)) for key, v in values.items()}
            spread[label] = {key: [float(mean - std), float(mean + std)] for key, (mean, std) in deviations.items()}
    if "copy_synthesis" in rows:
        table["copy_synthesis"] = rows["copy_synthesis"]
    return table, spread


def _group_by_configuration(runs: Mapping[str, Mapping]) -> dict[str, list[Mapping]]:
    """Groups of runs that differ in the seed only, by plugin, preset and the keys in which the groups differ."""
    trained = _read_runs(runs.values())
    records = _describe_records(trained)
    settings = [_settings(run) | {"records": name} for run, name in zip(trained, records, strict=True)]
    groups: dict[str, list[Mapping]] = {}
    for run, setting in zip(runs.values(), settings, strict=True):
        alike = [s for s in settings if (s["plugin"], s["preset"]) == (setting["plugin"], setting["preset"])]
        changes = []
        for key in dict.fromkeys(key for s in alike for key in s):
            if any(s.get(key, ABSENT) != setting.get(key, ABSENT) for s in alike):
                changes.append(f"{key}={setting.get(key, ABSENT)}")
        groups.setdefault(" ".join([setting["plugin"], setting["preset"], *changes]), []).append(run)
    return groups


def _settings(run: run_directory.Run) -> dict:
    """Plugin, preset, configuration and all else on which results depend, without the seed and the records.

    A key that the plugin got since the run was trained has its default, and a renamed key its present name, if the
    plugin is installed: an evaluation does not need it.
    """
    configuration = dict(run.config)
    with contextlib.suppress(UserError):
        cls = plugins.load(run.plugin).Config
        configuration = config.to_json(cls()) | config.rename_keys(cls, configuration)
    configuration.pop("seed", None)
    others = {key: value for key, value in vars(run).items() if key not in (*NO_SETTINGS, *resume.MAY_CHANGE)}
    others["warm_start"] = run.warm_start or "none"
    others["sample_weights"] = run.sample_weights.get("hash", "none")
    return {"plugin": run.plugin, "preset": run.preset, **configuration, **others}


def _read_runs(runs: Iterable[Mapping]) -> list[run_directory.Run]:
    """The runs of evaluations; exports of earlier versions lack fields, which have their defaults."""
    names = {field.name for field in dataclasses.fields(run_directory.Run)}
    required = {"data_dir": "", "spec": {}}
    known = ({key: value for key, value in run["run"].items() if key in names} for run in runs)
    return [run_directory.Run(**(required | fields)) for fields in known]


def _describe_records(runs: Sequence[run_directory.Run]) -> list[str]:
    """Data directory and hash of the records of each run; equal for equal records, wherever they are."""
    names: list[str] = []
    for n, run in enumerate(runs):
        first = next(k for k, other in enumerate(runs) if k == n or _have_same_records(other, run))
        digest = stable_hash.digest(json.dumps(run.records, sort_keys=True).encode())
        names.append(names[first] if first < n else f"{run.data_dir} ({digest[:8]})")
    return names


def _have_same_records(a: run_directory.Run, b: run_directory.Run) -> bool:
    """Whether two runs have the same records: by their fingerprints, or by their folders in runs of older versions."""
    if a.records and b.records:
        return not fingerprint.differences(a.records, b.records)
    return (a.records, a.data_dir) == (b.records, b.data_dir)
