"""The table of a direction: means over files with confidence intervals, and scores of whole rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.features.spec import Spec
from models.metrics import bootstrap
from pipelines.evaluation import distances
from pipelines.evaluation.examples import Example, sample_examples
from pipelines.evaluation.verdict import Evidence

MIN_INTERVAL_FILES = 3

Table = dict[str, dict[str, float]]  # row to scores by name
Intervals = dict[str, dict[str, list[float]]]  # row to ends of 95 % confidence intervals by name
Scores = dict[str, dict[str, np.ndarray]]  # row to scores of its files `[n]` by name, NaN where a file has none


def score_files(
    rows: Mapping[str, Sequence[Example]],
    evidence: Evidence,
    sources: Sequence[Example],
    targets: Sequence[Example],
    spec: Spec,
) -> Scores:
    """Return the scores of each file of each row of a direction.

    Args:
      rows: row to results.
      evidence: of the direction.
      sources: held-out examples of the source domain.
      targets: held-out examples of the target domain.
      spec: of the records.
    """
    scores = {name: _file_scores(name, row, evidence, sources, targets, spec) for name, row in rows.items()}
    for name, values in evidence.is_neither.items():
        scores[name]["neither_rate"] = values
    for name, errors in distances.prosody_errors(rows, spec).items():
        scores[name] |= errors
    return scores


def make_table(scores: Scores, set_scores: Table) -> tuple[Table, Intervals]:
    """Return a table of means over files and of scores of whole rows, and the intervals of the means."""
    table: Table = {}
    intervals: Intervals = {}
    for name, values in scores.items():
        means, intervals[name] = summarize(values)
        table[name] = {"n": len(values["target_rate"]), **means, **set_scores[name]}
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
    scores = {"target_rate": evidence.is_target[name], "target_log_odds": evidence.target_log_odds[name]}
    if evidence.has_speakers:
        scores["relative_similarity"] = evidence.relative_similarities(name)
    for key, values in (("content_error", evidence.content_error), ("mcd_db", evidence.mcd_db)):
        if name in values:
            scores[key] = values[name]
    if name == "copy_synthesis":  # its images are the targets themselves
        return scores
    if spec.kind == "image":
        return scores | distances.image_distances(row, targets)
    return scores | {"lsd_to_source_db": distances.distances_to_sources(row, sources)}


def score_sets(
    rows: Mapping[str, Sequence[Example]],
    evidence: Evidence,
    targets: Sequence[Example],
    training: Sequence[Example],
    spec: Spec,
    extractor: str,
) -> Table:
    """Return the scores of each row of a direction as a whole.

    The row of the target's own images has training images; held-out ones would be compared with themselves.

    Args:
      rows: row to results.
      evidence: of the direction.
      targets: held-out examples of the target domain.
      training: training examples of the target domain.
      spec: of the records.
      extractor: name of the feature extractor of distances between sets of images.
    """
    scores: Table = {name: {} for name in rows}
    scores["model"]["diversity"] = evidence.diversity
    if spec.kind == "image":
        compared = {**rows, "copy_synthesis": sample_examples(training, len(targets))}
        for name, values in distances.image_set_distances(compared, targets, training, extractor).items():
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
