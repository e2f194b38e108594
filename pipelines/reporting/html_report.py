"""One HTML file that holds everything: players, spectrograms, pictures, tables, curves, configuration."""

from __future__ import annotations

import base64
import dataclasses
import importlib.resources
import io
import json
from collections.abc import Mapping, Sequence

import jinja2
import matplotlib.figure
import numpy as np
import soundfile

from models.features import image
from models.features.audio import AudioSpec
from pipelines.reporting import glossary, plots


@dataclasses.dataclass
class Part:
    """A picture or a sound under a caption, as base64."""

    caption: str
    png: str = ""
    wav: str = ""


@dataclasses.dataclass
class Section:
    """A heading with a verdict, a text, a table and samples; each sample is a row of parts, in so many `columns`."""

    title: str
    verdict: str = ""
    heads: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    samples: Sequence[Mapping] = ()
    text: str = ""

    @property
    def good(self) -> bool:
        """Whether the verdict is a good one."""
        return self.verdict.startswith(("converts", "generates"))


def format_table(rows: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of a table of named rows; columns that no row has are left out.

    >>> tabled({"model": {"n": 2, "heard_as_target": 0.5}})
    (['row', 'examples', 'heard as target'], [['model', '2', '50 %']])
    """
    columns = [
        name
        for name in {**glossary.HEADS, **{c: c for r in rows.values() for c in r}}
        if any(name in r for r in rows.values())
    ]
    heads = ["row", *(glossary.HEADS.get(name, name.replace("_", " ")) for name in columns)]
    return heads, [[name, *(_cell(column, row.get(column)) for column in columns)] for name, row in rows.items()]


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column.startswith("heard_as_"):
        return f"{100 * value:.0f} %"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def sound_part(caption: str, waveform: np.ndarray, log_mels: np.ndarray, spec: AudioSpec) -> Part:
    """A player with a spectrogram above it."""
    out = io.BytesIO()
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    soundfile.write(out, waveform / peak, spec.sample_rate_hz, format="WAV", subtype="PCM_16")
    return Part(caption, _base64(plots.plot_log_mels({"": log_mels}, spec)), _base64(out.getvalue()))


def picture_part(caption: str, picture: np.ndarray) -> Part:
    """A picture in [-1, 1]."""
    out = io.BytesIO()
    image.write(out, image.to_pixels(picture))
    return Part(caption, _base64(out.getvalue()))


def figure_part(caption: str, figure: matplotlib.figure.Figure) -> Part:
    """A drawing."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return Part(caption, _base64(out.getvalue()))


def curves(metrics: Sequence[Mapping]) -> str:
    """A PNG, as base64, of all metrics over the steps, training and validation; nothing of no lines."""
    names = [n for n in (metrics[0] if metrics else {}) if n not in ("split", "step", "steps_per_s", "waiting")]
    if not names:
        return ""
    columns = min(4, len(names))
    height = 2.3 * -(-len(names) // columns)
    figure = matplotlib.figure.Figure(figsize=(3.2 * columns, height), dpi=90, layout="constrained")
    for number, name in enumerate(names):
        axes = figure.add_subplot(-(-len(names) // columns), columns, number + 1)
        for split in ("train", "val"):
            rows = [row for row in metrics if row["split"] == split and row.get(name) is not None]
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], label=split)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7, loc="upper right")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return _base64(out.getvalue())


def page(
    *,
    title: str,
    summary: str,
    sections: Sequence[Section],
    metrics: Sequence[Mapping],
    configuration,
    meanings: Sequence[tuple[str, str]] = glossary.MEANINGS,
) -> str:
    """The HTML of a report; `meanings` explain the words in it."""
    template = importlib.resources.files("pipelines.reporting").joinpath("report.html").read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        title=title,
        summary=summary,
        sections=sections,
        columns=max((len(sample["parts"]) for s in sections for sample in s.samples), default=1),
        curves=curves(metrics),
        meanings=meanings,
        configuration=json.dumps(configuration, indent=2, ensure_ascii=False),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
