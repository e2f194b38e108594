"""Evaluation of a run: tables on stdout, `report.html`, and `metrics.json`."""

from __future__ import annotations

import json
import posixpath

from models import spectral
from models.features.spec import Spec
from models.metrics import feature_extractors
from pipelines import cli, files
from pipelines.evaluation import classifier_scores, external_columns, external_metrics
from pipelines.evaluation.examples import Example, read_waveform, sample_examples
from pipelines.evaluation.translation_quality import Direction, Evaluator
from pipelines.evaluation.verdict import Verdict
from pipelines.reporting import glossary, html_report, plots
from pipelines.training import metrics_log

STRENGTH = (  # verdicts of directions; that of the run is the first that occurs
    Verdict.DOES_NOT_CONVERT,
    Verdict.CANNOT_TELL,
    Verdict.NO_BETTER_THAN_CLOSED_FORM,
    Verdict.CONVERTS_IN_PART,
    Verdict.CONVERTS,
)
NUM_SHOWN = 4  # held-out files of each direction in the report; selected by a stable hash


def evaluate(
    run_dir: str,
    data_dir: str,
    output_dir: str,
    *,
    inverter: str = "griffin_lim",
    seed: int = 0,
    external: str = "none",
    extractor: str = feature_extractors.DEFAULT,
) -> dict:
    """Evaluate a run, print its tables, and write `report.html` and `metrics.json`; for speech also `example.png`.

    `external` selects external metrics (:func:`external_metrics.select_metrics`), `extractor` the features of sets.

    Returns:
      The content of `metrics.json`.

    Raises:
      UserError: see :class:`Evaluator` and :func:`external_metrics.select_metrics`.
    """
    cli.require_folder("output_dir", output_dir)
    selected_metrics, definitions = external_metrics.select_metrics(external), glossary.DEFINITIONS
    evaluator = Evaluator(run_dir, data_dir, inverter, extractor)
    run = evaluator.model.facts["run"]
    metrics: dict = {"run": run, "records": data_dir, "inverter": inverter, "features": extractor}
    outputs: dict[str, bytes] = {}
    if evaluator.model.directions():
        directions = _evaluate_directions(evaluator, seed, metrics)
        definitions = (*definitions, *_add_external_scores(evaluator, directions, selected_metrics))
        sections = [_direction_section(d, evaluator.test, evaluator.spec) for d in directions]
        if evaluator.spec.kind == "audio":
            outputs["example.png"] = _plot_example(directions[0], evaluator.test, evaluator.spec)
    else:
        sections = evaluator.autoencoder_sections(metrics)
    sections += evaluator.copy_synthesis_section(metrics)
    for section in sections:
        print(format_section(section))
    page = html_report.render_page(
        title=f"{run['plugin']}: {' and '.join(evaluator.spec.domains)}",
        summary=_format_summary(metrics),
        sections=sections,
        metrics=metrics_log.read_metrics(run_dir),
        configuration=run,
        definitions=definitions,
    )
    outputs |= {"metrics.json": json.dumps(metrics, indent=2).encode(), "report.html": page.encode()}
    for name, content in outputs.items():
        files.write(posixpath.join(output_dir, name), content)
    print(f"report: {posixpath.join(output_dir, 'report.html')}")
    return metrics


def _evaluate_directions(evaluator: Evaluator, seed: int, metrics: dict) -> list[Direction]:
    """Train the domain classifier, evaluate every direction of the model, and add both to the metrics."""
    classifier, metrics["classifier"] = evaluator.train_classifier(seed)
    inverted = metrics["classifier"].get("accuracy_inverted", metrics["classifier"]["accuracy"])
    pairs, accuracy = evaluator.model.directions(), min(inverted.values())
    directions = [evaluator.evaluate_direction(source, target, classifier, accuracy) for source, target in pairs]
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
    """Scores of the domain classifier, the features of distances of sets, and the inverter unless it is the default."""
    classifier = metrics.get("classifier")
    sentences = [classifier_scores.describe(classifier) if classifier else "Held-out files."]
    if "copy_synthesis" not in metrics or "samples" in metrics:
        sentences.append(f"Distances of sets (KID, FID, density, coverage) on the features {metrics['features']}.")
    if metrics["inverter"] != "griffin_lim":
        sentences.append(f"Inverter: {metrics['inverter']}.")
    return " ".join(sentences)


def format_section(section: html_report.Section) -> str:
    """Return a section's table, verdict and text, for a terminal."""
    rows = [section.headings, *section.table]
    widths = [max(len(row[n]) for row in rows) for n in range(len(section.headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if section.verdict:
        lines.append(f"=> {section.verdict.sentence()}")
    if section.text:
        lines.append(f"   {section.text}")
    return "\n".join([section.title, *lines, ""])


def _direction_section(direction: Direction, test: dict[str, list[Example]], spec: Spec) -> html_report.Section:
    """A direction's table and verdict, and sources beside their translations and targets."""
    headings, table = html_report.format_table(direction.table, direction.intervals)
    sources, targets = test[direction.source], test[direction.target]
    parallel, translated = {x.stem: x for x in targets}, {x.id: x for x in direction.examples["model"]}
    fallbacks, samples = sample_examples(targets, NUM_SHOWN), []
    for n, source in enumerate(sample_examples(sources, NUM_SHOWN)):
        target, fallback = parallel.get(source.stem), fallbacks[n % len(fallbacks)]
        columns = [(f"source: {source.id}", source), (f"converted to {direction.target}", translated[source.id])]
        columns.append((f"target: {target.id}", target) if target else (f"not parallel: {fallback.id}", fallback))
        parts = [_example_part(caption, x, spec) for caption, x in columns]
        samples.append({"parts": parts, "pixel": spec.kind == "image"})
    title = f"{direction.source} to {direction.target}"
    return html_report.Section(title, direction.verdict, headings, table, samples)


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


def _example_part(caption: str, example: Example, spec: Spec) -> html_report.Part:
    """An image, or an audio player with a spectrogram; features are inverted if there is no recording."""
    if spec.kind == "image":
        return html_report.image_part(caption, example.features)
    waveform = example.waveform if example.waveform is not None else read_waveform(example, spec)
    if waveform is None:
        magnitude = spectral.mel_to_magnitude(example.features[None], spec.features)
        waveform = spectral.griffin_lim(magnitude, spec.features)[0].numpy()
    return html_report.audio_part(caption, waveform, example.features, spec.features)
