"""Outlier detection: fits the detector of a run, stores it, and scores in- and out-of-distribution (OOD) files.

In tables, files of the analysed split are called "usual".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from models import outliers
from models.errors import UserError
from models.features import ood_examples
from models.metrics import detection
from pipelines.beam import filesystem
from pipelines.data import file_kinds, file_listing
from pipelines.exploration import figures
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import LatentModel, concatenate_units
from pipelines.inference import outlier_detector
from pipelines.reporting import html_report

MAX_OOD_FILES = 200  # of each kind; selected by a stable hash of their paths
MIN_HELD_OUT = 20  # validation files; fewer do not support a threshold
IN_DISTRIBUTION = "usual"  # kind of the files of the analysed split
DEFINITIONS = (
    ("usual", "files of the analysed split: in-distribution"),
    ("reconstruction", "squared error of the reconstruction, of log-mels in standard deviations of each mel band"),
    ("mahalanobis", "Mahalanobis distance of the code from the mean of the training codes"),
    ("knn", "mean distance of the code to the 10 nearest training codes, whitened by the same covariance"),
    ("negative_elbo", "-log p(x|z) + KL(q(z|x) || p(z)) in nats, z being the mean of q(z|x); of variational plugins"),
    ("sharpness", "difference in sharpness of the file and its reconstruction, in either direction"),
    ("content_change", "mean change of what the phoneme recogniser gives per frame, in either direction; audio"),
    ("phoneme_entropy", "mean entropy of the phonemes in nats, in either direction; audio"),
    (
        "combined",
        "Mahalanobis distance of all scores from their distribution on the validation split; two-sided: files that "
        "are reconstructed better than usual are outliers too",
    ),
    ("AUROC", "probability that an OOD file scores higher than a usual one"),
    ("AUPR", "area under the precision-recall curve of the OOD files"),
    ("FPR95", "share of OOD files below the threshold that accepts 95 % of the usual files"),
    ("flagged", "share above the stored threshold"),
)


def run(job_config: JobConfig) -> JobResult:
    """Fit the detector to training and validation files, store it in the run, and score usual and OOD files."""
    model = LatentModel(job_config)
    model.require_held_out_split("the detector is fitted to it, so its scores are too low")
    detector, num_calibrated = fit_detector(model)
    usual = model.files(job_config.split)
    scored = {IN_DISTRIBUTION: ScoredFiles(model, detector, [file.units for file in usual])}
    ids = {IN_DISTRIBUTION: [file.id for file in usual]}
    for kind, (kind_ids, units) in ood_examples_by_kind(model).items():
        scored[kind], ids[kind] = ScoredFiles(model, detector, units), kind_ids
    rows = [row for kind, group in scored.items() for row in group.rows(kind, ids[kind], detector.threshold)]
    detection_scores = {
        kind: score_detection(scored[IN_DISTRIBUTION], group)
        for kind, group in scored.items()
        if kind != IN_DISTRIBUTION
    }
    rate = job_config.false_positive_rate
    facts = {"false_positive_rate": rate, "records": job_config.data_dir, "held_out": num_calibrated}
    detector.save(job_config.run_dir, facts)
    flagged = {kind: float(np.mean(group.combined > detector.threshold)) for kind, group in scored.items()}
    best = {kind: max(table, key=lambda name: table[name]["auroc"][0]) for kind, table in detection_scores.items()}
    numbers = {**facts, "threshold": detector.threshold, "flagged": flagged, "detection": detection_scores}
    numbers["best"] = best
    sections = [_flagged_section(flagged, {kind: group.combined for kind, group in scored.items()}, detector.threshold)]
    sections += [_detection_section(kind, table) for kind, table in detection_scores.items()]
    sections += _extreme_sections(model, usual, scored[IN_DISTRIBUTION])
    auroc = "; ".join(f"{kind} {detection_scores[kind][name]['auroc'][0]:.3f} ({name})" for kind, name in best.items())
    summary = (
        f"Threshold {detector.threshold:.3g} for a false-positive rate of {rate:g}, stored in {job_config.run_dir}; "
        f"{100 * flagged[IN_DISTRIBUTION]:.1f} % of {len(usual)} usual files are above it. Best AUROC: {auroc}."
    )
    return JobResult(summary, numbers, rows, sections, DEFINITIONS, configuration=model.run_config)


def fit_detector(model: LatentModel) -> tuple[outlier_detector.Detector, int]:
    """Fit the detector: codes of the training split, calibration and threshold of the validation split.

    Returns:
      The detector, and the number of validation files.

    Raises:
      UserError: fewer than `MIN_HELD_OUT` validation files.
    """
    training, held_out = model.files("train"), model.files("val")
    codes = model.encoder.call("encode", concatenate_units(training))
    reference = outliers.Reference.of(codes, seed=model.job_config.seed)
    raw = file_scores(model, reference, [file.units for file in held_out])
    if len(held_out) < MIN_HELD_OUT:
        raise UserError(
            f"{model.data.data_dir}: {len(held_out)} files in the val split; wanted {MIN_HELD_OUT} or more to set a "
            "threshold, see --val_fraction of preprocess"
        )
    calibration = outliers.Calibration.of(raw)
    threshold = outliers.threshold(outliers.cross_validated_scores(raw), model.job_config.false_positive_rate)
    return outlier_detector.Detector(model.encoder, reference, calibration, threshold), len(held_out)


def file_scores(
    model: LatentModel, reference: outliers.Reference, units: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the raw scores of files by name, `[files]` each: means over the units of each file, `[units, ...]`."""
    scores = model.encoder.scores(np.concatenate(units), reference)
    boundaries = np.cumsum([len(x) for x in units])[:-1]
    return {name: np.array([part.mean() for part in np.split(values, boundaries)]) for name, values in scores.items()}


class ScoredFiles:
    """Scores of a group of files.

    Args:
      model: encodes.
      detector: of the run.
      units: of each file, `[units, ...]`.

    Attributes:
      raw: raw scores by name, `[files]`.
      single: calibrated scores by name, `[files]`, on one scale; high for outliers.
      combined: combined score, `[files]`.
    """

    def __init__(self, model: LatentModel, detector: outlier_detector.Detector, units: Sequence[np.ndarray]):
        self.raw = file_scores(model, detector.reference, units)
        self.single, self.combined = detector.calibration.single(self.raw), detector.calibration.combined(self.raw)

    def rows(self, kind: str, ids: Sequence[str], threshold: float) -> list[dict]:
        """Return the CSV rows of the files."""
        rows = []
        for n, file_id in enumerate(ids):
            raw = {name: float(values[n]) for name, values in self.raw.items()}
            combined = float(self.combined[n])
            rows.append({"id": file_id, "kind": kind, **raw, "combined": combined, "flagged": combined > threshold})
        return rows


def ood_examples_by_kind(model: LatentModel) -> dict[str, tuple[list[str], list[np.ndarray]]]:
    """Return ids and units of OOD files by kind: synthetic ones, and those of `--against`.

    Raises:
      UserError: files of `--against` that do not exist or cannot be read.
    """
    kinds = {}
    if model.spec.kind == "image":
        x = model.subsample(concatenate_units(model.files(model.job_config.split)), MAX_OOD_FILES)
        synthetic = ood_examples.ood_images(x, seed=model.job_config.seed)
    else:
        seconds = 4 * model.window_frames / model.spec.features.frame_rate_hz
        synthetic = ood_examples.ood_log_mels(
            MAX_OOD_FILES // 4, seconds, model.spec.features, seed=model.job_config.seed
        )
    for name, examples in synthetic.items():
        units = [model.encoder.extract_units(example)[0] for example in examples]
        kinds[name] = [f"{name} {n + 1}" for n in range(len(examples))], units
    for flag in model.job_config.against:
        name, _, pattern = flag.partition("=")
        if not name or not pattern or name in kinds or name == IN_DISTRIBUTION:
            raise UserError(f"--against={flag}; wanted NAME=GLOB, with a name that is not taken")
        kinds[name] = _read_ood_files(model, name, pattern)
    return kinds


def _read_ood_files(model: LatentModel, name: str, pattern: str) -> tuple[list[str], list[np.ndarray]]:
    """Paths and units of at most `MAX_OOD_FILES` files; warns of files that cannot be read."""
    listed = file_listing.list_files([pattern], file_kinds.known_suffixes(model.spec.kind))
    file_listing.require_files(f"--against={name}={pattern}: no file matches", listed)
    file_listing.print_ignored(pattern, listed)
    paths, units = [], []
    for path in sorted(file_listing.sample_paths(listed.root, listed.files, MAX_OOD_FILES, "against")):
        try:
            with filesystem.open_file(path) as file:
                units.append(model.encoder.read_units(file)[0])
        except (ValueError, OSError) as error:
            print(f"warning: --against={name}: {path}: {error}; left out", file=sys.stderr)
            continue
        paths.append(path)
    if not paths:
        raise UserError(f"--against={name}={pattern}: no file could be read")
    return paths, units


def score_detection(usual: ScoredFiles, ood: ScoredFiles) -> dict[str, dict]:
    """Return AUROC, AUPR and FPR95 of each score, each with its confidence interval."""
    pairs = {name: (usual.single[name], ood.single[name]) for name in usual.single}
    pairs["combined"] = usual.combined, ood.combined
    return {name: detection.detection_metrics(*pair) for name, pair in pairs.items()}


def _flagged_section(
    flagged: dict[str, float], combined: dict[str, np.ndarray], threshold: float
) -> html_report.Section:
    figure = figures.plot_histograms("combined score", combined, x="combined score", threshold=threshold)
    cells = [[kind, f"{100 * share:.1f} %"] for kind, share in flagged.items()]
    samples = [{"parts": [figure], "columns": 1}]
    return html_report.Section("Flagged", headings=["files", "flagged"], table=cells, samples=samples)


def _detection_section(kind: str, table: dict[str, dict]) -> html_report.Section:
    cells = [[name, *(_format_interval(*values) for values in measures.values())] for name, measures in table.items()]
    return html_report.Section(f"Usual against {kind}", headings=["score", "AUROC", "AUPR", "FPR95"], table=cells)


def _format_interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _extreme_sections(model: LatentModel, files: Sequence, scored: ScoredFiles) -> list[html_report.Section]:
    """The usual files with the highest and the lowest combined scores."""
    order, sections = np.argsort(scored.combined), []
    count = min(model.job_config.count, len(files))
    for title, indices in (("Highest outlier scores", order[::-1][:count]), ("Lowest outlier scores", order[:count])):
        parts = []
        for n in indices:
            (row,) = figures.example_rows(model, [files[n].features], [f"{files[n].id}, {scored.combined[n]:.2f}"])
            parts += row["parts"]
        rows = [{"parts": parts[n : n + 4], "columns": 4} for n in range(0, len(parts), 4)]
        sections.append(html_report.Section(f"{title} of the {model.job_config.split} split", samples=rows))
    return sections
