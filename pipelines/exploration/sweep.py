"""Sweep: trains runs over a grid of configurations and compares reconstruction quality and compression."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import posixpath
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures

import numpy as np
import tensorflow as tf

import plugins
from models.errors import UserError
from pipelines import config, files, run_directory
from pipelines.data import dataset, fingerprint
from pipelines.exploration import figures, reconstruct
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import LatentModel
from pipelines.progress import Progress
from pipelines.reporting import html_report

GRID = ("latent=2,4,8,16,32",)
PLUGINS = ("ae", "vae")
CORES_PER_RUN = 2  # that one training uses well
TRAIN_FLAGS = ("seed", "steps", "batch_size")  # keys that are flags of train and not keys of --set
DEFINITIONS = (
    *reconstruct.DEFINITIONS,
    ("deviation", "standard deviation of the squared error over runs that differ in their random seed only"),
    ("variance explained", "1 minus the squared error relative to that of the mean"),
)
COLUMNS = {
    "squared_error": "squared error",
    "variance_explained": "variance explained",
    "compression": "values per value of the code",
    "ssim": "SSIM",
    "lsd_db": "LSD (dB)",
}


@dataclasses.dataclass(frozen=True)
class GridPoint:
    """A point of the grid.

    Attributes:
      plugin: name of the plugin.
      values: pairs of a configuration key and its value as text.
    """

    plugin: str
    values: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return "-".join([self.plugin, *(f"{key}={value}" for key, value in self.values)])

    def flags(self) -> list[str]:
        """Return the flags of `train` for this point."""
        flags = [f"--{k}={v}" if k in TRAIN_FLAGS else f"--set={k}={v}" for k, v in self.values]
        return [f"--plugin={self.plugin}", *flags]


def run(job_config: JobConfig) -> JobResult:
    """Train the runs that are missing, score the reconstructions of every run, and plot the scores."""
    points = parse_grid(job_config.plugins or PLUGINS, job_config.grid or GRID)
    for point in points:  # validates all configurations before any training
        pairs = [f"{key}={value}" for key, value in point.values if key not in TRAIN_FLAGS]
        config.parse_pairs(plugins.load(point.plugin).Config, pairs)
    train_runs(job_config, points)
    rows = [score_run(job_config, point) for point in points]
    names = [name for name in (key for key, _ in points[0].values) if name != "seed"]
    means = mean_over_seeds(rows, names)
    table = {f"{row['plugin']} {_format_values(row, names)}": _drop_keys(row, names) for row in means}
    headings, cells = html_report.format_table(table)
    sections = [html_report.Section("Runs, mean over seeds", headings=headings, table=cells)]
    sections += [_axis_section(means, axis) for axis in _plot_axes(means, names)]
    best = min(means, key=lambda row: row["squared_error"])
    summary = (
        f"{len(rows)} runs in {job_config.run_dir}; lowest squared error {best['squared_error']:.4g}: {best['plugin']} "
        f"with {_format_values(best, names)}, compression {best['compression']:.3g}."
    )
    configuration = {
        "plugins": sorted({point.plugin for point in points}),
        "grid": list(job_config.grid or GRID),
        "train": list(job_config.training),
    }
    numbers = {"runs": rows, "means": means}
    return JobResult(summary, numbers, rows, sections, DEFINITIONS, configuration=configuration)


def _plot_axes(means: Sequence[Mapping], names: Sequence[str]) -> list[str]:
    """Keys with numeric values, of which at least two differ; the first numeric key if there is none."""
    numeric = [name for name in names if all(_is_number(row[name]) for row in means)]
    return [name for name in numeric if len({row[name] for row in means}) > 1] or numeric[:1]


def _axis_section(means: Sequence[Mapping], axis: str) -> html_report.Section:
    parts = [_plot_column(means, axis, column, title) for column, title in COLUMNS.items() if column in means[0]]
    return html_report.Section(f"By {axis}", samples=[{"parts": parts[n : n + 2], "columns": 2} for n in (0, 2)])


def parse_grid(names: Sequence[str], flags: Sequence[str]) -> list[GridPoint]:
    """Return all combinations of plugins and of the values of ``KEY=VALUE,VALUE,...`` flags.

    Raises:
      UserError: a flag of another form, or a repeated key.

    >>> [point.name for point in parse_grid(["ae"], ["latent=2,4", "seed=0"])]
    ['ae-latent=2-seed=0', 'ae-latent=4-seed=0']
    """
    keys: dict[str, list[str]] = {}
    for flag in flags:
        key, _, values = flag.partition("=")
        if not key or not all(values.split(",")) or key in keys:
            raise UserError(f"--grid={flag}; wanted KEY=VALUE,VALUE,..., each key once")
        keys[key] = values.split(",")
    combined = itertools.product(*([(key, value) for value in values] for key, values in keys.items()))
    return [GridPoint(plugin, values) for values in combined for plugin in names]


def train_runs(job_config: JobConfig, points: Sequence[GridPoint]) -> None:
    """Train every point with the script `train`, several at a time; complete runs are kept, others are resumed.

    Raises:
      UserError: a training failed; the message ends with its last line on stderr.
    """
    processes = job_config.processes or max(1, (os.cpu_count() or 1) // CORES_PER_RUN)
    pending = [point for point in points if not _is_complete(job_config, point)]
    progress = Progress("sweep", len(points), "runs", start=len(points) - len(pending))
    lock = threading.Lock()

    def train_point(point: GridPoint) -> None:
        _train_run(job_config, point)
        with lock:
            progress.show(progress.done + 1, point.name)

    with futures.ThreadPoolExecutor(processes) as pool:
        submitted = [pool.submit(train_point, point) for point in pending]
        try:
            for future in futures.as_completed(submitted):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    progress.close()


def _run_dir(job_config: JobConfig, point: GridPoint) -> str:
    return posixpath.join(job_config.run_dir, point.name)


def _command(job_config: JobConfig, point: GridPoint) -> list[str]:
    """Arguments of `train`, except --run_dir."""
    return [f"--data_dir={job_config.data_dir}", *(f"--{flag}" for flag in job_config.training), *point.flags()]


def _marker_path(job_config: JobConfig, point: GridPoint) -> str:
    """File that is written after a training ends; it holds the arguments of `train`."""
    return posixpath.join(_run_dir(job_config, point), "swept.json")


def _is_complete(job_config: JobConfig, point: GridPoint) -> bool:
    """Whether a run was trained to the end with the same arguments and records."""
    command = _completed_command(job_config, point)
    return command == _command(job_config, point) and not _is_stale(job_config, point)


def _completed_command(job_config: JobConfig, point: GridPoint) -> list[str] | None:
    """Arguments that a complete run was trained with; None for a missing or incomplete run."""
    path = _marker_path(job_config, point)
    if not tf.io.gfile.exists(path):
        return None
    return files.read_json(path, "the file that a sweep writes; delete it to train the run again")


def _is_stale(job_config: JobConfig, point: GridPoint) -> bool:
    """Whether a complete run was trained on other records than the current ones; `train` then reports how."""
    run, data = run_directory.read_run(_run_dir(job_config, point)), dataset.open_records(job_config.data_dir)
    if not run or not run.records:
        return False
    current = fingerprint.records_fingerprint(data.spec, data.sources)
    return bool(fingerprint.differences({**run.records, "mels_from": None}, current))


def _train_run(job_config: JobConfig, point: GridPoint) -> None:
    command = _command(job_config, point)
    arguments = [sys.executable, "-m", "pipelines.train", *command, f"--run_dir={_run_dir(job_config, point)}"]
    process = subprocess.run(arguments, check=False, capture_output=True, text=True)  # noqa: S603
    if process.returncode:
        last_line = (process.stderr.strip().splitlines() or ["no output on stderr"])[-1]
        raise UserError(f"train {' '.join(command)} ended with exit code {process.returncode}: {last_line}")
    files.write(_marker_path(job_config, point), json.dumps(command).encode())


def score_run(job_config: JobConfig, point: GridPoint) -> dict:
    """Return the CSV row of a run: its configuration and the mean scores of its reconstructions."""
    model = LatentModel(dataclasses.replace(job_config, run_dir=_run_dir(job_config, point)))
    files = model.files(job_config.split)
    scores = reconstruct.mean_scores([reconstruct.score_file(model, file, model.reconstruct(file)) for file in files])
    plugin_config, renamed = model.plugin_config, config.renamed_keys(plugins.load(point.plugin).Config)
    row = {
        "plugin": point.plugin,
        **{key: plugin_config[renamed.get(key, key)] for key, _ in point.values},
        "seed": plugin_config["seed"],
    }
    row |= {"squared_error": scores["squared_error"], "of_the_mean": scores["of_the_mean"]}
    row["variance_explained"] = 1 - scores["squared_error"] / scores["of_the_mean"]
    row |= {name: scores[name] for name in ("ssim", "lsd_db") if name in scores}
    latent = plugin_config["latent"]
    return row | {"latent": latent, "compression": reconstruct.compression(model, latent)}


def mean_over_seeds(rows: Sequence[Mapping], names: Sequence[str]) -> list[dict]:
    """Average runs that differ in their seed only, with the standard deviation of the squared error."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault((row["plugin"], *(str(row[name]) for name in names)), []).append(row)
    means = []
    for runs in groups.values():
        mean = {"plugin": runs[0]["plugin"], **{name: runs[0][name] for name in names}, "seeds": len(runs)}
        mean |= {name: float(np.mean([run[name] for run in runs])) for name in COLUMNS if name in runs[0]}
        mean["deviation"] = float(np.std([run["squared_error"] for run in runs]))
        means.append(mean)
    return means


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _format_values(row: Mapping, names: Sequence[str]) -> str:
    return " ".join(f"{name}={row[name]}" for name in names)


def _drop_keys(row: Mapping, names: Sequence[str]) -> dict:
    return {key: value for key, value in row.items() if key not in ("plugin", *names)}


def _plot_column(means: Sequence[Mapping], axis: str, column: str, title: str) -> html_report.Part:
    """Plot a score of each plugin along one key, averaged over all other keys."""
    lines = {}
    for plugin in dict.fromkeys(row["plugin"] for row in means):
        rows = [row for row in means if row["plugin"] == plugin]
        positions = sorted({row[axis] for row in rows})
        groups = [[row for row in rows if row[axis] == position] for position in positions]
        values = [np.mean([row[column] for row in group]) for group in groups]
        deviations = [np.mean([row["deviation"] for row in group]) for group in groups]
        lines[plugin] = positions, values, deviations if column == "squared_error" else None
    return figures.plot_curves(title, lines, x=axis, y=title, log=True)
