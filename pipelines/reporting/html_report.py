"""HTML reports: one self-contained file of tables, audio players, spectrograms, images, curves and configuration."""

from __future__ import annotations

import dataclasses
import enum
import html
import importlib.resources
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import jinja2
import markdown
import matplotlib.figure
import numpy as np

from models.features.audio import AudioSpec
from pipelines.reporting import glossary, learning_curves, media, plots
from pipelines.reporting.file_list import FileList

ROUNDING = 1e-12  # smaller values of a table are displayed as 0
STYLES = ("uplot/uPlot.min.css", "report.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "players.js", "file_list.js", "charts.js")


class Verdict(Protocol):
    """Verdict of a section: see :mod:`pipelines.evaluation.verdict`."""

    @property
    def value(self) -> enum.Enum:
        """The outcome; its value is displayed in the table of contents."""

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
      picture: data URI of an image; may be empty.
      sound: data URI of an audio file; may be empty.
    """

    caption: str
    picture: str = ""
    sound: str = ""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A confusion matrix, displayed as a shaded table.

    Attributes:
      rows: names of the true classes.
      columns: names of the predicted classes.
      counts: `[rows][columns]`.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    counts: Sequence[Sequence[int]]

    def share(self, row: int, column: int) -> float:
        """Share of a row's examples in a cell; 0 in an empty row.

        >>> Matrix(["a"], ["a", "b"], [[3, 1]]).share(0, 1)
        0.25
        """
        return self.counts[row][column] / max(1, sum(self.counts[row]))


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
      files: files with all their versions, to be sorted and filtered.
      matrix: a confusion matrix.
      document: HTML that is inserted as it is.
    """

    title: str
    verdict: Verdict | None = None
    headings: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    samples: Sequence[Mapping] = ()
    text: str = ""
    files: FileList | None = None
    matrix: Matrix | None = None
    document: str = ""


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
    headings = ["row", *map(glossary.heading, columns)]
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
    value = 0.0 if abs(value) < ROUNDING else value
    half_width = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    if column in ("target_rate", "neither_rate"):
        return f"{100 * value:.0f}{f' ± {100 * half_width:.0f}' if half_width else ''} %"
    return f"{value:.3g}{f' ± {half_width:.1g}' if half_width else ''}"


def audio_part(caption: str, waveform: np.ndarray, log_mels: np.ndarray, spec: AudioSpec) -> Part:
    """Return an audio player of samples `[samples]` below the spectrogram of log-mels `[frames, mels]`."""
    plot = media.data_uri("image/png", plots.plot_log_mels({"": log_mels}, spec))
    return Part(caption, plot, media.encode_audio(waveform, spec.sample_rate_hz))


def image_part(caption: str, pixels: np.ndarray) -> Part:
    """Return an image `[height, width, channels]` in [-1, 1] as a part."""
    return Part(caption, media.encode_image(pixels))


def figure_part(caption: str, figure: matplotlib.figure.Figure) -> Part:
    """Return a Matplotlib figure as a part."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return Part(caption, media.data_uri("image/png", out.getvalue()))


def render_markdown(text: str) -> str:
    r"""Return Markdown with YAML front matter as HTML for `Section.document`; HTML in it is escaped.

    The title and the front matter are left out, and second-level headings become third-level ones.

    >>> render_markdown("---\ntags: a\n---\n\n# Title\n\n## Use\n\n<b>")
    '<h3 id="use">Use</h3>\n<p>&lt;b&gt;</p>'
    """
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    body = re.sub(r"^# .*\n", "", body, count=1, flags=re.MULTILINE)
    options = {"toc": {"baselevel": 2}}
    return markdown.markdown(
        html.escape(body, quote=False), extensions=["tables", "fenced_code", "toc"], extension_configs=options
    )


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
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.PackageLoader("pipelines.reporting")
    )
    return environment.get_template("page.html").render(
        title=title,
        summary=summary,
        sections=sections,
        columns=max((len(sample["parts"]) for s in sections for sample in s.samples), default=1),
        curves=learning_curves.make_curves(metrics),
        definitions=definitions,
        configuration=json.dumps(configuration, indent=2, ensure_ascii=False),
        styles=[_read_static(name) for name in STYLES],
        scripts=[_read_static(name) for name in SCRIPTS],
    )


def _read_static(name: str) -> str:
    return importlib.resources.files("pipelines.reporting").joinpath("static", *name.split("/")).read_text()
