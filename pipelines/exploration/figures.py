"""Figures of exploration reports: rows and strips of examples, error maps, curves, bars, heat maps, histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np

from pipelines.exploration.latent_model import LatentModel
from pipelines.reporting import html_report

GAP_PIXELS = 2  # on either side of each image of a strip
MIN_HEIGHT = 72  # pixels; smaller images are enlarged


def example_rows(
    model: LatentModel, examples: Sequence[np.ndarray], captions: Sequence[str], columns: int | None = None
) -> list[dict]:
    """Return rows of a section: images, or audio players with spectrograms.

    Args:
      model: has the front end of the examples.
      examples: features of equal shape.
      captions: of each example.
      columns: number of examples per row; None for one row.
    """
    if model.spec.kind == "image":
        parts = [html_report.image_part(c, _enlarge(x[None])[0]) for c, x in zip(captions, examples, strict=True)]
    else:
        waveforms = model.invert(np.stack(examples))
        captioned = zip(captions, waveforms, examples, strict=True)
        parts = [html_report.audio_part(c, y, x, model.spec.features) for c, y, x in captioned]
    columns = columns or len(parts)
    return [{"parts": parts[n : n + columns], "columns": columns} for n in range(0, len(parts), columns)]


def example_strip(model: LatentModel, caption: str, examples: np.ndarray) -> dict:
    """Return a row of a section: images side by side in one image, or at most five audio players."""
    if model.spec.kind == "audio":
        selected = examples[np.linspace(0, len(examples) - 1, min(5, len(examples))).round().astype(int)]
        captions = [f"{caption}: {n + 1} of {len(selected)}" for n in range(len(selected))]
        return example_rows(model, list(selected), captions)[0]
    return {"parts": [html_report.image_part(caption, tile_images(examples))], "columns": 1}


def tile_images(images: np.ndarray) -> np.ndarray:
    """Join images `[n, height, width, channels]` into one, side by side, with white gaps; small ones are enlarged."""
    gap = (GAP_PIXELS, GAP_PIXELS)
    padded = np.pad(_enlarge(images), ((0, 0), gap, gap, (0, 0)), constant_values=1.0)
    return np.concatenate(list(padded), axis=1)


def _enlarge(images: np.ndarray) -> np.ndarray:
    """Repeat the pixels of small images to a height of `MIN_HEIGHT` or more."""
    factor = max(1, -(-MIN_HEIGHT // images.shape[1]))
    return np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)


def _figure(width: float, height: float, **options):
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=90, layout="constrained")
    return figure, figure.subplots(**options)


def plot_error_map(caption: str, x: np.ndarray, y: np.ndarray) -> html_report.Part:
    """Plot the absolute difference of two examples: for images the mean over channels, for log-mels in nepers."""
    difference = np.abs(np.asarray(x, np.float64) - y)
    figure, axes = _figure(3.4, 2.6)
    matrix = difference.mean(axis=-1) if difference.ndim == 3 else difference.T
    colors = axes.imshow(matrix, cmap="magma", aspect="auto" if difference.ndim == 2 else "equal", vmin=0)
    if difference.ndim == 2:
        axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(colors, ax=axes)
    return html_report.figure_part(caption, figure)


def plot_curves(
    caption: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float] | None]],
    *,
    x: str,
    y: str,
    log: bool = False,
) -> html_report.Part:
    """Plot lines.

    Args:
      caption: of the figure.
      lines: name to x values, y values, and standard deviations of these or None.
      x: label of the x-axis.
      y: label of the y-axis.
      log: use a logarithmic x-axis if all x values are positive.
    """
    figure, axes = _figure(7, 3.6)
    for name, (positions, values, errors) in lines.items():
        axes.errorbar(positions, values, yerr=errors, label=name, marker="o", markersize=3, capsize=3)
    ticks = sorted({position for positions, _, _ in lines.values() for position in positions})
    if log and min(ticks) > 0:
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    if all(min(values) >= 0 for _, values, _ in lines.values()):
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend()
    axes.grid(alpha=0.3)
    return html_report.figure_part(caption, figure)


def plot_bars(caption: str, values: Sequence[float], names: Sequence[str], *, y: str) -> html_report.Part:
    """Plot one bar per value."""
    figure, axes = _figure(max(9.0, 0.3 * len(values)), 3)
    axes.bar(range(len(values)), values)
    axes.set_xticks(range(len(values)), names, rotation=90, fontsize=7)
    axes.set_ylabel(y)
    return html_report.figure_part(caption, figure)


def plot_heat_map(caption: str, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> html_report.Part:
    """Plot a matrix as colours, with its values as text."""
    figure, axes = _figure(1.5 + 0.9 * len(columns), 1.2 + 0.28 * len(rows))
    limit = max(float(np.abs(values).max(initial=0.0)), 1e-9)
    signed = bool(np.min(values, initial=0.0) < 0)
    colors = axes.imshow(
        values, cmap="RdBu_r" if signed else "magma", vmin=-limit if signed else 0, vmax=limit, aspect="auto"
    )
    axes.set_xticks(range(len(columns)), columns, rotation=30, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    for row, column in np.ndindex(values.shape):
        is_extreme = abs(values[row, column]) > 0.6 * limit
        color = "white" if is_extreme == signed else "black"
        axes.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(colors, ax=axes)
    return html_report.figure_part(caption, figure)


def plot_histograms(
    caption: str, values: Mapping[str, np.ndarray], *, x: str, threshold: float | None = None
) -> html_report.Part:
    """Plot histograms of values by name, and a threshold as a vertical line unless it is None."""
    figure, axes = _figure(7, 3)
    pooled = np.concatenate(list(values.values()))
    edges = np.linspace(pooled.min(), np.quantile(pooled, 0.99) + 1e-9, 50)
    for name, group in values.items():
        axes.hist(np.minimum(group, edges[-1]), edges, alpha=0.5, density=True, label=name)
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label="threshold")
    axes.set_xlabel(x)
    axes.set_ylabel("density")
    axes.legend(fontsize=8, loc="upper right")
    return html_report.figure_part(caption, figure)
