"""What is rare by the codes is drawn more often: weights for any plugin with an encoder, and what groups get of it."""

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
from pipelines import files
from pipelines.data import cropping, csv_table, sample_weights, tfrecord
from pipelines.exploration import figures
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import File, Lab, joined, means_of, split_like
from pipelines.reporting import html_report

ALPHAS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MEANINGS = (
    (
        "weight",
        "how often an example is drawn, for how often without weights: 1 / (share of its bin + alpha) in histograms of "
        "10 bins over each dimension of the means of codes, of these the largest or the product (Amini et al. 2019, "
        "who multiply), as --rarity says, within each domain",
    ),
    ("effective share", "how many examples the weighted draw amounts to, as a share of all: 1 for equal weights"),
    ("share, drawn", "of a group among what training draws, without weights and with them; domains take turns"),
    ("accuracy", "share of the looked-at split whose domain is told right: by the plugin, or else by a linear probe"),
    ("probe", "logistic regression from codes to domains, fitted to the training split"),
    ("gap", "accuracy of the best group less that of the worst"),
)


def find(asked: Asked) -> Findings:
    """Weighs the training split, writes the sidecar, and counts what groups get."""
    lab = Lab(asked)
    training, held_out = lab.files("train", most=None), lab.files(asked.split)
    codes = lab.codes(training)
    found = weights_of(lab, training, codes, asked.alpha)
    path = asked.weights or posixpath.join(asked.data_dir, sample_weights.FILE_NAME)
    _write(path, sample_weights.format_weights(rows_of(training, found)).encode())
    each = np.array([unit.mean() for unit in found])
    groups = {name: groups_of(lab, files) for name, files in (("train", training), ("held_out", held_out))}
    table = shares(lab, training, groups["train"], each)
    told = answers(lab, training, held_out, each)
    accuracies = {name: by_group(right, groups["held_out"]) for name, right in told.items()}
    for name, (_, by_name) in accuracies.items():
        for group, accuracy in by_name.items():
            table.setdefault(group, {"n": 0})[f"accuracy_{name}"] = accuracy
    numbers = {"weights": path, "alpha": asked.alpha, "rarity": asked.rarity, "groups": table}
    numbers["effective_share"] = latent_space.effective_share(each)
    numbers["accuracy"] = {name: summed(*found) for name, found in accuracies.items()}
    numbers["alphas"] = [swept(lab, training, codes, groups["train"], alpha) for alpha in ALPHAS]
    rows = [
        {"id": file.id, "group": group, "weight": float(weight)}
        for file, group, weight in zip(training, groups["train"], each, strict=True)
    ]
    sections = [_groups_section(table), *_accuracy_sections(numbers["accuracy"]), _alphas_section(numbers["alphas"])]
    sections += _ends(lab, training, each)
    return Findings(_summary(path, numbers), numbers, rows, sections, MEANINGS, configuration=lab.run)


def weights_of(lab: Lab, files: Sequence[File], codes: Sequence[np.ndarray], alpha: float) -> list[np.ndarray]:
    """Weights of the units of each file, one in the mean over each domain."""
    coded = lab.run["config"].get("coded", "")  # DB-VAE may code one domain only; the codes of others say nothing
    made = [np.ones(len(file.x)) for file in files]
    for domain in lab.data.spec.domains:
        mine = [n for n, file in enumerate(files) if file.source.domain == domain]
        if not mine or coded not in ("", domain):
            continue
        found = latent_space.resampling_weights(np.concatenate([codes[n] for n in mine]), alpha, rule=lab.asked.rarity)
        for n, part in zip(mine, split_like(found * len(found), [files[n] for n in mine]), strict=True):
            made[n] = part
    return made


def rows_of(files: Sequence[File], found: Sequence[np.ndarray]) -> list[tuple[str, int, float]]:
    """Lines of the sidecar: of each record the mean over its units, or over the file's where it has none."""
    rows = []
    for file, unit in zip(files, found, strict=True):
        segments = file.starts // tfrecord.SEGMENT_FRAMES
        for segment in range(len(file.source.active)):
            mine = unit[segments == segment]
            rows.append((file.id, segment, float(mine.mean() if len(mine) else unit.mean())))
    return rows


def _write(path: str, content: bytes) -> None:
    """Writes the sidecar, and says so where it takes the place of another."""
    if tf.io.gfile.exists(path):
        if files.read(path) != content:
            what = "holds other weights, which are replaced; runs trained with them cannot go on"
            print(f"warning: {path} {what}", file=sys.stderr)
    files.write(path, content)


# ------------------------------------------------------------------ groups


def groups_of(lab: Lab, found: Sequence[File]) -> list[str]:
    """The group of each file: from `--labels`, or the name of its folder.

    Raises:
      UserError: a file that the table lacks.
    """
    if not lab.asked.labels:
        return [file.label for file in found]
    table = csv_table.read_table(lab.asked.labels, ("id", "group"))
    rows = table.rows_by_id().get_all(lab.asked.labels, [file.id for file in found])
    if lacking := [file.id for file, row in zip(found, rows, strict=True) if not row.get("group")]:
        raise UserError(f"{lab.asked.labels}: no group for {lacking[0]}; wanted one for every file")
    return [row["group"] for row in rows]


def drawn_shares(lab: Lab, files: Sequence[File], each: np.ndarray) -> np.ndarray:
    """Of each file its share of what training draws, `[files]`: every domain has the same."""
    share, domains = np.zeros(len(files)), [file.source.domain for file in files]
    for domain in set(domains):
        mine = np.array(domains) == domain
        drawn = each[mine] * [_draws(lab, file) for file in files if file.source.domain == domain]
        share[mine] = drawn / drawn.sum() / len(set(domains))
    return share


def _draws(lab: Lab, file: File) -> int:
    """How often an epoch without weights draws from a file."""
    frames = lab.frames if lab.spec.kind == "audio" else 1
    return sum(cropping.crops_per_epoch(active, frames) for active in file.source.active)


def shares(lab: Lab, files: Sequence[File], groups: Sequence[str], each: np.ndarray) -> dict[str, dict]:
    """Of each group its files, and its share of what is drawn without weights and with them."""
    plain, drawn = (drawn_shares(lab, files, x) for x in (np.ones(len(files)), each))
    table = {}
    for group in sorted(set(groups)):
        mine = np.array(groups) == group
        numbers = {"share": float(plain[mine].sum()), "drawn": float(drawn[mine].sum())}
        table[group] = {"n": int(mine.sum()), **numbers, "weight": float(each[mine].mean())}
    return table


def answers(lab: Lab, training: Sequence[File], held_out: Sequence[File], each: np.ndarray) -> dict[str, np.ndarray]:
    """Which held-out files' domains are told right, by who tells them; nothing where there is one domain."""
    domains = list(lab.data.spec.domains)
    if len(domains) < 2 or domains != list(lab.spec.domains):
        return {}
    x, wanted = (joined(held_out), np.array([domains.index(file.source.domain) for file in held_out]))
    if "classify" in lab.model.signatures:
        logits = means_of(split_like(lab.coder.call("classify", x), held_out))
        return {"plugin": logits.argmax(axis=1) == wanted}
    known = np.array([domains.index(file.source.domain) for file in training])
    features, seen = means_of(lab.codes(training)), means_of(lab.codes(held_out))
    made = {}
    for name, given in (("probe", np.ones(len(each))), ("weighted_probe", each)):
        scaled = sklearn.preprocessing.StandardScaler()
        probe = sklearn.pipeline.make_pipeline(scaled, sklearn.linear_model.LogisticRegression(max_iter=2000))
        probe.fit(features, known, logisticregression__sample_weight=given)
        made[name] = probe.predict(seen) == wanted
    return made


def by_group(right: np.ndarray, groups: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Accuracy over all, and of each group."""
    named = np.array(groups)
    return float(right.mean()), {group: float(right[named == group].mean()) for group in sorted(set(groups))}


def summed(overall: float, found: dict[str, float]) -> dict:
    """Accuracy, the worst group, and how far it is behind the best."""
    worst = min(found, key=found.get)
    gap = max(found.values()) - found[worst]
    return {"overall": overall, "worst_group": worst, "worst": found[worst], "worst_group_gap": gap}


def swept(lab: Lab, files: Sequence[File], codes: Sequence[np.ndarray], groups: Sequence[str], alpha: float) -> dict:
    """What another alpha would do."""
    each = np.array([unit.mean() for unit in weights_of(lab, files, codes, alpha)])
    drawn = {f"drawn {group}": row["drawn"] for group, row in shares(lab, files, groups, each).items()}
    return {
        "alpha": alpha,
        "effective_share": latent_space.effective_share(each),
        "largest": float(each.max()),
        **drawn,
    }


# ------------------------------------------------------------------ the page


def _groups_section(table: dict[str, dict]) -> html_report.Section:
    heads, cells = html_report.format_table(table)
    return html_report.Section("Groups", heads=heads, table=cells)


def _accuracy_sections(found: dict[str, dict]) -> list[html_report.Section]:
    if not found:
        return []
    heads = ["by", "accuracy", "worst group", "its accuracy", "gap"]
    cells = [
        [name, f"{x['overall']:.4f}", x["worst_group"], f"{x['worst']:.4f}", f"{x['worst_group_gap']:.4f}"]
        for name, x in found.items()
    ]
    return [html_report.Section("Accuracy", heads=heads, table=cells)]


def _alphas_section(rows: Sequence[dict]) -> html_report.Section:
    cells = [[f"{value:.4g}" for value in row.values()] for row in rows]
    heads = [name.replace("_", " ") for name in rows[0]]
    return html_report.Section("Other alphas", heads=heads, table=cells)


def _ends(lab: Lab, files: Sequence[File], each: np.ndarray) -> list[html_report.Section]:
    """The training examples that are least and most represented."""
    order, sections, count = np.argsort(each, kind="stable"), [], min(lab.asked.count, len(files))
    for title, chosen in (("Least represented", order[::-1][:count]), ("Most represented", order[:count])):
        parts = []
        for n in chosen:
            parts += figures.shown(lab, [files[n].x[0]], [f"{files[n].id}, weight {each[n]:.2f}"])[0]["parts"]
        rows = [{"parts": parts[n : n + 4], "columns": 4} for n in range(0, len(parts), 4)]
        sections.append(html_report.Section(title, samples=rows))
    return sections


def _summary(path: str, numbers: dict) -> str:
    said = f"Weights written to {path}; effective share {numbers['effective_share']:.2f} at alpha {numbers['alpha']:g}."
    for name, found in numbers["accuracy"].items():
        said += (
            f" Accuracy ({name.replace('_', ' ')}) {100 * found['overall']:.1f} %, worst group {found['worst_group']} "
            f"{100 * found['worst']:.1f} %, gap {100 * found['worst_group_gap']:.1f} points."
        )
    return said
