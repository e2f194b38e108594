"""Sections of the report of an evaluation: directions and their files, classifier, inverters, autoencoders, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.evaluation import (
    copy_synthesis,
    direction_table,
    external_metrics,
    file_lists,
    reconstruction,
    sample_quality,
)
from pipelines.evaluation.external_metrics import ExternalMetric
from pipelines.evaluation.translation_quality import Direction, Evaluator
from pipelines.reporting import glossary, html_report


def translation_sections(
    directions: Sequence[Direction], evaluator: Evaluator, metrics: Mapping[str, ExternalMetric], classifier: Mapping
) -> list[html_report.Section]:
    """Return a section for each direction (its table, its verdict and its files), and that of the classifier.

    Args:
      directions: evaluated directions.
      evaluator: with the held-out examples.
      metrics: external metrics by name, whose scores are among those of the files.
      classifier: see :func:`classifier_sections`.
    """
    infos = external_metrics.score_infos(metrics.values())
    better = {**glossary.HIGHER_IS_BETTER, **{key: info.higher_is_better for key, info in infos.items()}}
    sections, num_bytes = [], file_lists.MAX_BYTES
    for left, direction in zip(range(len(directions), 0, -1), directions, strict=True):
        headings, table = html_report.format_table(direction.table, direction.intervals)
        files = None
        if num_bytes > 0:  # of many directions with long files, the last ones have a table only
            files = file_lists.make_file_list(direction, evaluator.test, evaluator.spec, better, num_bytes // left)
            num_bytes -= files.size
        title = f"{direction.source} to {direction.target}"
        sections.append(html_report.Section(title, direction.verdict, headings, table, files=files))
    return sections + classifier_sections(classifier)


def classifier_sections(classifier: Mapping) -> list[html_report.Section]:
    """Return the section of the classifier's confusion matrix; none if the classifier has none.

    Args:
      classifier: `classifier` of `metrics.json`; `confusion` maps true domains to counts by predicted class.
    """
    if not (confusion := classifier.get("confusion")):
        return []
    rows, columns = list(confusion), list(dict.fromkeys(name for counts in confusion.values() for name in counts))
    counts = [[confusion[row].get(column, 0) for column in columns] for row in rows]
    return [html_report.Section("Domain classifier", matrix=html_report.Matrix(rows, columns, counts))]


def copy_synthesis_sections(evaluator: Evaluator, metrics: dict) -> list[html_report.Section]:
    """Add copy synthesis to the metrics; return its section, or none for images and if all recordings are gone."""
    if evaluator.spec.kind == "image":
        return []
    table, intervals = copy_synthesis.score_inverters(evaluator.model, evaluator.vocoder, evaluator.test)
    if not table:
        return []
    return [_table_section("Copy synthesis", "copy_synthesis", table, intervals, metrics)]


def autoencoder_sections(evaluator: Evaluator, metrics: dict) -> list[html_report.Section]:
    """Add reconstruction and sampling to the metrics of a model that does not translate; return their sections."""
    sections, model = [], evaluator.model
    if "reconstruct" in model.signatures:
        table, intervals = reconstruction.score_reconstructions(model, evaluator.test)
        sections.append(_table_section("Reconstruction", "reconstruction", table, intervals, metrics))
    if "sample" in model.signatures:
        training, held_out = (
            {domain: [x.features for x in examples] for domain, examples in split.items()}
            for split in (evaluator.training_examples, evaluator.test)
        )
        metrics["samples"] = sample_quality.score_samples(model, training, held_out, evaluator.extractor)
        sections.append(sample_quality.report_section(model, metrics["samples"]))
    return sections


def _table_section(
    title: str, key: str, table: direction_table.Table, intervals: direction_table.Intervals, metrics: dict
) -> html_report.Section:
    """Add a table and its intervals to the metrics; return its section."""
    metrics[key] = table
    metrics.setdefault("intervals", {})[key] = intervals
    headings, rows = html_report.format_table(table, intervals)
    return html_report.Section(title, headings=headings, table=rows)
