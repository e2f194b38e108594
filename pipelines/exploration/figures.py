"""Pictures for the pages: strips, error maps, curves, bars, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np

from pipelines.exploration.latent_model import Lab
from pipelines.reporting import html_report

GAP = 2  # pixels between the pictures of a strip
HEIGHT = 72  # pixels that a small picture is enlarged to at least


def shown(lab: Lab, examples: Sequence[np.ndarray], captions: Sequence[str], columns: int | None = None) -> list[dict]:
    """Rows of a section: pictures, or players with spectrograms.

    Args:
      lab: whose front end they are of.
      examples: features of one length.
      captions: one each.
      columns: in a row; as many as there are examples if not given.
    """
    if lab.spec.kind == "image":
        parts = [html_report.picture_part(c, _enlarged(x[None])[0]) for c, x in zip(captions, examples, strict=True)]
    else:
        sounds = lab.sounds(np.stack(examples))
        made = zip(captions, sounds, examples, strict=True)
        parts = [html_report.sound_part(c, y, x, lab.spec.features) for c, y, x in made]
    columns = columns or len(parts)
    return [{"parts": parts[n : n + columns], "columns": columns} for n in range(0, len(parts), columns)]


def strip(lab: Lab, caption: str, examples: np.ndarray) -> dict:
    """A row of a section: pictures side by side as one, or players."""
    if lab.spec.kind == "audio":
        few = examples[np.linspace(0, len(examples) - 1, min(5, len(examples))).round().astype(int)]
        numbered = [f"{caption}: {n + 1} of {len(few)}" for n in range(len(few))]
        return shown(lab, list(few), numbered)[0]
    return {"parts": [html_report.picture_part(caption, side_by_side(examples))], "columns": 1}


def side_by_side(pictures: np.ndarray) -> np.ndarray:
    """`[n, height, width, channels]` as one picture, enlarged where they are small, white between them."""
    padded = np.pad(_enlarged(pictures), ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=1.0)
    return np.concatenate(list(padded), axis=1)


def _enlarged(pictures: np.ndarray) -> np.ndarray:
    times = max(1, -(-HEIGHT // pictures.shape[1]))
    return np.repeat(np.repeat(pictures, times, axis=1), times, axis=2)


def _figure(width: float, height: float, **options):
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=90, layout="constrained")
    return figure, figure.subplots(**options)


def error_map(caption: str, x: np.ndarray, y: np.ndarray) -> html_report.Part:
    """Where two examples differ: of pictures the mean over channels, of log-mels in nepers."""
    difference = np.abs(np.asarray(x, np.float64) - y)
    figure, axes = _figure(3.4, 2.6)
    map_ = difference.mean(axis=-1) if difference.ndim == 3 else difference.T
    drawn = axes.imshow(map_, cmap="magma", aspect="auto" if difference.ndim == 2 else "equal", vmin=0)
    if difference.ndim == 2:
        axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(drawn, ax=axes)
    return html_report.figure_part(caption, figure)


def curves(
    caption: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float] | None]],
    *,
    x: str,
    y: str,
    log: bool = False,
) -> html_report.Part:
    """Lines by name: places, values, and deviations where there are any; `log` where every place is above 0."""
    figure, axes = _figure(7, 3.6)
    for name, (places, values, errors) in lines.items():
        axes.errorbar(places, values, yerr=errors, label=name, marker="o", markersize=3, capsize=3)
    known = sorted({place for places, _, _ in lines.values() for place in places})
    if log and min(known) > 0:
        axes.set_xscale("log", base=2)
        axes.set_xticks(known, [f"{place:g}" for place in known])
    if all(min(values) >= 0 for _, values, _ in lines.values()):
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend()
    axes.grid(alpha=0.3)
    return html_report.figure_part(caption, figure)


def bars(caption: str, values: Sequence[float], names: Sequence[str], *, y: str) -> html_report.Part:
    """One bar each."""
    figure, axes = _figure(max(9.0, 0.3 * len(values)), 3)
    axes.bar(range(len(values)), values)
    axes.set_xticks(range(len(values)), names, rotation=90, fontsize=7)
    axes.set_ylabel(y)
    return html_report.figure_part(caption, figure)


def heat_map(caption: str, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> html_report.Part:
    """A matrix with its numbers."""
    figure, axes = _figure(1.5 + 0.9 * len(columns), 1.2 + 0.28 * len(rows))
    top = max(float(np.abs(values).max(initial=0.0)), 1e-9)
    signed = bool(np.min(values, initial=0.0) < 0)
    drawn = axes.imshow(
        values, cmap="RdBu_r" if signed else "magma", vmin=-top if signed else 0, vmax=top, aspect="auto"
    )
    axes.set_xticks(range(len(columns)), columns, rotation=30, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    for row, column in np.ndindex(values.shape):
        strong = abs(values[row, column]) > 0.6 * top
        color = "white" if strong == signed else "black"
        axes.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(drawn, ax=axes)
    return html_report.figure_part(caption, figure)


def histograms(caption: str, values: Mapping[str, np.ndarray], *, x: str, at: float | None = None) -> html_report.Part:
    """How values of several kinds are spread, and where a threshold lies."""
    figure, axes = _figure(7, 3)
    everything = np.concatenate(list(values.values()))
    edges = np.linspace(everything.min(), np.quantile(everything, 0.99) + 1e-9, 50)
    for name, found in values.items():
        axes.hist(np.minimum(found, edges[-1]), edges, alpha=0.5, density=True, label=name)
    if at is not None:
        axes.axvline(at, color="black", linestyle="--", label="threshold")
    axes.set_xlabel(x)
    axes.set_ylabel("density")
    axes.legend(fontsize=8, loc="upper right")
    return html_report.figure_part(caption, figure)
