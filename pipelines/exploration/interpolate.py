"""Paths between two files or domains, linear and spherical, and how evenly decoded points move along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models import latent_space
from models.errors import UserError
from models.metrics import latent as latent_metrics
from pipelines import config, stable_hash
from pipelines.exploration import figures
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import File, Lab
from pipelines.files import open_binary
from pipelines.reporting import html_report

PATHS: dict[str, Callable] = {"linear": latent_space.linear, "spherical": latent_space.spherical}
PAIRS = 64  # of files whose paths are measured
MEASURED_POINTS = 33  # of each
MOST_UNITS = 4  # of a recording that a path is heard on
MEANINGS = (
    (
        "continuity",
        "of a path of evenly spaced codes, the mean step between decoded points for the largest one: 1 where all steps "
        "are alike, near 0 where everything changes in one jump; mean over pairs of files",
    ),
    (
        "straightness",
        "distance between the decoded ends for the length of the way: 1 for a cross-fade, less where the path leads "
        "over other examples",
    ),
    ("linear, spherical", "along the line between two codes, and along the arc about the origin, which keeps the norm"),
)


def find(asked: Asked) -> Findings:
    """Walks between two files or domains, and measures many more such ways."""
    lab = Lab(asked)
    files = lab.files(asked.split)
    ends = asked.between or _default_ends(lab, files)
    if len(ends) != 2:
        raise UserError(f"--between was given {len(ends)} times; wanted two")
    if ends[0] == ends[1]:
        raise UserError(f"--between={ends[0]} was given twice; wanted two ends")
    codes = _alike(ends, [end_of(lab, files, name) for name in ends])
    measured, rows = measure(lab, files)
    sections = [
        html_report.Section(
            "Continuity", **dict(zip(("heads", "table"), html_report.format_table(measured), strict=True))
        )
    ]
    numbers = {"between": list(ends), "continuity": measured}
    for name, path in PATHS.items():
        decoded = lab.decoded(path(*codes, asked.points))
        found = latent_metrics.continuity(lab.plain(decoded))
        numbers[name] = {"continuity": found, "steps": latent_metrics.step_sizes(lab.plain(decoded)).tolist()}
        title = f"{name.capitalize()}: {ends[0]} to {ends[1]}"
        caption = f"{ends[0]} to {ends[1]}, continuity {found:.2f}"
        sections.append(html_report.Section(title, samples=[figures.strip(lab, caption, decoded)]))
    steps = {name: (range(1, asked.points), numbers[name]["steps"], None) for name in PATHS}
    drawn = figures.curves("how far each point is from the one before", steps, x="point", y="rms step")
    sections[0].samples = [{"parts": [drawn], "columns": 1}]
    means = ", ".join(f"{name} {row['continuity']:.3f} ± {row['error']:.3f}" for name, row in measured.items())
    here = ", ".join(f"{name} {numbers[name]['continuity']:.3f}" for name in PATHS)
    summary = f"Continuity over {len(rows) // len(PATHS)} pairs of files: {means}. {ends[0]} to {ends[1]}: {here}."
    return Findings(summary, numbers, rows, sections, MEANINGS, configuration=lab.run)


def _default_ends(lab: Lab, files: Sequence[File]) -> tuple[str, ...]:
    """A file of each of two domains, or two of the only one; a stable hash chooses."""
    drawn = sorted(files, key=lambda file: (stable_hash.stable_fraction(f"end:{file.id}"), file.id))
    ends = {file.source.domain: file.id for file in reversed(drawn)}
    if len(ends) > 1:
        return tuple(ends[name] for name in lab.data.spec.domains if name in ends)[:2]
    if len(files) < 2:
        raise UserError(f"{lab.data.data_dir}: one file in the {lab.asked.split} split; wanted two to go between")
    return tuple(sorted(file.id for file in drawn[:2]))


def end_of(lab: Lab, files: Sequence[File], name: str) -> np.ndarray:
    """The code `[units, latent]` of an id of the split, of a domain (its mean) or of a file.

    Raises:
      UserError: it is none of these.
    """
    known = {file.id: file for file in files}
    if name in known:
        return lab.codes([known[name]])[0]
    mine = [file for file in files if file.source.domain == name]
    if mine:
        return np.concatenate(lab.codes(mine)).mean(axis=0, keepdims=True)
    if not tf.io.gfile.exists(name) or tf.io.gfile.isdir(name):
        hint = config.suggest(name, [*lab.data.spec.domains, *known])
        raise UserError(f"--between={name}: neither a file, nor a domain or id of the {lab.asked.split} split; {hint}")
    try:
        with open_binary(name) as file:
            units, _ = lab.coder.units_of(file)
    except (UserError, tf.errors.OpError) as error:
        raise UserError(f"--between={name}: {error}") from None
    return lab.coder.call("encode", units)


def _alike(ends: Sequence[str], codes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of as many units, neighbours that a stable hash of the end's name chooses; of a domain its one, repeated.

    Args:
      ends: their names.
      codes: of each, `[units, latent]`.
    """
    several = [len(x) for x in codes if len(x) > 1]
    count = min([MOST_UNITS, *several]) if several else 1
    found = []
    for name, x in zip(ends, codes, strict=True):
        first = int(stable_hash.stable_fraction(f"stretch:{name}") * (len(x) - count + 1)) if len(x) > 1 else 0
        found.append(np.broadcast_to(x, (count, x.shape[1])) if len(x) == 1 else x[first : first + count])
    return tuple(found)


def measure(lab: Lab, files: Sequence[File]) -> tuple[dict, list[dict]]:
    """Continuity and straightness of paths between units of different random pairs of files: their means, and each."""
    rng = np.random.default_rng(lab.asked.seed)
    codes, rows = [_one(file.id, each) for file, each in zip(files, lab.codes(files), strict=True)], []
    if len(codes) < 2:
        raise UserError(f"one file in the {lab.asked.split} split; wanted two to go between")
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < min(PAIRS, len(codes) * (len(codes) - 1) // 2):
        pairs[tuple(sorted(rng.choice(len(codes), 2, replace=False).tolist()))] = None
    for one, other in pairs:
        for name, path in PATHS.items():
            decoded = lab.plain(lab.decoded(path(codes[one], codes[other], MEASURED_POINTS)))
            found = {"continuity": latent_metrics.continuity(decoded)}
            found["straightness"] = latent_metrics.straightness(decoded)
            rows.append({"path": name, "from": files[one].id, "to": files[other].id, **found})
    return {name: _summed([row for row in rows if row["path"] == name]) for name in PATHS}, rows


def _one(identifier: str, codes: np.ndarray) -> np.ndarray:
    """The code of one unit of a file, that a stable hash of its id chooses."""
    return codes[int(stable_hash.stable_fraction(f"unit of {identifier}") * len(codes))]


def _summed(rows: Sequence[dict]) -> dict[str, float]:
    continuity = np.array([row["continuity"] for row in rows])
    return {
        "n": len(rows),
        "continuity": float(continuity.mean()),
        "error": float(continuity.std() / len(rows) ** 0.5),
        "straightness": float(np.mean([row["straightness"] for row in rows])),
    }
