"""Originals beside what became of them: error maps, scores of every file, the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.metrics import image as image_metrics
from models.metrics import speech
from pipelines.exploration import figures
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import File, Lab
from pipelines.reporting import html_report

MEANINGS = (
    (
        "squared error",
        "mean over a file of the squared difference, of speech in deviations of each mel band, of pixels in [-1, 1]",
    ),
    ("of the mean", "the same error of an output that is the mean of the training data everywhere: what costs nothing"),
    ("SSIM", "structural similarity, 1 for equal pictures"),
    ("LSD", "log-spectral distance in dB: rms over mel bands, mean over frames"),
    ("compression", "numbers in a picture or window for one number of its code"),
)


def find(asked: Asked) -> Findings:
    """Reconstructs the files of a split."""
    lab = Lab(asked)
    files = lab.files(asked.split)
    made = [lab.reconstructed(file) for file in files]
    rows = [scored(lab, file, y) for file, y in zip(files, made, strict=True)]
    domains = {name: [row for row in rows if row["domain"] == name] for name in lab.data.spec.domains}
    table = {name: means(found) for name, found in {**domains, "all": rows}.items() if found}
    order = np.argsort([row["squared_error"] for row in rows])
    count = min(asked.count, len(files))
    sections = [html_report.Section("Errors", **_tabled(table))]
    for title, chosen in (("Best", order[:count]), ("Worst", order[::-1][:count])):
        parts = [part for n in chosen for part in _parts(lab, files[n], made[n], rows[n])]
        columns = 6 if lab.spec.kind == "image" else 3
        samples = [{"parts": parts[n : n + columns], "columns": columns} for n in range(0, len(parts), columns)]
        sections.append(html_report.Section(title, samples=samples))
    code = int(lab.run["config"]["latent"]) if "latent" in lab.run["config"] else 0
    numbers = {"files": len(files), "errors": table, "compression": compression(lab, code)}
    everything = table["all"]
    summary = (
        f"{len(files)} files reconstructed at a squared error of {everything['squared_error']:.4g}, "
        f"the mean of the data at {everything['of_the_mean']:.4g}."
    )
    return Findings(summary, numbers, rows, sections, MEANINGS, configuration=lab.run)


def _tabled(table: dict) -> dict:
    heads, cells = html_report.format_table(table)
    return {"heads": heads, "table": cells}


def scored(lab: Lab, file: File, y: np.ndarray) -> dict:
    """A line of the CSV."""
    x = file.whole
    found = {"id": file.id, "domain": file.source.domain, "label": file.label}
    found["squared_error"] = float(np.mean(np.square(lab.plain(x - y))))
    found["of_the_mean"] = float(np.mean(np.square(lab.plain(x - lab.spec.overall.mean))))
    if lab.spec.kind == "image":
        return found | {"ssim": float(image_metrics.ssim(x[None], y[None])[0])}
    return found | {"lsd_db": speech.log_spectral_distance(x, y)}


def means(rows: Sequence[dict]) -> dict[str, float]:
    """Number of files, and means of the numbers in their lines."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {"n": len(rows), **{name: float(np.mean([row[name] for row in rows])) for name in names}}


def compression(lab: Lab, latent: int) -> float | None:
    """Numbers in a unit for one number of its code; None where the code's size is not known."""
    size = np.prod([n or lab.frames for n in lab.spec.feature_shape()])
    return float(size / latent) if latent else None


def _parts(lab: Lab, file: File, y: np.ndarray, row: dict) -> list[html_report.Part]:
    """A file, its reconstruction, and where they differ."""
    error = f"squared error {row['squared_error']:.4g}"
    (sample,) = figures.shown(lab, [file.whole, y], [file.id, f"reconstruction, {error}"])
    return [*sample["parts"], figures.error_map("difference", file.whole, y)]
