"""Latent traversals: the effect of each dimension on attributes of the decoded examples, and on known factors."""

from __future__ import annotations

import numpy as np

from models import latent_space
from models.errors import UserError
from models.metrics import attributes
from models.metrics import disentanglement as dis
from pipelines.exploration import disentangle, figures
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import File, LatentModel, concatenate_units, file_means
from pipelines.reporting import html_report

MAX_DEVIATIONS = 2.0  # ends of a traversal, in standard deviations of the codes
NUM_BASES = 8  # examples from which each dimension is traversed
DEFINITIONS = (
    ("KL", "mean KL divergence of the dimension from the prior in nats; the dimensions are ordered by it"),
    ("variance", "of the codes in the dimension; orders the dimensions if the plugin has no q(z|x)"),
    (
        "effect",
        "change of an attribute of the decoded examples, in standard deviations of the attribute over the data, per "
        "standard deviation of the codes: slope of a line fit, mean over examples",
    ),
    ("information", "mutual information of the dimension and a known factor, as a share of the factor's entropy"),
)


def run(job_config: JobConfig) -> JobResult:
    """Traverse every dimension."""
    model = LatentModel(job_config)
    files = model.files(job_config.split)
    order, ranks, rank_name = rank_dimensions(model, files)
    codes = encode_units(model, files)
    bases, deviation = model.subsample(codes, NUM_BASES), codes.std(axis=0)
    names, effects = attribute_effects(model, files, bases, deviation)
    top = order[: job_config.count]
    rows = [
        {
            "dimension": int(n),
            rank_name: float(ranks[n]),
            **{name: float(effect) for name, effect in zip(names, effects[n], strict=True)},
        }
        for n in order
    ]
    labels = [f"dimension {n}" for n in top]
    caption = "change per standard deviation of the code, in standard deviations of the data"
    sections = [_heat_map_section("Effect of each dimension", caption, effects[top], labels, names)]
    numbers = {"order": [int(n) for n in order], rank_name: [float(r) for r in ranks[order]], "effects": rows}
    factors = disentangle.read_factors(model, files)
    if factors is not None:
        information = _factor_information(model, files, factors)
        numbers["information"] = {name: information[:, n].tolist() for n, name in enumerate(factors)}
        title, caption = "Information of each dimension", "information on known factors"
        sections.append(_heat_map_section(title, caption, information[top], labels, list(factors)))
    (base,) = model.subsample(codes, 1)
    sections += [_traversal_section(model, base, int(n), codes, f"{rank_name} {ranks[n]:.3g}") for n in top]
    listed = ", ".join(f"{n} ({ranks[n]:.3g})" for n in top)
    summary = f"{codes.shape[1]} dimensions, by {rank_name}: {listed}."
    return JobResult(summary, numbers, rows, sections, DEFINITIONS, configuration=model.run_config)


def _heat_map_section(
    title: str, caption: str, values: np.ndarray, rows: list[str], columns: list[str]
) -> html_report.Section:
    figure = figures.plot_heat_map(caption, values, rows, columns)
    return html_report.Section(title, samples=[{"parts": [figure], "columns": 1}])


def encode_units(model: LatentModel, files: list[File]) -> np.ndarray:
    """Return the codes of all units, `[units, latent]`.

    Raises:
      UserError: only one unit, so that the codes have no variance.
    """
    codes = np.concatenate(model.encode(files))
    if len(codes) < 2:
        problem = f"one image or window in the {model.job_config.split} split"
        raise UserError(f"{model.data.data_dir}: {problem}; wanted two or more, see --split")
    return codes


def rank_dimensions(model: LatentModel, files: list[File]) -> tuple[np.ndarray, np.ndarray, str]:
    """Rank dimensions by KL divergence from the prior, or by variance if the plugin has no q(z|x).

    Returns:
      The dimensions in descending order, the value of each `[latent]`, and its name: "KL" or "variance".
    """
    ranks, rank_name = model.kl_divergences(files), "KL"
    if ranks is None:
        ranks, rank_name = np.concatenate(model.encode(files)).var(axis=0), "variance"
    return np.argsort(-ranks, kind="stable"), ranks, rank_name


def measure_attributes(model: LatentModel, x: np.ndarray) -> dict[str, np.ndarray]:
    """Measure attributes of units by name, `[n]` each."""
    if model.spec.kind == "image":
        return attributes.image_attributes(x)
    return attributes.speech_attributes(x, model.invert(x), model.spec.features)


def attribute_effects(
    model: LatentModel, files: list[File], bases: np.ndarray, deviation: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Measure the effect of each dimension on each attribute of the decoded examples.

    Args:
      model: decodes.
      files: give the attributes' standard deviations.
      bases: codes from which the dimensions are traversed, `[n, latent]`.
      deviation: standard deviation of the codes, `[latent]`.

    Returns:
      Names of the attributes, and the effects, `[latent, attributes]`.
    """
    data_attributes = measure_attributes(model, model.subsample(concatenate_units(files), 256))
    scales = {name: max(float(np.std(values)), 1e-9) for name, values in data_attributes.items()}
    offsets, effects = np.linspace(-MAX_DEVIATIONS, MAX_DEVIATIONS, 5), []
    for dimension, size in enumerate(deviation):
        paths = [latent_space.traverse(base, dimension, base[dimension] + offsets * size) for base in bases]
        decoded = measure_attributes(model, model.decode(np.concatenate(paths)))
        slopes = [np.polyfit(offsets, values.reshape(len(bases), -1).T, 1)[0].mean() for values in decoded.values()]
        effects.append([slope / scales[name] for slope, name in zip(slopes, decoded, strict=True)])
    return list(scales), np.array(effects)


def _factor_information(model: LatentModel, files: list[File], factors: dict[str, np.ndarray]) -> np.ndarray:
    """Mutual information as a share of each factor's entropy, `[latent, factors]`."""
    binned = np.stack([dis.discretize(values) for values in factors.values()], axis=1)
    entropies = np.array([max(dis.entropy(column), 1e-12) for column in binned.T])
    return dis.mutual_informations(file_means(model.encode(files)), binned) / entropies


def _traversal_section(
    model: LatentModel, base: np.ndarray, dimension: int, codes: np.ndarray, rank: str
) -> html_report.Section:
    """Images or audio players along a dimension, centred on the mean of the codes."""
    mean, deviation = codes[:, dimension].mean(), codes[:, dimension].std()
    values = mean + deviation * np.linspace(-MAX_DEVIATIONS, MAX_DEVIATIONS, model.job_config.points)
    decoded = model.decode(latent_space.traverse(base, dimension, values))
    caption = f"dimension {dimension} from {values[0]:.2f} to {values[-1]:.2f}"
    row = figures.example_strip(model, caption, decoded)
    return html_report.Section(f"Dimension {dimension}, {rank}", samples=[row])
