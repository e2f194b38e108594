"""The table of a direction: means over files with confidence intervals, and scores of whole rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.features.spec import Spec
from models.metrics import bootstrap
from pipelines.evaluation import distances
from pipelines.evaluation.examples import Example
from pipelines.evaluation.verdict import Evidence

MIN_INTERVAL_FILES = 3

Table = dict[str, dict[str, float]]  # row to scores by name
Intervals = dict[str, dict[str, list[float]]]  # row to ends of 95 % confidence intervals by name


def make_table(
    rows: Mapping[str, Sequence[Example]],
    evidence: Evidence,
    sources: Sequence[Example],
    targets: Sequence[Example],
    training: Sequence[Example],
    spec: Spec,
    extractor: str,
) -> tuple[Table, Intervals]:
    """Return the scores of each row of a direction, and the intervals of those that are means over files.

    Args:
      rows: row to results.
      evidence: of the direction.
      sources: held-out examples of the source domain.
      targets: held-out examples of the target domain.
      training: training examples of the target domain.
      spec: of the records.
      extractor: name of the feature extractor of distances between sets of images.
    """
    files = {name: _file_scores(name, row, evidence, sources, targets, spec) for name, row in rows.items()}
    for name, values in evidence.is_neither.items():
        files[name]["neither_rate"] = values
    for name, errors in distances.prosody_errors(rows, targets, spec).items():
        files[name] |= errors
    sets = _set_scores(rows, evidence, targets, training, spec, extractor)
    table: Table = {}
    intervals: Intervals = {}
    for name, scores in files.items():
        means, intervals[name] = summarize(scores)
        table[name] = {"n": len(rows[name]), **means, **sets[name]}
    return table, intervals


def _file_scores(
    name: str,
    row: Sequence[Example],
    evidence: Evidence,
    sources: Sequence[Example],
    targets: Sequence[Example],
    spec: Spec,
) -> dict[str, np.ndarray]:
    """Scores of each file of a row."""
    scores = {"target_rate": evidence.is_target[name]}
    for key, values in (("content_error", evidence.content_error), ("mcd_db", evidence.mcd_db)):
        if name in values:
            scores[key] = values[name]
    if spec.kind == "image":
        return scores | distances.image_distances(row, targets)
    if name != "copy_synthesis":
        scores["lsd_to_source_db"] = distances.distances_to_sources(row, sources)
    return scores


def _set_scores(
    rows: Mapping[str, Sequence[Example]],
    evidence: Evidence,
    targets: Sequence[Example],
    training: Sequence[Example],
    spec: Spec,
    extractor: str,
) -> Table:
    """Scores of each row as a whole."""
    scores: Table = {name: {} for name in rows}
    scores["model"]["diversity"] = evidence.diversity
    if evidence.has_speakers:
        for name in rows:
            scores[name]["relative_similarity"] = evidence.relative_similarity(name)
    if spec.kind == "image":
        for name, values in distances.image_set_distances(rows, targets, training, extractor).items():
            scores[name] |= values
        return scores
    for name, row in rows.items():
        if (value := distances.modulation_distance(row, targets, spec)) is not None:
            scores[name]["modulation_db"] = value
    return scores


def summarize(scores: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the mean of each score over files, and its 95 % bootstrap interval from three files on.

    >>> summarize({"ssim": np.array([0.5, 0.5, 0.5, np.nan])})
    ({'ssim': 0.5}, {'ssim': [0.5, 0.5]})
    """
    means, intervals = {}, {}
    for name, values in scores.items():
        finite = np.asarray(values, np.float64)[np.isfinite(values)]
        if len(finite):
            means[name] = float(finite.mean())
        if len(finite) >= MIN_INTERVAL_FILES:
            interval = bootstrap.bootstrap_interval(finite)
            intervals[name] = [interval.low, interval.high]
    return means, intervals
