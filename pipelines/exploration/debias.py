"""Debiasing by resampling: training weights from the rarity of each example's code, and their effect on groups.

The weights can be used to train any plugin. Source: Amini et al. 2019 (DB-VAE).
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Sequence

import numpy as np
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing
import tensorflow as tf

from models import latent_space
from models.errors import UserError
from pipelines import cli, files
from pipelines.data import cropping, csv_table, sample_weights, tfrecord
from pipelines.exploration import figures
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import File, LatentModel, concatenate_units, file_means, split_by_file
from pipelines.reporting import html_report

ALPHAS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DEFINITIONS = (
    (
        "weight",
        "sampling rate of an example relative to that without weights: 1 / (share of its bin + alpha) in histograms of "
        "10 bins over each dimension of the mean codes, combined over dimensions by the maximum or the product (Amini "
        "et al. 2019 multiply), see --rarity, within each domain",
    ),
    ("effective share", "effective sample size of the weighted draw, as a share of all examples: 1 for equal weights"),
    ("share, drawn", "of a group among the examples that training draws, without and with weights; domains alternate"),
    (
        "accuracy",
        "share of files of the split whose domain is classified correctly: by the plugin, or by a linear probe",
    ),
    ("probe", "logistic regression from codes to domains, fitted to the training split"),
    ("gap", "accuracy of the best group minus that of the worst"),
)


def run(job_config: JobConfig) -> JobResult:
    """Compute the weights of the training split, write them, and measure their effect on groups.

    Accuracies are measured on the split of the configuration.
    """
    model = LatentModel(job_config)
    model.require_held_out_split("the accuracies are of held-out files; the weights are always of the training split")
    path = job_config.weights or posixpath.join(job_config.data_dir, sample_weights.FILE_NAME)
    cli.create_folder_of_file("weights", path)
    training, held_out = model.files("train", max_files=None), model.files(job_config.split)
    codes = model.encode(training)
    weights = unit_weights(model, training, codes, job_config.alpha)
    _write_sidecar(path, sample_weights.format_weights(sidecar_rows(training, weights)).encode())
    file_weights = np.array([units.mean() for units in weights])
    train_groups, held_out_groups = read_groups(model, training), read_groups(model, held_out)
    table = group_shares(model, training, train_groups, file_weights)
    is_correct = classify_held_out(model, training, held_out, file_weights)
    accuracies = {name: accuracy_by_group(correct, held_out_groups) for name, correct in is_correct.items()}
    for name, (_, by_group) in accuracies.items():
        for group, accuracy in by_group.items():
            table.setdefault(group, {"n": 0})[f"accuracy_{name}"] = accuracy
    numbers = {"weights": path, "alpha": job_config.alpha, "rarity": job_config.rarity, "groups": table}
    numbers["effective_share"] = latent_space.effective_share(file_weights)
    numbers["accuracy"] = {name: worst_group_gap(*values) for name, values in accuracies.items()}
    numbers["alphas"] = [score_alpha(model, training, codes, train_groups, alpha) for alpha in ALPHAS]
    rows = [
        {"id": file.id, "group": group, "weight": float(weight)}
        for file, group, weight in zip(training, train_groups, file_weights, strict=True)
    ]
    sections = [_groups_section(table), *_accuracy_sections(numbers["accuracy"]), _alphas_section(numbers["alphas"])]
    sections += _extreme_sections(model, training, file_weights)
    summary = _format_summary(path, numbers)
    return JobResult(summary, numbers, rows, sections, DEFINITIONS, configuration=model.run_config)


def unit_weights(
    model: LatentModel, files: Sequence[File], codes: Sequence[np.ndarray], alpha: float
) -> list[np.ndarray]:
    """Return the weights of each file's units, `[units]`; their mean over each domain is 1.

    Args:
      model: run and records.
      files: of the training split.
      codes: of each file's units, `[units, latent]`.
      alpha: smoothing constant.
    """
    coded_domain = model.plugin_config.get("encoded_domain", "")  # DB-VAE can have codes for one domain only
    weights = [np.ones(len(file.units)) for file in files]
    for domain in model.data.spec.domains:
        indices = [n for n, file in enumerate(files) if file.source.domain == domain]
        if not indices or coded_domain not in ("", domain):
            continue
        domain_codes = np.concatenate([codes[n] for n in indices])
        domain_weights = latent_space.resampling_weights(domain_codes, alpha, rule=model.job_config.rarity)
        parts = split_by_file(domain_weights * len(domain_weights), [files[n] for n in indices])
        for n, part in zip(indices, parts, strict=True):
            weights[n] = part
    return weights


def sidecar_rows(files: Sequence[File], weights: Sequence[np.ndarray]) -> list[tuple[str, int, float]]:
    """Return (id, segment, weight) of each record: the mean over its units, or over the file's if it has none."""
    rows = []
    for file, file_weights in zip(files, weights, strict=True):
        segments = file.starts // tfrecord.SEGMENT_FRAMES
        for segment in range(len(file.source.active)):
            in_segment = file_weights[segments == segment]
            rows.append((file.id, segment, float(in_segment.mean() if len(in_segment) else file_weights.mean())))
    return rows


def _write_sidecar(path: str, content: bytes) -> None:
    """Write the weights; warn if they replace other weights."""
    if tf.io.gfile.exists(path) and files.read(path) != content:
        message = "holds other weights, which are replaced; runs trained with them cannot be resumed"
        print(f"warning: {path} {message}", file=sys.stderr)
    files.write(path, content)


# ------------------------------------------------------------------ groups


def read_groups(model: LatentModel, files: Sequence[File]) -> list[str]:
    """Return the group of each file: from `--labels`, or the name of its folder.

    Raises:
      UserError: a file without a group in the table.
    """
    if not model.job_config.labels:
        return [file.label for file in files]
    table = csv_table.read_table(model.job_config.labels, ("id", "group"))
    rows = table.rows_by_id().get_all(model.job_config.labels, [file.id for file in files])
    if ungrouped := [file.id for file, row in zip(files, rows, strict=True) if not row.get("group")]:
        raise UserError(f"{model.job_config.labels}: no group for {ungrouped[0]}; wanted one for every file")
    return [row["group"] for row in rows]


def sampling_shares(model: LatentModel, files: Sequence[File], file_weights: np.ndarray) -> np.ndarray:
    """Return each file's share of the examples that training draws, `[files]`; all domains have equal shares."""
    shares, domains = np.zeros(len(files)), [file.source.domain for file in files]
    for domain in set(domains):
        in_domain = np.array(domains) == domain
        crops = [_crops_per_epoch(model, file) for file in files if file.source.domain == domain]
        draws = file_weights[in_domain] * crops
        shares[in_domain] = draws / draws.sum() / len(set(domains))
    return shares


def _crops_per_epoch(model: LatentModel, file: File) -> int:
    """Number of crops that an epoch without weights draws from a file."""
    frames = model.window_frames if model.spec.kind == "audio" else 1
    return sum(cropping.crops_per_epoch(active, frames) for active in file.source.active)


def group_shares(
    model: LatentModel, files: Sequence[File], groups: Sequence[str], file_weights: np.ndarray
) -> dict[str, dict]:
    """Return the number of files of each group, its shares of the draws without and with weights, and its weight."""
    unweighted, weighted = (sampling_shares(model, files, x) for x in (np.ones(len(files)), file_weights))
    table = {}
    for group in sorted(set(groups)):
        members = np.array(groups) == group
        shares = {"share": float(unweighted[members].sum()), "drawn": float(weighted[members].sum())}
        table[group] = {"n": int(members.sum()), **shares, "weight": float(file_weights[members].mean())}
    return table


def classify_held_out(
    model: LatentModel, training: Sequence[File], held_out: Sequence[File], file_weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Classify the domains of held-out files.

    Args:
      model: encodes, and classifies if its plugin has the signature `classify`.
      training: files that the probes are fitted to.
      held_out: files that are classified.
      file_weights: of the training files, `[training]`, for the weighted probe.

    Returns:
      By classifier, whether each held-out file is classified correctly, bool `[held_out]`; empty for one domain.
    """
    domains = list(model.data.spec.domains)
    if len(domains) < 2 or domains != list(model.spec.domains):
        return {}
    labels = np.array([domains.index(file.source.domain) for file in held_out])
    if "classify" in model.exported.signatures:
        unit_logits = model.encoder.call("classify", concatenate_units(held_out))
        logits = file_means(split_by_file(unit_logits, held_out))
        return {"plugin": logits.argmax(axis=1) == labels}
    train_labels = np.array([domains.index(file.source.domain) for file in training])
    train_codes, held_out_codes = file_means(model.encode(training)), file_means(model.encode(held_out))
    is_correct = {}
    for name, sample_weight in (("probe", np.ones(len(file_weights))), ("weighted_probe", file_weights)):
        scaler = sklearn.preprocessing.StandardScaler()
        probe = sklearn.pipeline.make_pipeline(scaler, sklearn.linear_model.LogisticRegression(max_iter=2000))
        probe.fit(train_codes, train_labels, logisticregression__sample_weight=sample_weight)
        is_correct[name] = probe.predict(held_out_codes) == labels
    return is_correct


def accuracy_by_group(is_correct: np.ndarray, groups: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Return the overall accuracy, and the accuracy of each group."""
    group_of_file = np.array(groups)
    by_group = {group: float(is_correct[group_of_file == group].mean()) for group in sorted(set(groups))}
    return float(is_correct.mean()), by_group


def worst_group_gap(overall: float, by_group: dict[str, float]) -> dict:
    """Return the overall accuracy, the worst group and its accuracy, and the gap to the best group."""
    worst = min(by_group, key=by_group.get)
    gap = max(by_group.values()) - by_group[worst]
    return {"overall": overall, "worst_group": worst, "worst": by_group[worst], "worst_group_gap": gap}


def score_alpha(
    model: LatentModel, files: Sequence[File], codes: Sequence[np.ndarray], groups: Sequence[str], alpha: float
) -> dict:
    """Return the effective share, the largest weight and the groups' shares of the draws for a value of alpha."""
    file_weights = np.array([units.mean() for units in unit_weights(model, files, codes, alpha)])
    table = group_shares(model, files, groups, file_weights)
    return {
        "alpha": alpha,
        "effective_share": latent_space.effective_share(file_weights),
        "largest": float(file_weights.max()),
        **{f"drawn {group}": row["drawn"] for group, row in table.items()},
    }


# ------------------------------------------------------------------ report


def _groups_section(table: dict[str, dict]) -> html_report.Section:
    headings, cells = html_report.format_table(table)
    return html_report.Section("Groups", headings=headings, table=cells)


def _accuracy_sections(accuracies: dict[str, dict]) -> list[html_report.Section]:
    if not accuracies:
        return []
    headings = ["classifier", "accuracy", "worst group", "its accuracy", "gap"]
    cells = [
        [name, f"{x['overall']:.4f}", x["worst_group"], f"{x['worst']:.4f}", f"{x['worst_group_gap']:.4f}"]
        for name, x in accuracies.items()
    ]
    return [html_report.Section("Accuracy", headings=headings, table=cells)]


def _alphas_section(rows: Sequence[dict]) -> html_report.Section:
    cells = [[f"{value:.4g}" for value in row.values()] for row in rows]
    headings = [name.replace("_", " ") for name in rows[0]]
    return html_report.Section("Other alphas", headings=headings, table=cells)


def _extreme_sections(model: LatentModel, files: Sequence[File], file_weights: np.ndarray) -> list[html_report.Section]:
    """The training examples with the largest and the smallest weights."""
    order, sections, count = np.argsort(file_weights, kind="stable"), [], min(model.job_config.count, len(files))
    for title, indices in (("Least represented", order[::-1][:count]), ("Most represented", order[:count])):
        parts = []
        for n in indices:
            (row,) = figures.example_rows(model, [files[n].units[0]], [f"{files[n].id}, weight {file_weights[n]:.2f}"])
            parts += row["parts"]
        rows = [{"parts": parts[n : n + 4], "columns": 4} for n in range(0, len(parts), 4)]
        sections.append(html_report.Section(title, samples=rows))
    return sections


def _format_summary(path: str, numbers: dict) -> str:
    share, alpha = numbers["effective_share"], numbers["alpha"]
    summary = f"Weights written to {path}; effective share {share:.2f} at alpha {alpha:g}."
    for name, accuracy in numbers["accuracy"].items():
        summary += (
            f" Accuracy ({name.replace('_', ' ')}) {100 * accuracy['overall']:.1f} %, "
            f"worst group {accuracy['worst_group']} {100 * accuracy['worst']:.1f} %, "
            f"gap {100 * accuracy['worst_group_gap']:.1f} points."
        )
    return summary
