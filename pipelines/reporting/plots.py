"""Plots as PNG images: log-mel spectrograms."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import matplotlib.figure
import numpy as np

from models.features.audio_spec import AudioSpec, band_edges_hz


def plot_log_mels(panels: Mapping[str, np.ndarray], spec: AudioSpec) -> bytes:
    """Return a PNG of spectrograms side by side, over time in seconds and frequency in kHz.

    Args:
      panels: title to log-mels `[frames, mels]`, natural logarithms of magnitudes; shown in dB.
      spec: the front end.
    """
    width, height = 3.4 * len(panels) + 0.9, 2.4
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=100)
    inside = {"left": 0.66 / width, "right": 1 - 0.9 / width, "bottom": 0.45 / height, "top": 1 - 0.28 / height}
    axes_row = figure.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw={**inside, "wspace": 0.06})[0]
    ticks = np.linspace(0, spec.n_mels, 5)
    for axes, (title, log_mels) in zip(axes_row, panels.items(), strict=True):
        image = axes.imshow(
            np.asarray(log_mels).T * (20 / math.log(10)),
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0, len(log_mels) / spec.frame_rate_hz, 0, spec.n_mels),
            vmin=20 * math.log10(spec.floor),
            vmax=10,
        )
        axes.set_xlabel("s")
        axes.set_title(title, fontsize=9)
    axes_row[0].set_yticks(ticks, [f"{hz / 1000:.1f}" for hz in _band_hz(spec, ticks)])
    axes_row[0].set_ylabel("kHz")
    colorbar_axes = figure.add_axes((1 - 0.8 / width, inside["bottom"], 0.12 / width, inside["top"] - inside["bottom"]))
    figure.colorbar(image, cax=colorbar_axes, label="dB")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _band_hz(spec: AudioSpec, bands: np.ndarray) -> np.ndarray:
    """Frequencies in Hz of fractional mel-band indices."""
    edges = band_edges_hz(spec)
    return np.interp(bands, np.arange(spec.n_mels + 2), edges)
