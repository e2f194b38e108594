"""Sensitivity of the decoder to each latent dimension, and where in an example it acts."""

from __future__ import annotations

import numpy as np

from pipelines.exploration import figures, traverse
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import LatentModel
from pipelines.reporting import html_report

STEP_DEVIATIONS = 0.1  # standard deviations of the code on either side
MIN_DEVIATION = 0.01  # lower bound of the standard deviation in a step: smaller steps are lost in rounding
NUM_BASES = 32  # codes that are perturbed
DEFINITIONS = (
    (
        "per unit",
        "root mean square change of the decoded example (of log-mels in standard deviations of each mel band) per "
        "unit of the dimension: central difference at the codes of examples, mean over these",
    ),
    ("per deviation", "the same change per standard deviation of the codes"),
)


def run(job_config: JobConfig) -> JobResult:
    """Perturb each latent dimension and measure the change of the decoded examples."""
    model = LatentModel(job_config)
    files = model.files(job_config.split)
    _, ranks, rank_name = traverse.rank_dimensions(model, files)
    codes = traverse.encode_units(model, files)
    bases, deviation = model.subsample(codes, NUM_BASES), codes.std(axis=0)
    change, maps = sensitivity(model, bases, deviation)
    rows = [
        {
            "dimension": int(n),
            rank_name: float(ranks[n]),
            "per_unit": float(change[n]),
            "per_deviation": float(change[n] * deviation[n]),
        }
        for n in np.argsort(-change * deviation)
    ]
    values, names = [row["per_deviation"] for row in rows], [str(row["dimension"]) for row in rows]
    bars = figures.plot_bars("by dimension", values, names, y="change per deviation")
    top = rows[: job_config.count]
    error_maps = [
        figures.plot_error_map(f"dimension {n}", maps[n], np.zeros_like(maps[n]))
        for n in (row["dimension"] for row in top)
    ]
    groups = [{"parts": error_maps[n : n + 4], "columns": 4} for n in range(0, len(error_maps), 4)]
    text = "Root mean square change per standard deviation of the code."
    sections = [
        html_report.Section("Sensitivity to each dimension", samples=[{"parts": [bars], "columns": 1}]),
        html_report.Section("Location of the changes", samples=groups, text=text),
    ]
    listed = ", ".join(f"{row['dimension']} ({row['per_deviation']:.3g})" for row in top)
    summary = f"Change of the decoded examples per standard deviation of each dimension: {listed}."
    return JobResult(summary, {"dimensions": rows}, rows, sections, DEFINITIONS, configuration=model.run_config)


def sensitivity(model: LatentModel, bases: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Measure the change of decoded examples by central differences.

    Args:
      model: decodes.
      bases: codes at which the change is measured, `[n, latent]`.
      deviation: standard deviation of the codes, `[latent]`.

    Returns:
      Root mean square change per unit of each dimension, `[latent]`, and for each dimension a map of the change per
      standard deviation, in the shape of an example.
    """
    change, maps = [], []
    for dimension, size in enumerate(deviation):
        step = np.zeros(bases.shape[1])
        step[dimension] = STEP_DEVIATIONS * max(float(size), MIN_DEVIATION)
        gradient = model.scale(model.decode(bases + step) - model.decode(bases - step)) / (2 * step[dimension])
        flat = gradient.reshape(len(gradient), -1).astype(np.float64)
        change.append(np.sqrt(np.mean(np.square(flat), axis=1)).mean())
        maps.append(np.sqrt(np.mean(np.square(gradient), axis=0)) * size)
    return np.array(change), maps
