"""Evaluation of a run: tables on stdout, `report.html`, and `metrics.json`."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Mapping

import tensorflow as tf

from models.errors import UserError
from models.features.spec import Spec
from models.metrics import feature_extractors
from pipelines import cli, files
from pipelines.evaluation import (
    classifier_scores,
    data_card,
    external_columns,
    external_metrics,
    file_lists,
    recordings,
    report_sections,
)
from pipelines.evaluation.examples import Example, sample_examples
from pipelines.evaluation.translation_quality import ROWS, Direction, Evaluator
from pipelines.evaluation.verdict import BASELINES, Verdict
from pipelines.export import model_card
from pipelines.progress import Progress
from pipelines.reporting import glossary, html_report, plots
from pipelines.training import metrics_log

STRENGTH = (  # verdicts of directions; that of the run is the first that occurs
    Verdict.DOES_NOT_CONVERT,
    Verdict.CANNOT_TELL,
    Verdict.NO_BETTER_THAN_CLOSED_FORM,
    Verdict.CONVERTS_IN_PART,
    Verdict.CONVERTS,
)


def evaluate(
    run_dir: str,
    data_dir: str,
    output_dir: str,
    *,
    inverter: str = "auto",
    seed: int = 0,
    external: str = "none",
    extractor: str = feature_extractors.DEFAULT,
) -> dict:
    """Evaluate a run, print its tables, and write `report.html` and `metrics.json`; for speech also `example.png`.

    Of a run that translates, `scores.csv` lists the scores of every file. The results are added to the export's card.
    `external` selects external metrics (:func:`external_metrics.select_metrics`), `extractor` the features of sets.

    Returns:
      The content of `metrics.json`; numbers that are NaN are null there.

    Raises:
      UserError: there is nothing to score; see also :class:`Evaluator` and :func:`external_metrics.select_metrics`.
    """
    cli.create_output_folder("output_dir", output_dir)
    selected_metrics = external_metrics.select_metrics(external)
    evaluator = Evaluator(run_dir, data_dir, inverter, extractor)
    recordings.warn_of_unusable(evaluator.recordings())
    run = evaluator.model.facts["run"]
    metrics: dict = {"run": run, "records": data_dir, "inverter": evaluator.inverter, "features": extractor}
    metrics["held_out"] = evaluator.held_out
    sections, definitions, outputs = _score(evaluator, seed, selected_metrics, metrics)
    if not sections:
        raise UserError(_explain_no_scores(evaluator, run_dir))
    print("\n".join(map(format_section, sections)))
    sections += [data_card.make_section(run["data_dir"], evaluator.data, evaluator.test)]
    sections += [_update_card(evaluator, run_dir, metrics)]
    page = html_report.render_page(
        title=f"{run['plugin']}: {' and '.join(evaluator.spec.domains)}",
        summary=" ".join(filter(None, [_format_summary(metrics), evaluator.describe_sample()])),
        sections=sections,
        metrics=metrics_log.read_metrics(run_dir),
        configuration=run,
        definitions=definitions,
    )
    outputs |= {"metrics.json": files.json_bytes(metrics), "report.html": page.encode()}
    _write_outputs(output_dir, outputs)
    return metrics


def _score(
    evaluator: Evaluator, seed: int, selected_metrics: dict[str, external_metrics.ExternalMetric], metrics: dict
) -> tuple[list[html_report.Section], list[tuple[str, str]], dict[str, bytes]]:
    """Compute all scores and add them to the metrics; return sections, definitions and further files of the report."""
    outputs, definitions = {}, list(glossary.DEFINITIONS)
    if evaluator.model.directions():
        directions = _evaluate_directions(evaluator, seed, metrics)
        definitions += _add_external_scores(evaluator, directions, selected_metrics)
        sections = report_sections.translation_sections(directions, evaluator, selected_metrics, metrics["classifier"])
        outputs = _direction_files(directions, evaluator)
    else:
        sections = report_sections.autoencoder_sections(evaluator, metrics)
    return sections + report_sections.copy_synthesis_sections(evaluator, metrics), definitions, outputs


def _explain_no_scores(evaluator: Evaluator, run_dir: str) -> str:
    """Why there is nothing to score: no recordings to invert, of a run that does nothing else, such as a vocoder."""
    if evaluator.spec.kind == "image":
        offered = ", ".join(sorted(set(evaluator.model.signatures) - {"describe"}))
        return f"{run_dir} offers {offered or 'nothing'}; wanted a run that translates, reconstructs or samples"
    problem = f"{evaluator.data.data_dir}: none of the recordings of its test split is there as it was preprocessed"
    return f"{problem}; move them back, or preprocess again"


def _write_outputs(output_dir: str, outputs: Mapping[str, bytes]) -> None:
    for name, content in outputs.items():
        files.write(posixpath.join(output_dir, name), content)
    print(f"report: {posixpath.join(output_dir, 'report.html')}")


def _direction_files(directions: list[Direction], evaluator: Evaluator) -> dict[str, bytes]:
    """Further output files by name: scores of all files, and for speech a plot of an example."""
    outputs = {"scores.csv": file_lists.write_scores(directions).encode()}
    if evaluator.spec.kind == "audio":
        outputs["example.png"] = _plot_example(directions[0], evaluator.test, evaluator.spec)
    return outputs


def _update_card(evaluator: Evaluator, run_dir: str, metrics: dict) -> html_report.Section:
    """Add the results to the model card of the export, unless it is read-only; return the report's section of it."""
    model = evaluator.model
    card = model_card.render_card(metrics["run"], model.spec, model.signatures, metrics)
    try:
        model_card.write_card(run_dir, card)
    except (OSError, tf.errors.OpError) as error:
        print(f"warning: the model card of {run_dir} is not updated: {error}", file=sys.stderr)
    return html_report.Section("Model card", document=html_report.render_markdown(card))


def _evaluate_directions(evaluator: Evaluator, seed: int, metrics: dict) -> list[Direction]:
    """Train the domain classifier, evaluate every direction of the model, and add both to the metrics."""
    classifier, metrics["classifier"] = evaluator.train_classifier(seed)
    inverted = metrics["classifier"].get("accuracy_inverted", metrics["classifier"]["accuracy"])
    pairs, accuracy = evaluator.model.directions(), min(inverted.values())
    rows = len(ROWS) - (0 if evaluator.spec.kind == "audio" else len(BASELINES))
    progress = Progress("evaluate", len(pairs) * rows, "rows")
    options = {"accuracy": accuracy, "on_row": lambda: progress.show(progress.done + 1)}
    directions = [evaluator.evaluate_direction(*pair, classifier, **options) for pair in pairs]
    progress.close()
    metrics["ways"] = {
        f"{d.source} to {d.target}": {
            "rows": d.table,
            "intervals": d.intervals,
            "verdict": d.verdict.value.value,
            "reasons": list(d.verdict.reasons),
        }
        for d in directions
    }
    weakest = min(directions, key=lambda d: STRENGTH.index(d.verdict.value))
    metrics["verdict"] = weakest.verdict.value.value
    metrics["reasons"] = [f"{d.source} to {d.target}: {d.verdict.sentence()}" for d in directions]
    return directions


def _add_external_scores(
    evaluator: Evaluator, directions: list[Direction], metrics: dict[str, external_metrics.ExternalMetric]
) -> list[tuple[str, str]]:
    """Add external metrics to the tables of speech directions; return the definitions of their columns."""
    if evaluator.spec.kind == "image" or not metrics:
        return []
    return external_columns.add_external_scores(directions, evaluator.training_examples, evaluator.spec, metrics)


def _format_summary(metrics: dict) -> str:
    """Scores of the domain classifier, the features of distances of sets, and the inverter of speech."""
    classifier = metrics.get("classifier")
    sentences = [classifier_scores.describe(classifier) if classifier else "Held-out files."]
    if "copy_synthesis" not in metrics or "samples" in metrics:
        sentences.append(f"Distances of sets (KID, FID, density, coverage) on the features {metrics['features']}.")
    if metrics["inverter"] != "none":
        sentences.append(f"Inverter: {metrics['inverter']}.")
    return " ".join(sentences)


def format_section(section: html_report.Section) -> str:
    """Return a section's table or confusion matrix, verdict and text, for a terminal."""
    rows = [section.headings, *section.table]
    if matrix := section.matrix:
        counts = ([name, *map(str, row)] for name, row in zip(matrix.rows, matrix.counts, strict=True))
        rows = [["true class", *matrix.columns], *counts]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if section.verdict:
        lines.append(f"=> {section.verdict.sentence()}")
    if section.text:
        lines.append(f"   {section.text}")
    return "\n".join([section.title, *lines, ""])


def _plot_example(direction: Direction, test: dict[str, list[Example]], spec: Spec) -> bytes:
    """PNG of a source, its translation, and its parallel target if there is one."""
    (source,) = sample_examples(test[direction.source], 1)
    model = next(x for x in direction.examples["model"] if x.id == source.id)
    panels = {
        f"source ({direction.source})": source.features,
        f"converted to {direction.target}": model.features,
    }
    panels |= {f"target ({direction.target})": x.features for x in test[direction.target] if x.stem == source.stem}
    return plots.plot_log_mels(panels, spec.features)
