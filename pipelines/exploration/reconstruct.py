"""Reconstruction: errors of every file, and the best and worst files beside their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.metrics import image as image_metrics
from models.metrics import speech
from pipelines.exploration import figures
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import File, LatentModel
from pipelines.reporting import html_report

DEFINITIONS = (
    (
        "squared error",
        "mean squared difference over a file: of log-mels in standard deviations of each mel band, of pixels in "
        "[-1, 1]",
    ),
    ("of the mean", "closed-form baseline: the same error for the mean of the training data as output"),
    ("SSIM", "structural similarity, 1 for equal images"),
    ("LSD", "log-spectral distance in dB: rms over mel bands, mean over frames"),
    ("compression", "ratio of the number of values in an image or window to that in its code"),
)


def run(job_config: JobConfig) -> JobResult:
    """Reconstruct the files of a split and score each."""
    model = LatentModel(job_config)
    files = model.files(job_config.split)
    reconstructions = [model.reconstruct(file) for file in files]
    rows = [score_file(model, file, y) for file, y in zip(files, reconstructions, strict=True)]
    rows_by_domain = {name: [row for row in rows if row["domain"] == name] for name in model.data.spec.domains}
    table = {name: mean_scores(group) for name, group in {**rows_by_domain, "all": rows}.items() if group}
    order = np.argsort([row["squared_error"] for row in rows])
    count = min(job_config.count, len(files))
    sections = [html_report.Section("Errors", **_format_table(table))]
    for title, indices in (("Best", order[:count]), ("Worst", order[::-1][:count])):
        parts = [part for n in indices for part in _file_parts(model, files[n], reconstructions[n], rows[n])]
        columns = 6 if model.spec.kind == "image" else 3
        samples = [{"parts": parts[n : n + columns], "columns": columns} for n in range(0, len(parts), columns)]
        sections.append(html_report.Section(title, samples=samples))
    latent = int(model.plugin_config.get("latent", 0))
    numbers = {"files": len(files), "errors": table, "compression": compression(model, latent)}
    overall = table["all"]
    summary = (
        f"{len(files)} files reconstructed with a squared error of {overall['squared_error']:.4g}; "
        f"baseline (mean of the data): {overall['of_the_mean']:.4g}."
    )
    return JobResult(summary, numbers, rows, sections, DEFINITIONS, configuration=model.run_config)


def _format_table(table: dict) -> dict:
    headings, cells = html_report.format_table(table)
    return {"headings": headings, "table": cells}


def score_file(model: LatentModel, file: File, y: np.ndarray) -> dict:
    """Return the CSV row of a file and its reconstruction `y`."""
    x = file.features
    row = {"id": file.id, "domain": file.source.domain, "label": file.label}
    row["squared_error"] = float(np.mean(np.square(model.scale(x - y))))
    row["of_the_mean"] = float(np.mean(np.square(model.scale(x - model.spec.overall.mean))))
    if model.spec.kind == "image":
        return row | {"ssim": float(image_metrics.ssim(x[None], y[None])[0])}
    return row | {"lsd_db": speech.log_spectral_distance(x, y)}


def mean_scores(rows: Sequence[dict]) -> dict[str, float]:
    """Return the number of rows, and the means of their numeric columns."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {"n": len(rows), **{name: float(np.mean([row[name] for row in rows])) for name in names}}


def compression(model: LatentModel, latent: int) -> float | None:
    """Return the size of a unit relative to that of its code; None if the code has no fixed size (`latent` is 0)."""
    size = np.prod([n or model.window_frames for n in model.spec.feature_shape()])
    return float(size / latent) if latent else None


def _file_parts(model: LatentModel, file: File, y: np.ndarray, row: dict) -> list[html_report.Part]:
    """A file, its reconstruction, and their difference."""
    error = f"squared error {row['squared_error']:.4g}"
    (sample,) = figures.example_rows(model, [file.features, y], [file.id, f"reconstruction, {error}"])
    return [*sample["parts"], figures.plot_error_map("difference", file.features, y)]
