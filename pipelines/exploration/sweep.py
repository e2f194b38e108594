"""Many runs over a grid: the size of the code against the quality of reconstructions and the compression."""

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
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import Lab
from pipelines.progress import Progress
from pipelines.reporting import html_report

GRID = ("latent=2,4,8,16,32",)
PLUGINS = ("ae", "vae")
CORES_EACH = 2  # that one training makes good use of
OF_TRAIN = ("seed", "steps", "batch_size")  # keys that train has flags for
MEANINGS = (
    *reconstruct.MEANINGS,
    ("deviation", "of the squared error over runs that differ in nothing but their seed"),
    ("variance explained", "share of the squared error of the mean that a run does away with"),
)


@dataclasses.dataclass(frozen=True)
class Point:
    """A point of the grid.

    Attributes:
      plugin: its name.
      values: keys of its configuration, as text.
    """

    plugin: str
    values: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The folder of its run."""
        return "-".join([self.plugin, *(f"{key}={value}" for key, value in self.values)])

    def flags(self) -> list[str]:
        """Its flags of `train`."""
        plain = [f"--{k}={v}" if k in OF_TRAIN else f"--set={k}={v}" for k, v in self.values]
        return [f"--plugin={self.plugin}", *plain]


def find(asked: Asked) -> Findings:
    """Trains what is not trained yet, reconstructs a split by every run, and draws the curves."""
    points = grid(asked.plugins or PLUGINS, asked.grid or GRID)
    for point in points:  # says what is wrong before any training
        pairs = [f"{key}={value}" for key, value in point.values if key not in OF_TRAIN]
        config.parse_pairs(plugins.load(point.plugin).Config, pairs, accept_renamed=False)
    train(asked, points)
    rows = [measured(asked, point) for point in points]
    names = [name for name in (key for key, _ in points[0].values) if name != "seed"]
    means = over_seeds(rows, names)
    heads, cells = html_report.format_table(
        {f"{row['plugin']} {_said(row, names)}": _plain(row, names) for row in means}
    )
    sections = [html_report.Section("Runs, mean over seeds", heads=heads, table=cells)]
    axes = [name for name in names if all(_is_number(row[name]) for row in means)]
    axes = [name for name in axes if len({row[name] for row in means}) > 1] or axes[:1]
    for axis in axes:
        parts = [_curves(means, axis, column, title) for column, title in COLUMNS.items() if column in means[0]]
        sections.append(
            html_report.Section(f"By {axis}", samples=[{"parts": parts[n : n + 2], "columns": 2} for n in (0, 2)])
        )
    best = min(means, key=lambda row: row["squared_error"])
    summary = (
        f"{len(rows)} runs in {asked.run_dir}; the lowest squared error, {best['squared_error']:.4g}, is that of "
        f"{best['plugin']} with {_said(best, names)}, {best['compression']:.3g} numbers to one of its code."
    )
    told = {
        "plugins": sorted({p.plugin for p in points}),
        "grid": list(asked.grid or GRID),
        "train": list(asked.training),
    }
    numbers = {"runs": rows, "means": means}
    return Findings(summary, numbers, rows, sections, MEANINGS, configuration=told)


COLUMNS = {
    "squared_error": "squared error",
    "variance_explained": "variance explained",
    "compression": "numbers to one of the code",
    "ssim": "SSIM",
    "lsd_db": "LSD (dB)",
}


def grid(names: Sequence[str], flags: Sequence[str]) -> list[Point]:
    """Every combination of plugins and of the values of ``KEY=VALUE,VALUE,...`` flags.

    Raises:
      UserError: not of that form, or a key twice.

    >>> [point.name for point in grid(["ae"], ["latent=2,4", "seed=0"])]
    ['ae-latent=2-seed=0', 'ae-latent=4-seed=0']
    """
    keys: dict[str, list[str]] = {}
    for flag in flags:
        key, _, values = flag.partition("=")
        if not key or not all(values.split(",")) or key in keys:
            raise UserError(f"--grid={flag}; wanted KEY=VALUE,VALUE,..., each key once")
        keys[key] = values.split(",")
    combined = itertools.product(*([(key, value) for value in values] for key, values in keys.items()))
    return [Point(plugin, values) for values in combined for plugin in names]


def train(asked: Asked, points: Sequence[Point]) -> None:
    """Trains every point by the script `train`, several at a time; what is complete stays, what is not goes on.

    Raises:
      UserError: a training failed, and what it said.
    """
    processes = asked.processes or max(1, (os.cpu_count() or 1) // CORES_EACH)
    waiting = [point for point in points if _done(asked, point) != _command(asked, point) or _stale(asked, point)]
    progress, lock = (
        Progress("sweep", len(points), "runs", start=len(points) - len(waiting)),
        threading.Lock(),
    )

    def one(point: Point) -> None:
        _train(asked, point)
        with lock:
            progress.show(progress.done + 1, point.name)

    with futures.ThreadPoolExecutor(processes) as pool:
        begun = [pool.submit(one, point) for point in waiting]
        try:
            for future in futures.as_completed(begun):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    progress.close()


def _run_dir(asked: Asked, point: Point) -> str:
    return posixpath.join(asked.run_dir, point.name)


def _command(asked: Asked, point: Point) -> list[str]:
    """What `train` is told, but for where the run goes."""
    return [f"--data_dir={asked.data_dir}", *(f"--{flag}" for flag in asked.training), *point.flags()]


def _marker(asked: Asked, point: Point) -> str:
    return posixpath.join(_run_dir(asked, point), "swept.json")


def _done(asked: Asked, point: Point) -> list[str] | None:
    """What a complete run was told; None of one that is not complete."""
    if not tf.io.gfile.exists(_marker(asked, point)):
        return None
    return files.read_json(_marker(asked, point), "what a sweep writes; take it away")


def _stale(asked: Asked, point: Point) -> bool:
    """Whether a complete run was trained on other records than there are now; `train` then says which."""
    run, data = run_directory.read_run(_run_dir(asked, point)), dataset.open_records(asked.data_dir)
    if not run or not run.records:
        return False
    now = fingerprint.records_fingerprint(data.spec, data.sources)
    return bool(fingerprint.differences({**run.records, "mels_from": None}, now))


def _train(asked: Asked, point: Point) -> None:
    command = _command(asked, point)
    arguments = [sys.executable, "-m", "pipelines.train", *command, f"--run_dir={_run_dir(asked, point)}"]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise UserError(f"train {' '.join(command)} ended with exit code {done.returncode}: {said}")
    files.write(_marker(asked, point), json.dumps(command).encode())


def measured(asked: Asked, point: Point) -> dict:
    """A line of the CSV: what the run makes of the split."""
    lab = Lab(dataclasses.replace(asked, run_dir=_run_dir(asked, point)))
    files = lab.files(asked.split)
    found = reconstruct.means([reconstruct.scored(lab, file, lab.reconstructed(file)) for file in files])
    told = lab.run["config"]
    made = {"plugin": point.plugin, **{key: told[key] for key, _ in point.values}, "seed": told["seed"]}
    made |= {"squared_error": found["squared_error"], "of_the_mean": found["of_the_mean"]}
    made["variance_explained"] = 1 - found["squared_error"] / found["of_the_mean"]
    made |= {name: found[name] for name in ("ssim", "lsd_db") if name in found}
    return made | {"latent": told["latent"], "compression": reconstruct.compression(lab, told["latent"])}


def over_seeds(rows: Sequence[Mapping], names: Sequence[str]) -> list[dict]:
    """Means over runs that differ in their seed only, with the deviation of the squared error."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault((row["plugin"], *(str(row[name]) for name in names)), []).append(row)
    means = []
    for found in groups.values():
        row = {"plugin": found[0]["plugin"], **{name: found[0][name] for name in names}, "seeds": len(found)}
        row |= {name: float(np.mean([each[name] for each in found])) for name in COLUMNS if name in found[0]}
        row["deviation"] = float(np.std([each["squared_error"] for each in found]))
        means.append(row)
    return means


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said(row: Mapping, names: Sequence[str]) -> str:
    return " ".join(f"{name}={row[name]}" for name in names)


def _plain(row: Mapping, names: Sequence[str]) -> dict:
    return {key: value for key, value in row.items() if key not in ("plugin", *names)}


def _curves(means: Sequence[Mapping], axis: str, column: str, title: str) -> html_report.Part:
    """A curve for each plugin along one key, over the means of all others."""
    lines = {}
    for plugin in dict.fromkeys(row["plugin"] for row in means):
        mine = [row for row in means if row["plugin"] == plugin]
        places = sorted({row[axis] for row in mine})
        values = [np.mean([row[column] for row in mine if row[axis] == place]) for place in places]
        deviations = [np.mean([row["deviation"] for row in mine if row[axis] == place]) for place in places]
        lines[plugin] = places, values, deviations if column == "squared_error" else None
    return figures.curves(title, lines, x=axis, y=title, log=True)
