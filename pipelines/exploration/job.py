"""What a job is asked and what it finds, and how that is written: JSON, CSV, a page."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
import posixpath
from collections.abc import Mapping, Sequence

from models.errors import UserError
from pipelines import cli, config, files
from pipelines.reporting import html_report

# values of --do; each is the name of the module that does it
JOBS = ("reconstruct", "interpolate", "sample", "traverse", "perturb", "disentangle", "outliers", "debias", "sweep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked; each job looks at what concerns it.

    Attributes:
      do: the job, of `JOBS`.
      run_dir: the run; of a sweep, where its runs go.
      data_dir: records.
      output_dir: where findings go.
      split: whose files are looked at.
      seed: of all draws.
      count: examples, samples or dimensions that are shown.
      points: of a path.
      between: two ids, files or domains to interpolate between.
      labels: CSV with a column `id` and one for each known factor, or one called `group`.
      against: ``NAME=GLOB`` of files that are known to be strange.
      false_positive_rate: of the threshold of `outliers`.
      alpha: of resampling.
      rarity: its rule, of `models.latent_space.RULES`.
      weights: where the sidecar goes.
      plugins: that a sweep trains.
      grid: ``KEY=VALUE,VALUE,...`` of a sweep.
      training: more flags of `train` for each run of a sweep.
      processes: runs of a sweep that are trained at a time.
    """

    do: str
    run_dir: str
    data_dir: str
    output_dir: str
    split: str = "test"
    seed: int = 0
    count: int = 8
    points: int = 9
    between: tuple[str, ...] = ()
    labels: str = ""
    against: tuple[str, ...] = ()
    false_positive_rate: float = 0.05
    alpha: float = 1e-3
    rarity: str = "largest"
    weights: str = ""
    plugins: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    processes: int = 0


@dataclasses.dataclass
class Findings:
    """What a job found.

    Attributes:
      summary: in a sentence or two.
      numbers: for the JSON.
      rows: for the CSV, all with the same columns.
      sections: for the page.
      meanings: of the words in it.
      files: more files for the output folder, by name.
      configuration: of the run or of the sweep.
    """

    summary: str
    numbers: Mapping
    rows: Sequence[Mapping]
    sections: Sequence[html_report.Section]
    meanings: Sequence[tuple[str, str]] = ()
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    configuration: Mapping = dataclasses.field(default_factory=dict)


def explore(asked: Asked) -> Findings:
    """Does a job, prints what it found, and writes ``JOB.json``, ``JOB.csv`` and ``report.html``.

    Raises:
      UserError: no such job, or it cannot be done with this run or these records.
    """
    if asked.do not in JOBS:
        raise UserError(f"--do={asked.do}: no such job; {config.suggest(asked.do, JOBS)}")
    cli.require_folder("output_dir", asked.output_dir)
    found = importlib.import_module(f"pipelines.exploration.{asked.do}").find(asked)
    page = html_report.page(
        title=f"{asked.do}: {asked.run_dir}",
        summary=found.summary,
        sections=found.sections,
        metrics=(),
        configuration=found.configuration,
        meanings=found.meanings,
    )
    written = {
        f"{asked.do}.json": json.dumps({"asked": config.to_json(asked), **found.numbers}, indent=2).encode(),
        f"{asked.do}.csv": table(found.rows).encode(),
        "report.html": page.encode(),
        **found.files,
    }
    for name, content in written.items():
        files.write(posixpath.join(asked.output_dir, name), content)
    print(found.summary)
    print(f"report: {posixpath.join(asked.output_dir, 'report.html')}")
    return found


def table(rows: Sequence[Mapping]) -> str:
    r"""Rows as CSV under the names of the first one.

    >>> table([{"a": 1, "b": "x"}])
    'a,b\n1,x\n'
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
