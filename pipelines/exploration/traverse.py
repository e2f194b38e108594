"""One dimension at a time: what each one changes, measured on what is decoded and against known factors."""

from __future__ import annotations

import numpy as np

from models import latent_space
from models.errors import UserError
from models.metrics import attributes
from models.metrics import disentanglement as dis
from pipelines.exploration import disentangle, figures
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import File, Lab, joined, means_of
from pipelines.reporting import html_report

REACH = 2.0  # deviations of the codes to either side
BASES = 8  # examples from which each dimension is walked
MEANINGS = (
    ("KL", "mean divergence of the dimension from the prior in nats: what it says; dimensions are ordered by it"),
    ("variance", "of the codes in the dimension, by which dimensions are ordered where the plugin has no q(z|x)"),
    (
        "effect",
        "change of an attribute of what is decoded, in deviations of that attribute over the data, when the dimension "
        "moves by one deviation of the codes; slope of a line, mean over examples",
    ),
    (
        "information",
        "mutual information of the code's dimension with a known factor, as a share of the factor's entropy",
    ),
)


def find(asked: Asked) -> Findings:
    """Walks along every dimension."""
    lab = Lab(asked)
    files = lab.files(asked.split)
    order, ranks, by = ordered(lab, files)
    codes = coded(lab, files)
    bases, deviation = lab.some(codes, BASES), codes.std(axis=0)
    names, effects = effects_of(lab, files, bases, deviation)
    shown = order[: asked.count]
    rows = [
        {"dimension": int(n), by: float(ranks[n]), **{k: float(v) for k, v in zip(names, effects[n], strict=True)}}
        for n in order
    ]
    labels = [f"dimension {n}" for n in shown]
    map_ = figures.heat_map(
        "change by one deviation of the code, in deviations of the data", effects[shown], labels, names
    )
    sections = [html_report.Section("What each dimension changes", samples=[{"parts": [map_], "columns": 1}])]
    factors = disentangle.known_factors(lab, files)
    numbers = {"order": [int(n) for n in order], by: [float(r) for r in ranks[order]], "effects": rows}
    if factors is not None:
        known = _information(lab, files, factors)
        numbers["information"] = {name: known[:, n].tolist() for n, name in enumerate(factors)}
        drawn = figures.heat_map("information on known factors", known[shown], labels, list(factors))
        sections.append(html_report.Section("What each dimension knows", samples=[{"parts": [drawn], "columns": 1}]))
    (base,) = lab.some(codes, 1)
    sections += [_walk(lab, base, int(n), codes, f"{by} {ranks[n]:.3g}") for n in shown]
    summary = f"{codes.shape[1]} dimensions, by {by}: {', '.join(f'{n} ({ranks[n]:.3g})' for n in shown)}."
    return Findings(summary, numbers, rows, sections, MEANINGS, configuration=lab.run)


def coded(lab: Lab, files: list[File]) -> np.ndarray:
    """Codes of all units, `[units, latent]`.

    Raises:
      UserError: one unit, whose code deviates from nothing.
    """
    codes = np.concatenate(lab.codes(files))
    if len(codes) < 2:
        what = f"one picture or window in the {lab.asked.split} split"
        raise UserError(f"{lab.data.data_dir}: {what}; wanted two or more, see --split")
    return codes


def ordered(lab: Lab, files: list[File]) -> tuple[np.ndarray, np.ndarray, str]:
    """The dimensions, what says most first; what that is for each `[latent]`, and its name."""
    ranks, by = lab.divergences(files), "KL"
    if ranks is None:
        ranks, by = np.concatenate(lab.codes(files)).var(axis=0), "variance"
    return np.argsort(-ranks, kind="stable"), ranks, by


def measured(lab: Lab, x: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes of units, `[n]` each."""
    if lab.spec.kind == "image":
        return attributes.picture_attributes(x)
    return attributes.speech_attributes(x, lab.sounds(x), lab.spec.features)


def effects_of(lab: Lab, files: list[File], bases: np.ndarray, deviation: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of the attributes, and the effect of each dimension on each, `[latent, attributes]`."""
    usual = {
        name: max(float(np.std(found)), 1e-9) for name, found in measured(lab, lab.some(joined(files), 256)).items()
    }
    walk, effects = np.linspace(-REACH, REACH, 5), []
    for dimension, step in enumerate(deviation):
        paths = [latent_space.traverse(base, dimension, base[dimension] + walk * step) for base in bases]
        found = measured(lab, lab.decoded(np.concatenate(paths)))
        slopes = [np.polyfit(walk, values.reshape(len(bases), -1).T, 1)[0].mean() for values in found.values()]
        effects.append([slope / usual[name] for slope, name in zip(slopes, found, strict=True)])
    return list(usual), np.array(effects)


def _information(lab: Lab, files: list[File], factors: dict[str, np.ndarray]) -> np.ndarray:
    """Share of each factor that each dimension knows, `[latent, factors]`."""
    found = np.stack([dis.discretize(values) for values in factors.values()], axis=1)
    entropies = np.array([max(dis.entropy(column), 1e-12) for column in found.T])
    return dis.mutual_informations(means_of(lab.codes(files)), found) / entropies


def _walk(lab: Lab, base: np.ndarray, dimension: int, codes: np.ndarray, rank: str) -> html_report.Section:
    """Strip or players along a dimension, from one end of what codes reach to the other."""
    mean, step = codes[:, dimension].mean(), codes[:, dimension].std()
    values = mean + step * np.linspace(-REACH, REACH, lab.asked.points)
    decoded = lab.decoded(latent_space.traverse(base, dimension, values))
    caption = f"dimension {dimension} from {values[0]:.2f} to {values[-1]:.2f}"
    return html_report.Section(f"Dimension {dimension}, {rank}", samples=[figures.strip(lab, caption, decoded)])
