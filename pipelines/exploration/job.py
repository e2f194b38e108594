"""Jobs of `explore`: their configuration, their result, and its output as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import posixpath
from collections.abc import Mapping, Sequence

from models.errors import UserError
from pipelines import cli, config, files
from pipelines.reporting import html_report

# values of --do; each is the name of a module of this package
JOBS = ("reconstruct", "interpolate", "sample", "traverse", "perturb", "disentangle", "outliers", "debias", "sweep")

ANY_SPLIT = ("disentangle",)  # jobs that can analyse the files of all splits together


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobConfig:
    """Configuration of a job; a job ignores the fields that do not concern it.

    Attributes:
      do: name of the job, one of `JOBS`.
      run_dir: the run; for a sweep the folder of its runs.
      data_dir: records with the run's front end.
      output_dir: folder of the results.
      split: whose files are analysed: "train", "val", "test", or for the jobs of `ANY_SPLIT` "all".
      seed: random seed.
      count: number of examples, samples or dimensions in the report.
      points: number of points of a path.
      between: the two endpoints of an interpolation: ids, files or domains.
      labels: CSV with a column `id` and one per known factor, or one called `group`.
      against: ``NAME=GLOB`` of out-of-distribution files.
      false_positive_rate: of the outlier detector on in-distribution files; sets its threshold.
      alpha: smoothing constant of the resampling weights.
      rarity: how the weights combine dimensions, a key of `models.latent_space.RULES`.
      weights: path of the CSV of resampling weights.
      plugins: trained by a sweep.
      grid: ``KEY=VALUE,VALUE,...`` of a sweep.
      training: further flags of `train`, for every run of a sweep.
      processes: number of runs of a sweep that are trained concurrently; 0 for one per two cores.
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
class JobResult:
    """Result of a job.

    Attributes:
      summary: one or two sentences.
      numbers: content of the JSON file.
      rows: of the CSV file, all with the same columns.
      sections: of the report.
      definitions: of terms in the report.
      files: further files for the output folder, by name.
      configuration: of the run or of the sweep.
    """

    summary: str
    numbers: Mapping
    rows: Sequence[Mapping]
    sections: Sequence[html_report.Section]
    definitions: Sequence[tuple[str, str]] = ()
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    configuration: Mapping = dataclasses.field(default_factory=dict)


def default_split(do: str) -> str:
    """Return the split that a job analyses unless another is requested.

    >>> default_split("disentangle"), default_split("sample")
    ('all', 'test')
    """
    return "all" if do in ANY_SPLIT else "test"


def explore(job_config: JobConfig) -> JobResult:
    """Run a job, print its summary, and write ``JOB.json``, ``JOB.csv`` and ``report.html``.

    Raises:
      UserError: an unknown job, or one that does not apply to the run or the records.
    """
    if job_config.do not in JOBS:
        raise UserError(f"--do={job_config.do}: no such job; {config.suggest(job_config.do, JOBS)}")
    if job_config.split == "all" and job_config.do not in ANY_SPLIT:
        raise UserError(f"--split=all is for --do={' and '.join(ANY_SPLIT)} only; wanted train, val or test")
    cli.create_output_folder("output_dir", job_config.output_dir)
    result = importlib.import_module(f"pipelines.exploration.{job_config.do}").run(job_config)
    page = html_report.render_page(
        title=f"{job_config.do}: {job_config.run_dir}",
        summary=result.summary,
        sections=result.sections,
        metrics=(),
        configuration=result.configuration,
        definitions=result.definitions,
    )
    outputs = {
        f"{job_config.do}.json": files.json_bytes({"asked": config.to_json(job_config), **result.numbers}),
        f"{job_config.do}.csv": format_csv(result.rows).encode(),
        "report.html": page.encode(),
        **result.files,
    }
    for name, content in outputs.items():
        files.write(posixpath.join(job_config.output_dir, name), content)
    print(result.summary)
    print(f"report: {posixpath.join(job_config.output_dir, 'report.html')}")
    return result


def format_csv(rows: Sequence[Mapping]) -> str:
    r"""Format rows as CSV, with the keys of the first row as header.

    >>> format_csv([{"a": 1, "b": "x"}])
    'a,b\n1,x\n'
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
