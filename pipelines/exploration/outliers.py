"""How strange files are, by several scores and all of them together, and the threshold that goes into the run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from models import outliers
from models.errors import UserError
from models.features import ood_examples
from models.metrics import detection
from pipelines.beam import filesystem
from pipelines.data import file_listing, front_end
from pipelines.exploration import figures
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import Lab, joined
from pipelines.inference import outlier_detector
from pipelines.reporting import html_report

MOST_STRANGE = 200  # files of each kind; a stable hash of their paths chooses
LEAST_HELD_OUT = 20
MEANINGS = (
    ("reconstruction", "squared error of the reconstruction, of speech in deviations of each mel band"),
    ("mahalanobis", "distance of the code from the mean of training codes, by their covariance"),
    ("knn", "mean distance of the code to the 10 nearest training codes, in the same units"),
    ("negative_elbo", "-log p(x|z) + KL(q(z|x) || p(z)) in nats, z being the mean of q(z|x); of variational plugins"),
    ("sharpness", "how much sharper or softer the file is than its reconstruction, in either direction"),
    (
        "combined",
        "Mahalanobis distance of all scores together from what is usual for held-out files of the validation split; "
        "two-sided: what is reconstructed better than usual is strange as well",
    ),
    ("AUROC", "chance that a strange file scores higher than a usual one of the looked-at split"),
    ("AUPR", "area under precision over recall of the strange files"),
    ("FPR95", "share of strange files taken for usual by the threshold that accepts 95 % of the usual ones"),
    ("flagged", "share above the stored threshold"),
)


def find(asked: Asked) -> Findings:
    """Fits the detector to training and validation files, stores it, and scores what is usual and what is strange."""
    lab = Lab(asked)
    lab.refuse_training("what was fitted to looks too usual")
    detector, calibrated = fitted(lab)
    usual = lab.files(asked.split)
    kinds = {"usual": Scored(lab, detector, [file.x for file in usual])}
    names = {"usual": [file.id for file in usual]}
    for name, (ids, found) in strangers(lab).items():
        kinds[name], names[name] = Scored(lab, detector, found), ids
    rows = [row for name, scored in kinds.items() for row in scored.rows(name, names[name], detector.threshold)]
    table = {name: detected(kinds["usual"], scored) for name, scored in kinds.items() if name != "usual"}
    facts = {"false_positive_rate": asked.false_positive_rate, "records": asked.data_dir, "held_out": calibrated}
    detector.save(asked.run_dir, facts)
    flagged = {name: float(np.mean(scored.combined > detector.threshold)) for name, scored in kinds.items()}
    numbers = {**facts, "threshold": detector.threshold, "flagged": flagged, "detection": table}
    numbers["best"] = {name: max(found, key=lambda score: found[score]["auroc"][0]) for name, found in table.items()}
    spread = {name: scored.combined for name, scored in kinds.items()}
    drawn = figures.histograms("combined score", spread, x="combined score", at=detector.threshold)
    shares = [[name, f"{100 * share:.1f} %"] for name, share in flagged.items()]
    head = html_report.Section(
        "Flagged", heads=["files", "flagged"], table=shares, samples=[{"parts": [drawn], "columns": 1}]
    )
    sections = [head, *(_section(name, found) for name, found in table.items()), *_ends(lab, usual, kinds["usual"])]
    best = "; ".join(f"{name} {table[name][b]['auroc'][0]:.3f} ({b})" for name, b in numbers["best"].items())
    summary = (
        f"Threshold {detector.threshold:.3g} at a false-positive rate of {asked.false_positive_rate:g}, stored in "
        f"{asked.run_dir}; {100 * flagged['usual']:.1f} % of {len(usual)} usual files are above it. Best AUROC: {best}."
    )
    return Findings(summary, numbers, rows, sections, MEANINGS, configuration=lab.run)


def fitted(lab: Lab) -> tuple[outlier_detector.Detector, int]:
    """The detector, and how many held-out files its threshold rests on."""
    training, held_out = lab.files("train"), lab.files("val")
    reference = outliers.Reference.of(lab.coder.call("encode", joined(training)), seed=lab.asked.seed)
    raw = file_scores(lab, reference, [file.x for file in held_out])
    if len(held_out) < LEAST_HELD_OUT:
        raise UserError(
            f"{lab.data.data_dir}: {len(held_out)} files in the val split; wanted {LEAST_HELD_OUT} or more to set a "
            "threshold by, see --val_fraction of preprocess"
        )
    calibration = outliers.Calibration.of(raw)
    threshold = outliers.threshold(outliers.cross_validated_scores(raw), lab.asked.false_positive_rate)
    return outlier_detector.Detector(lab.coder, reference, calibration, threshold), len(held_out)


def file_scores(lab: Lab, reference: outliers.Reference, units: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Raw scores of files by name, `[files]` each: means over the units of each, `[units, ...]`."""
    found = lab.coder.scores(np.concatenate(units), reference)
    ends = np.cumsum([len(each) for each in units])[:-1]
    return {name: np.array([part.mean() for part in np.split(values, ends)]) for name, values in found.items()}


class Scored:
    """Files and their scores.

    Attributes:
      raw: `[files]` by name, as measured.
      single: the same on one scale, high where strange.
      combined: `[files]`.
    """

    def __init__(self, lab: Lab, detector: outlier_detector.Detector, units: Sequence[np.ndarray]):
        self.raw = file_scores(lab, detector.reference, units)
        self.single, self.combined = detector.calibration.single(self.raw), detector.calibration.combined(self.raw)

    def rows(self, kind: str, ids: Sequence[str], threshold: float) -> list[dict]:
        """Lines of the CSV."""
        made = []
        for n, identifier in enumerate(ids):
            scores = {name: float(values[n]) for name, values in self.raw.items()}
            combined = float(self.combined[n])
            made.append(
                {"id": identifier, "kind": kind, **scores, "combined": combined, "flagged": combined > threshold}
            )
        return made


def strangers(lab: Lab) -> dict[str, tuple[list[str], list[np.ndarray]]]:
    """Ids and units of strange files by kind: made ones, and those of `--against`.

    Raises:
      UserError: files that are not there or cannot be read.
    """
    found = {}
    if lab.spec.kind == "image":
        x = lab.some(joined(lab.files(lab.asked.split)), MOST_STRANGE)
        made = ood_examples.ood_pictures(x, seed=lab.asked.seed)
    else:
        seconds = 4 * lab.frames / lab.spec.features.frame_rate_hz
        made = ood_examples.ood_log_mels(MOST_STRANGE // 4, seconds, lab.spec.features, seed=lab.asked.seed)
    for name, examples in made.items():
        units = [lab.coder.units(example)[0] for example in examples]
        found[name] = [f"{name} {n + 1}" for n in range(len(examples))], units
    for flag in lab.asked.against:
        name, _, pattern = flag.partition("=")
        if not name or not pattern or name in found or name == "usual":
            raise UserError(f"--against={flag}; wanted NAME=GLOB, with a name that is not taken")
        found[name] = _read(lab, name, pattern)
    return found


def _read(lab: Lab, name: str, pattern: str) -> tuple[list[str], list[np.ndarray]]:
    listed = file_listing.list_files([pattern], front_end.known_suffixes(lab.spec.kind))
    file_listing.require_files(f"--against={name}={pattern}: no file matches", listed)
    file_listing.print_ignored(pattern, listed)
    read, found = [], []
    for path in sorted(file_listing.sample_paths(listed.root, listed.files, MOST_STRANGE, "against")):
        try:
            with filesystem.open_file(path) as file:
                found.append(lab.coder.units_of(file)[0])
        except (ValueError, OSError) as error:
            print(f"warning: --against={name}: {path}: {error}; left out", file=sys.stderr)
            continue
        read.append(path)
    if not read:
        raise UserError(f"--against={name}={pattern}: no file could be read")
    return read, found


def detected(usual: Scored, strange_: Scored) -> dict[str, dict]:
    """Measures of detection by score, each with its interval."""
    pairs = {name: (usual.single[name], strange_.single[name]) for name in usual.single}
    pairs["combined"] = usual.combined, strange_.combined
    return {name: detection.detection_metrics(*pair) for name, pair in pairs.items()}


def _section(name: str, found: dict[str, dict]) -> html_report.Section:
    cells = [[score, *(_interval(*values) for values in measures.values())] for score, measures in found.items()]
    return html_report.Section(f"Usual against {name}", heads=["score", "AUROC", "AUPR", "FPR95"], table=cells)


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _ends(lab: Lab, files: Sequence, scored: Scored) -> list[html_report.Section]:
    """The usual files that are most and least strange."""
    order, sections = np.argsort(scored.combined), []
    count = min(lab.asked.count, len(files))
    for title, chosen in (("Strangest", order[::-1][:count]), ("Most usual", order[:count])):
        captions = [f"{files[n].id}, {scored.combined[n]:.2f}" for n in chosen]
        samples = []
        for n, caption in zip(chosen, captions, strict=True):
            samples += figures.shown(lab, [files[n].whole], [caption])[0]["parts"]
        rows = [{"parts": samples[n : n + 4], "columns": 4} for n in range(0, len(samples), 4)]
        sections.append(html_report.Section(f"{title} of the {lab.asked.split} split", samples=rows))
    return sections
