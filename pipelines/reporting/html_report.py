"""HTML reports: one self-contained file of tables, audio players, spectrograms, images, curves and configuration."""

from __future__ import annotations

import base64
import dataclasses
import importlib.resources
import io
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import jinja2
import matplotlib.figure
import numpy as np
import soundfile

from models.features import image
from models.features.audio import AudioSpec
from pipelines.reporting import glossary, plots


class Verdict(Protocol):
    """Verdict of a section: see :mod:`pipelines.evaluation.verdict`."""

    @property
    def is_positive(self) -> bool:
        """Whether it is displayed as a success."""

    def sentence(self) -> str:
        """Return the verdict as text."""


@dataclasses.dataclass
class Part:
    """An image, an audio clip or both under a caption.

    Attributes:
      caption: text below.
      png: base64 of a PNG file; may be empty.
      wav: base64 of a WAV file; may be empty.
    """

    caption: str
    png: str = ""
    wav: str = ""


@dataclasses.dataclass
class Section:
    """A section of a report.

    Attributes:
      title: heading.
      verdict: shown below the heading.
      headings: of the table's columns.
      table: rows of cells.
      samples: rows of parts: mappings with `parts`, and optionally `columns` (parts per line) and `pixel` (true for
        images that are enlarged without interpolation).
      text: a paragraph below the verdict.
    """

    title: str
    verdict: Verdict | None = None
    headings: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    samples: Sequence[Mapping] = ()
    text: str = ""


def format_table(
    rows: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Mapping[str, Sequence[float]]] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and cells of a table of named rows; columns without a value in any row are left out.

    Args:
      rows: row to values by name.
      intervals: row to confidence intervals by name; cells with one get half of its width.

    >>> format_table({"model": {"n": 2, "target_rate": 0.5}}, {"model": {"target_rate": (0.4, 0.6)}})
    (['row', 'examples', 'classified as target'], [['model', '2', '50 ± 10 %']])
    """
    columns = [
        name
        for name in {**glossary.HEADINGS, **{c: c for r in rows.values() for c in r}}
        if any(name in r for r in rows.values())
    ]
    headings = ["row", *(glossary.HEADINGS.get(name, name.replace("_", " ")) for name in columns)]
    return headings, [
        [
            name,
            *(_format_cell(column, row.get(column), (intervals or {}).get(name, {}).get(column)) for column in columns),
        ]
        for name, row in rows.items()
    ]


def _format_cell(column: str, value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    half_width = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    if column in ("target_rate", "neither_rate"):
        return f"{100 * value:.0f}{f' ± {100 * half_width:.0f}' if half_width else ''} %"
    return f"{value:.3g}{f' ± {half_width:.1g}' if half_width else ''}"


def audio_part(caption: str, waveform: np.ndarray, log_mels: np.ndarray, spec: AudioSpec) -> Part:
    """Return an audio player of samples `[samples]` below the spectrogram of log-mels `[frames, mels]`."""
    out = io.BytesIO()
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    soundfile.write(out, waveform / peak, spec.sample_rate_hz, format="WAV", subtype="PCM_16")
    return Part(caption, _base64(plots.plot_log_mels({"": log_mels}, spec)), _base64(out.getvalue()))


def image_part(caption: str, pixels: np.ndarray) -> Part:
    """Return an image `[height, width, channels]` in [-1, 1] as a part."""
    out = io.BytesIO()
    image.write(out, image.to_pixels(pixels))
    return Part(caption, _base64(out.getvalue()))


def figure_part(caption: str, figure: matplotlib.figure.Figure) -> Part:
    """Return a Matplotlib figure as a part."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return Part(caption, _base64(out.getvalue()))


def plot_metrics(metrics: Sequence[Mapping]) -> str:
    """Return a PNG, as base64, of training and validation metrics over the steps; empty without metrics."""
    names = [n for n in (metrics[0] if metrics else {}) if n not in ("split", "step", "steps_per_s", "waiting")]
    if not names:
        return ""
    columns = min(4, len(names))
    height = 2.3 * -(-len(names) // columns)
    figure = matplotlib.figure.Figure(figsize=(3.2 * columns, height), dpi=90, layout="constrained")
    for position, name in enumerate(names, start=1):
        axes = figure.add_subplot(-(-len(names) // columns), columns, position)
        for split in ("train", "val"):
            rows = [row for row in metrics if row["split"] == split and row.get(name) is not None]
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], label=split)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7, loc="upper right")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return _base64(out.getvalue())


def render_page(
    *,
    title: str,
    summary: str,
    sections: Sequence[Section],
    metrics: Sequence[Mapping],
    configuration,
    definitions: Sequence[tuple[str, str]] = glossary.DEFINITIONS,
) -> str:
    """Render a report as HTML.

    Args:
      title: of the page.
      summary: first paragraph.
      sections: in order.
      metrics: rows of the training log, which are plotted; may be empty.
      configuration: shown as JSON at the end.
      definitions: pairs of a term used in the report and its definition.
    """
    template = importlib.resources.files("pipelines.reporting").joinpath("report.html").read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        title=title,
        summary=summary,
        sections=sections,
        columns=max((len(sample["parts"]) for s in sections for sample in s.samples), default=1),
        curves=plot_metrics(metrics),
        definitions=definitions,
        configuration=json.dumps(configuration, indent=2, ensure_ascii=False),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
