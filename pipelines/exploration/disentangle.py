"""Disentanglement scores of the codes against known factors: MIG, DCI, SAP, FactorVAE score, modularity."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.metrics import disentanglement as dis
from pipelines.data import csv_table, synthetic_source
from pipelines.data.splits import SPLITS
from pipelines.exploration import figures
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import File, LatentModel, file_means
from pipelines.reporting import html_report

MAX_FILES = 10000
DEFINITIONS = (
    (
        "mig",
        "mutual information gap (arXiv:1802.04942, Eq. 6), codes in 20 bins: best dimension minus second best, as a "
        "share of the factor's entropy",
    ),
    ("modularity", "whether each dimension is informative of one factor only (arXiv:1802.05312)"),
    (
        "sap",
        "separated attribute predictability (arXiv:1711.00848): accuracy of a threshold on the best dimension minus "
        "that on the second best",
    ),
    (
        "factor_vae",
        "accuracy of a majority vote on the factor that was held fixed (arXiv:1802.05983); chance: 1 / factors",
    ),
    (
        "dci",
        "Eastwood & Williams 2018, from importances of random forests: disentanglement (one factor per dimension), "
        "completeness (one dimension per factor), informativeness (accuracy above chance on a held-out half)",
    ),
    ("information", "mutual information of dimension and factor as a share of the factor's entropy"),
)


def run(job_config: JobConfig) -> JobResult:
    """Score the codes of files of a split, or of all, against their known factors."""
    model = LatentModel(job_config)
    files = read_files(model)
    factors = read_factors(model, files)
    if factors is None:
        tables = ", ".join(synthetic_source.factors_path(job_config.data_dir, name) for name in model.data.spec.domains)
        raise UserError(f"the factors of these files are unknown; wanted --labels=CSV, or {tables}")
    codes = file_means(model.encode(files))
    values = np.stack([dis.discretize(column) for column in factors.values()], axis=1)
    scores = dis.scores(codes, values, seed=job_config.seed)
    entropies = np.maximum([dis.entropy(column) for column in values.T], 1e-12)
    information = dis.mutual_informations(codes, values) / entropies
    varying = itertools.compress(factors, dis.varies(values))
    gaps = dict(zip(varying, dis.mig_gaps(codes, values).tolist(), strict=True))
    order = np.argsort(-information.max(axis=1), kind="stable")
    labels = [f"dimension {n}" for n in order]
    figure = figures.plot_heat_map("information", information[order], labels, list(factors))
    sections = [
        html_report.Section("Scores", headings=["score", "0 to 1"], table=_format_cells(scores)),
        html_report.Section(
            "Information of each dimension",
            headings=["factor", "gap"],
            table=_format_cells(gaps),
            samples=[{"parts": [figure], "columns": 1}],
        ),
    ]
    numbers = {"files": len(files), "scores": scores, "gaps": gaps, "information": information.tolist()}
    summary = f"{len(files)} files: {', '.join(f'{name} {value:.3f}' for name, value in scores.items())}."
    return JobResult(summary, numbers, [scores], sections, DEFINITIONS, configuration=model.run_config)


def _format_cells(values: dict[str, float]) -> list[list[str]]:
    return [[name, f"{value:.3f}"] for name, value in values.items()]


def read_files(model: LatentModel) -> list[File]:
    """Read the files of the analysed split, or of all splits, at most `MAX_FILES`.

    Raises:
      UserError: too few files for the scores.
    """
    split, spec = model.job_config.split, model.data.spec
    splits = [each for each in SPLITS if any(model.data.shards(each, name) for name in spec.domains)]
    parts = [_split_files(model, each) for each in splits if split in ("all", each)]
    files = model.subsample([file for part in parts for file in part], MAX_FILES)
    if len(files) < dis.MIN_EXAMPLES:
        problem = f"{model.data.data_dir}, --split={split}: {len(files)} files"
        raise UserError(f"{problem}; wanted {dis.MIN_EXAMPLES} or more, such as with --split=all")
    return files


def _split_files(model: LatentModel, split: str) -> list[File]:
    """Files of a split; empty if it has none."""
    try:
        return model.files(split, max_files=MAX_FILES)
    except ValueError:
        return []


def read_factors(model: LatentModel, files: Sequence[File]) -> dict[str, np.ndarray] | None:
    """Read the known factors of files from `--labels`, or from the tables of generated records.

    Returns:
      Factors by name, `[files]` each; None if no factors are known.

    Raises:
      UserError: a table without some of the files, or with too many values that are not numbers.
    """
    generated = [synthetic_source.factors_path(model.data.data_dir, name) for name in model.data.spec.domains]
    paths = [model.job_config.labels] if model.job_config.labels else generated
    if not model.job_config.labels and not all(tf.io.gfile.exists(path) for path in paths):
        return None
    tables = [csv_table.read_table(path, ("id",)) for path in paths]
    by_id = csv_table.RowsById({name: row for table in tables for name, row in table.rows_by_id().rows.items()})
    rows = by_id.get_all(paths[0], [file.id for file in files])
    names = [name for name in tables[0].columns if name and name not in ("id", "group")]
    if not names:
        return None
    return {name: _parse_factor(tables[0], name, [row.get(name) for row in rows]) for name in names}


def _parse_factor(table: csv_table.Table, name: str, values: list[str | None]) -> np.ndarray:
    """Values as numbers; a few distinct words become their indices in sorted order."""
    try:
        return np.array([table.parse_number(value) for value in values])
    except (AttributeError, TypeError, ValueError):
        words = sorted({str(value) for value in values})
        if None in values or len(words) > dis.BINS:
            raise UserError(
                f"{table.path}: column {name}; wanted a number for every file, or at most {dis.BINS} different words"
            ) from None
        return np.array([float(words.index(str(value))) for value in values])
