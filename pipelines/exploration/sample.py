"""Samples from the prior, truncated, and from a mixture fitted to the aggregate posterior; how like data they are."""

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
from pipelines.exploration.job import Asked, Findings
from pipelines.exploration.latent_model import Lab
from pipelines.reporting import html_report
from pipelines.training import alarms

DRAWN = 256  # codes that are decoded and measured
LEAST = 20  # units that completeness is measured by
TRUNCATED_AT = 1.0  # deviations
COMPONENTS = (1, 2, 4, 8, 16)  # of the mixture; the number with the lowest BIC is taken
MOST_CODES = 4000
MEANINGS = (
    (
        "accepted (completeness)",
        "share that is like what the decoder makes of files: by distance to the nearest reconstruction of a training "
        "file on their 64 main directions, what lies outside these, and roughness, all together no further from what "
        "is usual than 95 % of reconstructions of held-out files. Of samples from the prior: completeness. It says "
        "whether codes of the prior decode as codes of files do, not whether that looks good: that is KID",
    ),
    (
        "KID",
        "kernel distance to held-out files on the 64 main directions of training files: 0 for sets of one distribution",
    ),
    ("diversity", "mean deviation over a set, for that over held-out examples: 0 where all are alike"),
    ("prior", "standard normal codes, whatever the plugin was trained for"),
    ("truncated", "standard normal codes, each number within one deviation of zero"),
    ("mixture", "Gaussian mixture fitted to codes of the training split, drawn from q(z|x) where there is one"),
    ("noise", "uniform noise in the range of the data: what must not be accepted"),
    ("active units", "dimensions in which the means of q(z|x) vary by more than 0.01 (arXiv:1509.00519)"),
    ("divergence", "KL in nats between a Gaussian of the codes' moments and the standard normal prior"),
    ("kernel distance", "of the codes to standard normal ones: 0 where the aggregate posterior is the prior"),
)


def find(asked: Asked) -> Findings:
    """Draws codes in several ways, decodes and measures them."""
    bench = Lab(asked)
    bench.refuse_training("samples are held against training files and others")
    training, held_out = bench.files("train"), bench.files(asked.split)
    codes = bench.drawn_codes(training)
    space = posterior(bench, training, codes)
    mixture = fitted(codes, asked.seed)
    space["mixture_components"] = int(mixture.n_components)
    drawn = {name: bench.decoded(z) for name, z in drawn_codes(codes.shape[1], mixture, asked.seed).items()}
    table = measured(bench, training, held_out, drawn)
    heads, cells = html_report.format_table(table)
    sections = [html_report.Section("Samples", heads=heads, table=cells), _space_section(space)]
    for name, made in drawn.items():
        shown = list(made[: asked.count])
        numbered = [f"{name} {n + 1}" for n in range(len(shown))]
        columns = 8 if bench.spec.kind == "image" else 4
        sections.append(html_report.Section(f"From {name}", samples=figures.shown(bench, shown, numbered, columns)))
    completeness = table["prior"]["accepted"]
    summary = (
        f"Completeness (share of samples from the prior that is like reconstructions): {100 * completeness:.0f} %."
    )
    rows = [{"from": name, **{key: row.get(key, "") for key in table["prior"]}} for name, row in table.items()]
    numbers = {"completeness": completeness, "samples": table, "posterior": space}
    files = heard(bench, drawn) if bench.spec.kind == "audio" else {}
    return Findings(summary, numbers, rows, sections, MEANINGS, files, bench.run)


def posterior(bench: Lab, training: list[latent_model.File], codes: np.ndarray) -> dict:
    """How the aggregate posterior lies to the prior."""
    means = np.concatenate(bench.codes(training))
    return {
        "latent": codes.shape[1],
        "active_units": latent_metrics.active_units(means),
        "divergence": latent_metrics.gaussian_kl_to_prior(codes),
        "kernel_distance": latent_metrics.distance_to_prior(codes, seed=bench.asked.seed),
    }


def _space_section(space: dict) -> html_report.Section:
    named = [[name.replace("_", " "), f"{value:.4g}"] for name, value in space.items()]
    return html_report.Section("Aggregate posterior and prior", heads=["", "value"], table=named)


def fitted(codes: np.ndarray, seed: int) -> sklearn.mixture.GaussianMixture:
    """The Gaussian mixture with the lowest BIC, of full covariances."""
    few = codes[np.random.default_rng(seed).permutation(len(codes))[:MOST_CODES]].astype(np.float64)
    sizes = [n for n in COMPONENTS if n == 1 or n * codes.shape[1] < len(few)]
    made = [sklearn.mixture.GaussianMixture(n, reg_covar=1e-4, random_state=seed).fit(few) for n in sizes]
    return min(made, key=lambda each: each.bic(few))


def drawn_codes(latent: int, mixture: sklearn.mixture.GaussianMixture, seed: int) -> dict[str, np.ndarray]:
    """Codes `[DRAWN, latent]` by where they come from."""
    rng = np.random.default_rng(seed)
    within = scipy.stats.truncnorm(-TRUNCATED_AT, TRUNCATED_AT)
    return {
        "prior": rng.normal(size=(DRAWN, latent)),
        "truncated": within.rvs((DRAWN, latent), random_state=rng),
        "mixture": rng.permutation(mixture.sample(DRAWN)[0]),  # they come component by component
    }


def measured(
    bench: Lab, training: list[latent_model.File], held_out: list[latent_model.File], drawn: dict[str, np.ndarray]
) -> dict:
    """The table: held-out files, their reconstructions, samples, noise."""
    x, y = (
        _some(bench, latent_model.joined(files), count)
        for files, count in ((training, 8 * DRAWN), (held_out, 4 * DRAWN))
    )
    known, others = (bench.coder.call("reconstruct", each) for each in (x, y))
    support, components = latent_metrics.Support(known, others), PrincipalComponents(x)
    noise = np.random.default_rng(bench.asked.seed).uniform(x.min(), x.max(), (DRAWN, *x.shape[1:]))
    table = {}
    for name, examples in {"held out": y, "reconstructed": others, **drawn, "noise": noise}.items():
        table[name] = {"n": len(examples)}
        if examples is not y:  # originals are not what the decoder makes of them
            table[name]["accepted"] = support.acceptance_rate(examples)
            table[name]["kid"] = kernel_distance(components.transform(examples), components.transform(y))
        table[name]["diversity"] = alarms.diversity(examples, y)
    return table


def _some(bench: Lab, units: np.ndarray, count: int) -> np.ndarray:
    """So many of some units.

    Raises:
      UserError: too few to say what is usual.
    """
    if len(units) < LEAST:
        raise UserError(f"{len(units)} pictures or windows in a split of {bench.data.data_dir}; wanted {LEAST} or more")
    return bench.some(units, count)


def heard(bench: Lab, drawn: dict[str, np.ndarray]) -> dict[str, bytes]:
    """WAV files of the samples that the page plays."""
    files = {}
    for name, made in drawn.items():
        for n, y in enumerate(bench.sounds(made[: bench.asked.count])):
            out = io.BytesIO()
            peak = max(1.0, float(np.abs(y).max(initial=0.0)))
            soundfile.write(out, y / peak, bench.spec.features.sample_rate_hz, format="WAV", subtype="PCM_16")
            files[f"samples/{name}_{n + 1:02d}.wav"] = out.getvalue()
    return files
