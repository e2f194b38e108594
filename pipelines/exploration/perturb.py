"""How much what is decoded moves when a dimension does, and where."""

from __future__ import annotations

import numpy as np

from pipelines.exploration import figures, traverse
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import Lab
from pipelines.reporting import html_report

STEP = 0.1  # deviations of the code to either side
LEAST = 0.01  # deviation that a step is measured by: shorter steps drown in rounding
BASES = 32  # examples that are perturbed
MEANINGS = (
    (
        "per unit",
        "root mean square change of what is decoded (of speech in deviations of each mel band) for a change of the "
        "dimension by one: the central difference at the codes of examples, mean over them",
    ),
    ("per deviation", "the same for a change by one deviation of the codes"),
)


def find(asked: Asked) -> Findings:
    """Perturbs every dimension of some codes."""
    lab = Lab(asked)
    files = lab.files(asked.split)
    order, ranks, by = traverse.ordered(lab, files)
    codes = traverse.coded(lab, files)
    bases, deviation = lab.some(codes, BASES), codes.std(axis=0)
    moved, maps = sensitivity(lab, bases, deviation)
    rows = [
        {
            "dimension": int(n),
            by: float(ranks[n]),
            "per_unit": float(moved[n]),
            "per_deviation": float(moved[n] * deviation[n]),
        }
        for n in np.argsort(-moved * deviation)
    ]
    chosen = [row["dimension"] for row in rows[: asked.count]]
    names = [str(row["dimension"]) for row in rows]
    drawn = figures.bars("by dimension", [row["per_deviation"] for row in rows], names, y="change per deviation")
    where = [figures.error_map(f"dimension {n}", maps[n], np.zeros_like(maps[n])) for n in chosen]
    fours = [{"parts": where[n : n + 4], "columns": 4} for n in range(0, len(where), 4)]
    sections = [
        html_report.Section("How much each dimension moves", samples=[{"parts": [drawn], "columns": 1}]),
        html_report.Section("Where", samples=fours, text="Root mean square change for one deviation of the code."),
    ]
    top = ", ".join(f"{row['dimension']} ({row['per_deviation']:.3g})" for row in rows[: asked.count])
    summary = f"Change of what is decoded for one deviation of each dimension: {top}."
    return Findings(summary, {"dimensions": rows}, rows, sections, MEANINGS, configuration=lab.run)


def sensitivity(lab: Lab, bases: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Of each dimension the change per unit, `[latent]`, and the map of changes per deviation."""
    moved, maps = [], []
    for dimension, size in enumerate(deviation):
        step = np.zeros(bases.shape[1])
        step[dimension] = STEP * max(float(size), LEAST)
        apart = lab.plain(lab.decoded(bases + step) - lab.decoded(bases - step)) / (2 * step[dimension])
        flat = apart.reshape(len(apart), -1).astype(np.float64)
        moved.append(np.sqrt(np.mean(np.square(flat), axis=1)).mean())
        maps.append(np.sqrt(np.mean(np.square(apart), axis=0)) * size)
    return np.array(moved), maps
