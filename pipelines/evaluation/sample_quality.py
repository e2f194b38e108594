"""Quality of samples: kernel distances of a generative model's samples to held-out examples, beside baselines.

Rows of the table; each is a set of examples that is compared with the same held-out examples:

* ``training``: training examples; the upper bound.
* ``gaussian``: points of a Gaussian with the mean and covariance of the training examples; the baseline.
* ``model``: samples of the run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.errors import UserError
from models.features.spec import Spec
from models.metrics import feature_extractors
from models.metrics.generation import kernel_distance, relative_similarity
from pipelines.evaluation.verdict import sample_verdict
from pipelines.inference.exported_model import Model
from pipelines.reporting import html_report
from pipelines.training import alarms

MAX_EXAMPLES = 512  # examples and samples that are compared
BATCH_SIZE = 32  # samples per call of the model
NUM_SHOWN = 8  # samples in the report


def score_samples(
    model: Model,
    training: Mapping[str, list[np.ndarray]],
    held_out: Mapping[str, list[np.ndarray]],
    extractor: str = feature_extractors.DEFAULT,
) -> dict:
    """Return the table of kernel distances and diversities, by row.

    Args:
      model: an export with the signature `sample`.
      training: domain to features of training examples.
      held_out: domain to features of held-out examples.
      extractor: name of the feature extractor.

    Raises:
      UserError: fewer than two held-out examples.
    """
    num_batches = MAX_EXAMPLES // BATCH_SIZE
    samples = np.concatenate(
        [model.call("sample", count=np.int32(BATCH_SIZE), seed=np.int32(n)) for n in range(num_batches)]
    )
    train_x, held_out_x = (_stack_examples(x, samples.shape[1], model.spec) for x in (training, held_out))
    if len(held_out_x) < 2:
        raise UserError(f"{len(held_out_x)} held-out examples; wanted two or more to compare samples with")
    features = feature_extractors.fit_extractor(extractor, train_x)
    train_features, reference, projected = features(train_x), features(held_out_x), features(samples)
    gaussian = _draw_gaussian(train_features, MAX_EXAMPLES)
    gain, error = relative_similarity(projected, gaussian, reference)
    model_kid = {"kid": kernel_distance(projected, reference), "kid_gain": gain, "kid_gain_error": error}
    table = {
        "training": {"n": len(train_x), "kid": kernel_distance(train_features, reference)},
        "gaussian": {"n": MAX_EXAMPLES, "kid": kernel_distance(gaussian, reference)},
        "model": {"n": MAX_EXAMPLES, **model_kid},
    }
    for name, examples in (("training", train_x), ("model", samples)):
        table[name]["diversity"] = alarms.diversity(examples, held_out_x)
    return table


def _draw_gaussian(x: np.ndarray, count: int) -> np.ndarray:
    """Draw `[count, d]` from the Gaussian with the mean and the covariance of the rows of `x` `[n, d]`."""
    weights = np.random.default_rng(0).normal(size=(count, len(x))) / np.sqrt(len(x))
    mean = x.mean(axis=0)
    return mean + weights @ (x - mean)


def _stack_examples(features: Mapping[str, list[np.ndarray]], frames: int, spec: Spec) -> np.ndarray:
    """Stack at most `MAX_EXAMPLES` random images, or speech windows as long as a sample, alternating the domains."""
    domains = []
    for name in spec.domains:
        examples = features[name]
        if spec.kind == "audio":
            examples = [window for x in examples for window in _split_windows(x, frames, spec)]
        domains.append([examples[n] for n in np.random.default_rng(0).permutation(len(examples))])
    longest = max(map(len, domains))
    alternated = [domain[n] for n in range(longest) for domain in domains if n < len(domain)]
    return np.stack(alternated[:MAX_EXAMPLES])


def _split_windows(x: np.ndarray, frames: int, spec: Spec) -> list[np.ndarray]:
    """Split log-mels `[frames, mels]` into adjacent windows; pad a recording shorter than one window with silence."""
    padding = max(0, frames - len(x))
    x = np.pad(x, ((0, padding), (0, 0)), constant_values=spec.features.log_floor)
    return [x[start : start + frames] for start in range(0, len(x) - frames + 1, frames)]


def report_section(model: Model, table: Mapping[str, Mapping[str, float]]) -> html_report.Section:
    """Return the report's section: the table, the verdict, and `NUM_SHOWN` samples."""
    samples = model.call("sample", count=np.int32(NUM_SHOWN), seed=np.int32(MAX_EXAMPLES))
    headings, rows = html_report.format_table(table)
    spec = model.spec
    if spec.kind == "image":
        parts = [html_report.image_part(f"sample {n + 1}", x) for n, x in enumerate(samples)]
    else:
        waveforms = model.invert_clips(list(samples))
        parts = [
            html_report.audio_part(f"sample {n + 1}", y, x, spec.features)
            for n, (x, y) in enumerate(zip(samples, waveforms, strict=True))
        ]
    groups = [{"parts": parts[n : n + 4], "pixel": spec.kind == "image"} for n in range(0, NUM_SHOWN, 4)]
    return html_report.Section("Samples", sample_verdict(table), headings, rows, groups)
