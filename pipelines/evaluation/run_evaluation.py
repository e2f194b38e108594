"""A run judged: its tables on the screen, `report.html` and `metrics.json`."""

from __future__ import annotations

import json
import posixpath

from models import spectral
from models.features.spec import Spec
from pipelines import cli, files
from pipelines.evaluation.examples import Example, chosen, recorded
from pipelines.evaluation.translation_quality import Evaluator, Way
from pipelines.reporting import html_report, plots
from pipelines.training import metrics_log

SHOWN = 4  # held-out files of each way that the report plays; a stable hash chooses


def evaluate(run_dir: str, data_dir: str, output_dir: str, *, inverter: str = "griffin_lim", seed: int = 0) -> dict:
    """Judges a run, prints its tables, and writes `report.html` and `metrics.json`; of speech a picture too.

    Returns:
      The content of `metrics.json`.

    Raises:
      UserError: see :class:`Evaluator`.
    """
    cli.require_folder("output_dir", output_dir)
    evaluator = Evaluator(run_dir, data_dir, inverter)
    facts = evaluator.model.facts
    metrics: dict = {"run": facts["run"], "records": data_dir, "inverter": inverter}
    written: dict[str, bytes] = {}
    if evaluator.model.ways():
        judge, metrics["classifier"] = evaluator.judge(seed)
        ways = [evaluator.way(source, target, judge) for source, target in evaluator.model.ways()]
        metrics["ways"] = {
            f"{w.source} to {w.target}": {"rows": w.table, "verdict": w.verdict, "note": w.note} for w in ways
        }
        sections = [_section(way, evaluator.test[way.target], evaluator.spec) for way in ways]
        if evaluator.spec.kind == "audio":
            written["example.png"] = _example(ways[0], evaluator.test[ways[0].target], evaluator.spec)
    else:
        sections = evaluator.coding(metrics)
    sections += evaluator.remade(metrics)
    for section in sections:
        print(_printed(section))
    page = html_report.page(
        title=f"{facts['run']['plugin']}: {' and '.join(evaluator.spec.domains)}",
        summary=_summary(metrics),
        sections=sections,
        metrics=metrics_log.read_metrics(run_dir),
        configuration=facts["run"],
    )
    written |= {"metrics.json": json.dumps(metrics, indent=2).encode(), "report.html": page.encode()}
    for name, content in written.items():
        files.write(posixpath.join(output_dir, name), content)
    print(f"report: {posixpath.join(output_dir, 'report.html')}")
    return metrics


def _summary(metrics: dict) -> str:
    parts = []
    for kind, found in metrics.get("classifier", {}).items():
        shares = ", ".join(f"{domain} {100 * share:.0f} %" for domain, share in found.items())
        parts.append(f"{kind.replace('_', ' ')} {shares}")
    judged = f"Domain classifier on held-out files: {'; '.join(parts)}." if parts else "Held-out files."
    through = metrics["inverter"]
    return judged if through == "griffin_lim" else f"{judged} Speech is heard through {through}."


def _printed(section: html_report.Section) -> str:
    rows = [section.heads, *section.table]
    widths = [max(len(row[n]) for row in rows) for n in range(len(section.heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    remarks = [f"=> {section.verdict}"] * bool(section.verdict) + [f"   {section.text}"] * bool(section.text)
    return "\n".join([section.title, *lines, *remarks, ""])


def _section(way: Way, targets: list[Example], spec: Spec) -> html_report.Section:
    heads, rows = html_report.format_table(way.table)
    parallel, converted = {x.stem: x for x in targets}, {x.id: x for x in way.examples["model"]}
    others, samples = chosen(targets, SHOWN), []
    for n, source in enumerate(chosen(way.examples["no_op"], SHOWN)):
        target, other = parallel.get(source.stem), others[n % len(others)]
        shown = [(f"source: {source.id}", source), (f"converted to {way.target}", converted[source.id])]
        shown.append((f"target: {target.id}", target) if target else (f"not parallel: {other.id}", other))
        samples.append({"parts": [_part(caption, x, spec) for caption, x in shown], "pixel": spec.kind == "image"})
    return html_report.Section(f"{way.source} to {way.target}", way.verdict, heads, rows, samples, text=way.note)


def _example(way: Way, targets: list[Example], spec: Spec) -> bytes:
    """A PNG of a source, what it became, and its parallel target if there is one."""
    (source,) = chosen(way.examples["no_op"], 1)
    model = next(x for x in way.examples["model"] if x.id == source.id)
    panels = {f"source ({way.source})": source.features, f"converted to {way.target}": model.features}
    panels |= {f"target ({way.target})": x.features for x in targets if x.stem == source.stem}
    return plots.plot_log_mels(panels, spec.features)


def _part(caption: str, example: Example, spec: Spec) -> html_report.Part:
    if spec.kind == "image":
        return html_report.picture_part(caption, example.features)
    waveform = example.waveform if example.waveform is not None else recorded(example, spec)
    if waveform is None:  # then what its features sound like
        magnitude = spectral.mel_to_magnitude(example.features[None], spec.features)
        waveform = spectral.griffin_lim(magnitude, spec.features)[0].numpy()
    return html_report.sound_part(caption, waveform, example.features, spec.features)
