"""Plots as PNG images: log-mel spectrograms."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import librosa
import matplotlib.figure
import numpy as np

from models.features.audio import AudioSpec


def plot_log_mels(panels: Mapping[str, np.ndarray], spec: AudioSpec) -> bytes:
    """A PNG of log-mels `[frames, mels]` by title, side by side, against seconds and kHz, in dB."""
    width, height = 3.4 * len(panels) + 0.9, 2.4
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=100)
    inside = {"left": 0.66 / width, "right": 1 - 0.9 / width, "bottom": 0.45 / height, "top": 1 - 0.28 / height}
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw={**inside, "wspace": 0.06})[0]
    ticks = np.linspace(0, spec.n_mels, 5)
    for axes, (title, log_mels) in zip(every, panels.items(), strict=True):
        shown = axes.imshow(
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
    every[0].set_yticks(ticks, [f"{hz / 1000:.1f}" for hz in _band_hz(spec, ticks)])
    every[0].set_ylabel("kHz")
    beside = figure.add_axes((1 - 0.8 / width, inside["bottom"], 0.12 / width, inside["top"] - inside["bottom"]))
    figure.colorbar(shown, cax=beside, label="dB")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _band_hz(spec: AudioSpec, bands: np.ndarray) -> np.ndarray:
    edges = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin_hz, fmax=spec.fmax_hz)
    return np.interp(bands, np.arange(spec.n_mels + 2), edges)
