"""Interpolation between two files or domains, linear and spherical, and the evenness of the decoded steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models import latent_space
from models.errors import UserError
from models.metrics import latent as latent_metrics
from pipelines import config, stable_hash
from pipelines.exploration import figures
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import File, LatentModel
from pipelines.files import open_binary
from pipelines.reporting import html_report

PATHS: dict[str, Callable] = {"linear": latent_space.linear, "spherical": latent_space.spherical}
MAX_PAIRS = 64  # pairs of files whose paths are scored
POINTS_PER_PATH = 33  # of a scored path
MAX_UNITS = 4  # adjacent units of a recording in a displayed path
DEFINITIONS = (
    (
        "continuity",
        "mean step between adjacent decoded points of evenly spaced codes, relative to the largest step: 1 if all "
        "steps are equal, near 0 if everything changes in one step; mean over pairs of files",
    ),
    (
        "straightness",
        "distance between the decoded ends relative to the length of the decoded path: 1 for a cross-fade, less if "
        "the path passes other examples",
    ),
    ("linear, spherical", "along the line between two codes, and along the arc about the origin, which keeps the norm"),
)


def run(job_config: JobConfig) -> JobResult:
    """Interpolate between two endpoints, and score paths between random pairs of files."""
    model = LatentModel(job_config)
    files = model.files(job_config.split)
    ends = job_config.between or _default_endpoints(model, files)
    if len(ends) != 2:
        raise UserError(f"--between was given {len(ends)} times; wanted two")
    if ends[0] == ends[1]:
        raise UserError(f"--between={ends[0]} was given twice; wanted two ends")
    codes = _equal_lengths(ends, [encode_endpoint(model, files, name) for name in ends])
    scores, rows = score_paths(model, files)
    headings, cells = html_report.format_table(scores)
    sections = [html_report.Section("Continuity", headings=headings, table=cells)]
    numbers = {"between": list(ends), "continuity": scores}
    for name, path in PATHS.items():
        decoded = model.decode(path(*codes, job_config.points))
        continuity = latent_metrics.continuity(model.scale(decoded))
        numbers[name] = {"continuity": continuity, "steps": latent_metrics.step_sizes(model.scale(decoded)).tolist()}
        title = f"{name.capitalize()}: {ends[0]} to {ends[1]}"
        caption = f"{ends[0]} to {ends[1]}, continuity {continuity:.2f}"
        sections.append(html_report.Section(title, samples=[figures.example_strip(model, caption, decoded)]))
    steps = {name: (range(1, job_config.points), numbers[name]["steps"], None) for name in PATHS}
    figure = figures.plot_curves("distance of each decoded point to the previous one", steps, x="point", y="rms step")
    sections[0].samples = [{"parts": [figure], "columns": 1}]
    means = ", ".join(f"{name} {row['continuity']:.3f} ± {row['error']:.3f}" for name, row in scores.items())
    displayed = ", ".join(f"{name} {numbers[name]['continuity']:.3f}" for name in PATHS)
    pairs = len(rows) // len(PATHS)
    summary = f"Continuity over {pairs} pairs of files: {means}. {ends[0]} to {ends[1]}: {displayed}."
    return JobResult(summary, numbers, rows, sections, DEFINITIONS, configuration=model.run_config)


def _default_endpoints(model: LatentModel, files: Sequence[File]) -> tuple[str, ...]:
    """Ids of a file of each of two domains, or of two files of the only domain, selected by a stable hash."""
    by_hash = sorted(files, key=lambda file: (stable_hash.stable_fraction(f"end:{file.id}"), file.id))
    ends = {file.source.domain: file.id for file in reversed(by_hash)}
    if len(ends) > 1:
        return tuple(ends[name] for name in model.data.spec.domains if name in ends)[:2]
    if len(files) < 2:
        split = model.job_config.split
        raise UserError(f"{model.data.data_dir}: one file in the {split} split; wanted two to interpolate between")
    return tuple(sorted(file.id for file in by_hash[:2]))


def encode_endpoint(model: LatentModel, files: Sequence[File], name: str) -> np.ndarray:
    """Encode an endpoint of a path.

    Args:
      model: encodes.
      files: of the split.
      name: id of a file of the split, a domain (its mean code is used), or the path of a file.

    Returns:
      Codes `[units, latent]`.

    Raises:
      UserError: the name is none of these, or the file cannot be read.
    """
    by_id = {file.id: file for file in files}
    if name in by_id:
        return model.encode([by_id[name]])[0]
    domain_files = [file for file in files if file.source.domain == name]
    if domain_files:
        return np.concatenate(model.encode(domain_files)).mean(axis=0, keepdims=True)
    if not tf.io.gfile.exists(name) or tf.io.gfile.isdir(name):
        hint = config.suggest(name, [*model.data.spec.domains, *by_id])
        split = model.job_config.split
        raise UserError(f"--between={name}: neither a file, nor a domain or id of the {split} split; {hint}")
    try:
        with open_binary(name) as file:
            units, _ = model.encoder.read_units(file)
    except (UserError, tf.errors.OpError) as error:
        raise UserError(f"--between={name}: {error}") from None
    return model.encoder.call("encode", units)


def _equal_lengths(ends: Sequence[str], codes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Bring the codes of two endpoints to an equal number of units.

    Of several units, adjacent ones are selected by a stable hash of the endpoint's name; one unit is repeated.

    Args:
      ends: names of the endpoints.
      codes: of each, `[units, latent]`.
    """
    lengths = [len(x) for x in codes if len(x) > 1]
    count = min([MAX_UNITS, *lengths]) if lengths else 1
    equal = []
    for name, x in zip(ends, codes, strict=True):
        first = int(stable_hash.stable_fraction(f"stretch:{name}") * (len(x) - count + 1)) if len(x) > 1 else 0
        equal.append(np.broadcast_to(x, (count, x.shape[1])) if len(x) == 1 else x[first : first + count])
    return tuple(equal)


def score_paths(model: LatentModel, files: Sequence[File]) -> tuple[dict, list[dict]]:
    """Score the paths between units of random pairs of files.

    Returns:
      Means by kind of path, and one row per path.
    """
    rng = np.random.default_rng(model.job_config.seed)
    codes, rows = [_pick_unit(file.id, units) for file, units in zip(files, model.encode(files), strict=True)], []
    if len(codes) < 2:
        raise UserError(f"one file in the {model.job_config.split} split; wanted two to interpolate between")
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < min(MAX_PAIRS, len(codes) * (len(codes) - 1) // 2):
        pairs[tuple(sorted(rng.choice(len(codes), 2, replace=False).tolist()))] = None
    for a, b in pairs:
        for name, path in PATHS.items():
            decoded = model.scale(model.decode(path(codes[a], codes[b], POINTS_PER_PATH)))
            scores = {"continuity": latent_metrics.continuity(decoded)}
            scores["straightness"] = latent_metrics.straightness(decoded)
            rows.append({"path": name, "from": files[a].id, "to": files[b].id, **scores})
    return {name: _summarise([row for row in rows if row["path"] == name]) for name in PATHS}, rows


def _pick_unit(identifier: str, codes: np.ndarray) -> np.ndarray:
    """Select the code of one unit of a file by a stable hash of its id."""
    return codes[int(stable_hash.stable_fraction(f"unit of {identifier}") * len(codes))]


def _summarise(rows: Sequence[dict]) -> dict[str, float]:
    """Means over paths, with the standard error of the continuity."""
    continuity = np.array([row["continuity"] for row in rows])
    return {
        "n": len(rows),
        "continuity": float(continuity.mean()),
        "error": float(continuity.std() / len(rows) ** 0.5),
        "straightness": float(np.mean([row["straightness"] for row in rows])),
    }
