"""Sections of the report of a translating run: its directions with their files, and the domain classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.evaluation import external_metrics, file_lists
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
    max_bytes = file_lists.MAX_BYTES // len(directions)
    sections = []
    for direction in directions:
        headings, table = html_report.format_table(direction.table, direction.intervals)
        files = file_lists.make_file_list(direction, evaluator.test, evaluator.spec, better, max_bytes)
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
