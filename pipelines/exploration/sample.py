"""Samples from the prior, the truncated prior and a mixture fitted to the aggregate posterior, scored against data."""

from __future__ import annotations

import io

import numpy as np
import scipy.stats
import sklearn.mixture
import soundfile

from models.errors import UserError
from models.metrics import latent as latent_metrics
from models.metrics.generation import PrincipalComponents, kernel_distance
from pipelines.exploration import figures, latent_model
from pipelines.exploration.job import JobConfig, JobResult
from pipelines.exploration.latent_model import LatentModel
from pipelines.reporting import html_report
from pipelines.training import alarms

NUM_SAMPLES = 256  # codes per source that are decoded and scored
MIN_UNITS = 20  # units of a split; fewer do not support an estimate of completeness
TRUNCATION = 1.0  # standard deviations
MIXTURE_SIZES = (1, 2, 4, 8, 16)  # components; the size with the lowest BIC is selected
MAX_CODES = 4000  # to which the mixture is fitted
DEFINITIONS = (
    (
        "accepted (completeness)",
        "share of examples within the range of the decoder's reconstructions: judged by the distance to the nearest "
        "reconstruction of a training file on their 64 principal components, the residual outside these, and the "
        "roughness; an example is accepted if its combined distance is at most that of 95 % of the reconstructions of "
        "held-out files. For samples from the prior it is the completeness: whether codes of the prior decode like "
        "codes of files. It does not measure quality; KID does",
    ),
    (
        "KID",
        "kernel distance to held-out files on the 64 principal components of training files: 0 for equal distributions",
    ),
    ("diversity", "mean standard deviation over a set, relative to that over held-out examples: 0 in mode collapse"),
    ("prior", "standard normal codes, whatever prior the plugin was trained with"),
    ("truncated", "standard normal codes, each dimension truncated at one standard deviation"),
    ("mixture", "Gaussian mixture fitted to codes of the training split, sampled from q(z|x) if the plugin has one"),
    ("noise", "uniform noise in the range of the data: a negative control that should not be accepted"),
    ("active units", "dimensions in which the means of q(z|x) vary by more than 0.01 (arXiv:1509.00519)"),
    ("divergence", "KL in nats between a Gaussian with the moments of the codes and the standard normal prior"),
    ("kernel distance", "between codes and standard normal samples: 0 if the aggregate posterior equals the prior"),
)


def run(job_config: JobConfig) -> JobResult:
    """Sample codes from each source, decode them and score the results."""
    model = LatentModel(job_config)
    model.require_held_out_split("samples are compared with both training and held-out files")
    training, held_out = model.files("train"), model.files(job_config.split)
    codes = model.sample_codes(training)
    prior_gap = compare_with_prior(model, training, codes)
    mixture = fit_mixture(codes, job_config.seed)
    prior_gap["mixture_components"] = int(mixture.n_components)
    samples = {name: model.decode(z) for name, z in sample_codes(codes.shape[1], mixture, job_config.seed).items()}
    table = score_samples(model, training, held_out, samples)
    headings, cells = html_report.format_table(table)
    sections = [html_report.Section("Samples", headings=headings, table=cells), _prior_section(prior_gap)]
    for name, examples in samples.items():
        displayed = list(examples[: job_config.count])
        captions = [f"{name} {n + 1}" for n in range(len(displayed))]
        rows = figures.example_rows(model, displayed, captions, columns=8 if model.spec.kind == "image" else 4)
        sections.append(html_report.Section(f"From {name}", samples=rows))
    completeness = table["prior"]["accepted"]
    summary = (
        "Completeness (share of samples from the prior within the range of reconstructions): "
        f"{100 * completeness:.0f} %."
    )
    csv_rows = [{"from": name, **{key: row.get(key, "") for key in table["prior"]}} for name, row in table.items()]
    numbers = {"completeness": completeness, "samples": table, "posterior": prior_gap}
    files = encode_wavs(model, samples) if model.spec.kind == "audio" else {}
    return JobResult(summary, numbers, csv_rows, sections, DEFINITIONS, files, model.run_config)


def compare_with_prior(model: LatentModel, training: list[latent_model.File], codes: np.ndarray) -> dict:
    """Return distances between the aggregate posterior and the prior, by name."""
    means = np.concatenate(model.encode(training))
    return {
        "latent": codes.shape[1],
        "active_units": latent_metrics.active_units(means),
        "divergence": latent_metrics.gaussian_kl_to_prior(codes),
        "kernel_distance": latent_metrics.distance_to_prior(codes, seed=model.job_config.seed),
    }


def _prior_section(prior_gap: dict) -> html_report.Section:
    cells = [[name.replace("_", " "), f"{value:.4g}"] for name, value in prior_gap.items()]
    return html_report.Section("Aggregate posterior and prior", headings=["", "value"], table=cells)


def fit_mixture(codes: np.ndarray, seed: int) -> sklearn.mixture.GaussianMixture:
    """Fit Gaussian mixtures with full covariances to codes `[n, latent]`; return the one with the lowest BIC."""
    subset = codes[np.random.default_rng(seed).permutation(len(codes))[:MAX_CODES]].astype(np.float64)
    sizes = [n for n in MIXTURE_SIZES if n == 1 or n * codes.shape[1] < len(subset)]
    mixtures = [sklearn.mixture.GaussianMixture(n, reg_covar=1e-4, random_state=seed).fit(subset) for n in sizes]
    return min(mixtures, key=lambda mixture: mixture.bic(subset))


def sample_codes(latent: int, mixture: sklearn.mixture.GaussianMixture, seed: int) -> dict[str, np.ndarray]:
    """Sample codes `[NUM_SAMPLES, latent]` by source: prior, truncated prior, mixture."""
    rng = np.random.default_rng(seed)
    truncated = scipy.stats.truncnorm(-TRUNCATION, TRUNCATION)
    return {
        "prior": rng.normal(size=(NUM_SAMPLES, latent)),
        "truncated": truncated.rvs((NUM_SAMPLES, latent), random_state=rng),
        "mixture": rng.permutation(mixture.sample(NUM_SAMPLES)[0]),  # scikit-learn orders them by component
    }


def score_samples(
    model: LatentModel,
    training: list[latent_model.File],
    held_out: list[latent_model.File],
    samples: dict[str, np.ndarray],
) -> dict:
    """Return the table of scores by row: held-out files, their reconstructions, samples by source, noise."""
    train_x = _subsample(model, latent_model.concatenate_units(training), 8 * NUM_SAMPLES)
    held_out_x = _subsample(model, latent_model.concatenate_units(held_out), 4 * NUM_SAMPLES)
    train_reconstructions, reconstructions = (model.encoder.call("reconstruct", x) for x in (train_x, held_out_x))
    support, components = latent_metrics.Support(train_reconstructions, reconstructions), PrincipalComponents(train_x)
    rng, shape = np.random.default_rng(model.job_config.seed), (NUM_SAMPLES, *train_x.shape[1:])
    noise = rng.uniform(train_x.min(), train_x.max(), shape)
    sets = {"held out": held_out_x, "reconstructed": reconstructions, **samples, "noise": noise}
    table = {}
    for name, examples in sets.items():
        table[name] = {"n": len(examples)}
        if examples is not held_out_x:  # originals are not outputs of the decoder
            table[name]["accepted"] = support.acceptance_rate(examples)
            table[name]["kid"] = kernel_distance(components.transform(examples), components.transform(held_out_x))
        table[name]["diversity"] = alarms.diversity(examples, held_out_x)
    return table


def _subsample(model: LatentModel, units: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` random units.

    Raises:
      UserError: fewer than `MIN_UNITS` units.
    """
    if len(units) < MIN_UNITS:
        raise UserError(
            f"{len(units)} images or windows in a split of {model.data.data_dir}; wanted {MIN_UNITS} or more"
        )
    return model.subsample(units, count)


def encode_wavs(model: LatentModel, samples: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Encode the samples in the report as WAV files, by name."""
    files = {}
    for name, examples in samples.items():
        for n, y in enumerate(model.invert(examples[: model.job_config.count])):
            out = io.BytesIO()
            peak = max(1.0, float(np.abs(y).max(initial=0.0)))
            soundfile.write(out, y / peak, model.spec.features.sample_rate_hz, format="WAV", subtype="PCM_16")
            files[f"samples/{name}_{n + 1:02d}.wav"] = out.getvalue()
    return files
