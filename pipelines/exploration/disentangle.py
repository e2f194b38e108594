"""How codes hold known factors: MIG, DCI, SAP, FactorVAE score, modularity."""

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
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import File, Lab, means_of
from pipelines.reporting import html_report

MOST_FILES = 10000
MEANINGS = (
    ("mig", "mutual information gap (arXiv:1802.04942, Eq. 6), codes in 20 bins: best dimension over second best"),
    ("modularity", "whether a dimension knows of one factor only (arXiv:1802.05312)"),
    (
        "sap",
        "separated attribute predictability (arXiv:1711.00848): thresholds on the best dimension over the second best",
    ),
    (
        "factor_vae",
        "accuracy of a majority vote on which factor was held still (arXiv:1802.05983); chance is 1 / factors",
    ),
    (
        "dci",
        "Eastwood & Williams 2018, from importances of forests of trees: disentanglement (a dimension, one factor), "
        "completeness (a factor, one dimension), informativeness (accuracy above guessing, on a held-out half)",
    ),
    ("information", "mutual information of dimension and factor as a share of the factor's entropy"),
)


def find(asked: Asked) -> Findings:
    """Scores the codes of all files that are looked at, whatever their split, against their factors."""
    lab = Lab(asked)
    splits = [split for split in SPLITS if any(lab.data.shards(split, n) for n in lab.data.spec.domains)]
    files = lab.some([file for split in splits for file in _if_any(lab, split)], MOST_FILES)
    factors = known_factors(lab, files)
    if factors is None:
        tables = ", ".join(synthetic_source.factors_path(asked.data_dir, name) for name in lab.data.spec.domains)
        raise UserError(f"no factors are known of these files; wanted --labels=CSV, or {tables}")
    codes = means_of(lab.codes(files))
    values = np.stack([dis.binned(column) for column in factors.values()], axis=1)
    scores = dis.scores(codes, values, seed=asked.seed)
    known = dis.informations(codes, values) / np.maximum([dis.entropy(column) for column in values.T], 1e-12)
    gaps = dict(zip(itertools.compress(factors, dis.varying(values)), dis.gaps(codes, values).tolist(), strict=True))
    order = np.argsort(-known.max(axis=1), kind="stable")
    map_ = figures.heat_map("information", known[order], [f"dimension {n}" for n in order], list(factors))
    named = [[name, f"{value:.3f}"] for name, value in scores.items()]
    sections = [
        html_report.Section("Scores", heads=["score", "0 to 1"], table=named),
        html_report.Section(
            "What each dimension knows",
            heads=["factor", "gap"],
            table=[[name, f"{gap:.3f}"] for name, gap in gaps.items()],
            samples=[{"parts": [map_], "columns": 1}],
        ),
    ]
    numbers = {"files": len(files), "scores": scores, "gaps": gaps, "information": known.tolist()}
    summary = f"{len(files)} files: {', '.join(f'{name} {value:.3f}' for name, value in scores.items())}."
    return Findings(summary, numbers, [scores], sections, MEANINGS, configuration=lab.run)


def _if_any(lab: Lab, split: str) -> list[File]:
    try:
        return lab.files(split, most=MOST_FILES)
    except ValueError:
        return []


def known_factors(lab: Lab, files: Sequence[File]) -> dict[str, np.ndarray] | None:
    """The factors of files by name, `[files]` each: from `--labels`, or as the records' drawn sets tell them.

    Raises:
      UserError: a table that lacks files, or holds what is no number.
    """
    drawn = [synthetic_source.factors_path(lab.data.data_dir, name) for name in lab.data.spec.domains]
    paths = [lab.asked.labels] if lab.asked.labels else drawn
    if not lab.asked.labels and not all(tf.io.gfile.exists(path) for path in paths):
        return None
    read = [csv_table.read_table(path, ("id",)) for path in paths]
    known = csv_table.RowsById({name: row for table in read for name, row in table.rows_by_id().rows.items()})
    rows = known.get_all(paths[0], [file.id for file in files])
    names = [name for name in read[0].columns if name and name not in ("id", "group")]
    if not names:
        return None
    return {name: _numbers(read[0], name, [row.get(name) for row in rows]) for name in names}


def _numbers(table: csv_table.Table, name: str, values: list[str | None]) -> np.ndarray:
    path = table.path
    try:
        return np.array([table.parse_number(value) for value in values])
    except (AttributeError, TypeError, ValueError):
        known = sorted({str(value) for value in values})
        if None in values or len(known) > dis.BINS:
            raise UserError(f"{path}: column {name}; wanted a number for every file, or few different words") from None
        return np.array([float(known.index(str(value))) for value in values])
