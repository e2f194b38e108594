"""Are samples like the data? A model that draws from noise, beside what mean and covariance alone would draw.

Rows, each a set held against the same held-out examples:

* ``training``: training examples. What can be reached.
* ``gaussian``: points of a Gaussian with the mean and covariance of the training examples. What must be beaten.
* ``model``: samples of the run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.errors import UserError
from models.features.spec import Spec
from models.metrics.generation import PrincipalComponents, kernel_distance, relative_similarity
from pipelines.inference.exported_model import Model
from pipelines.reporting import html_report
from pipelines.training import alarms

MOST = 512  # examples and samples that are compared
SURE = 1.645  # standard errors: one time in twenty, chance alone is as good
BATCH = 32  # that are drawn at once
SHOWN = 8


def compared(model: Model, training: Mapping[str, list[np.ndarray]], held_out: Mapping[str, list[np.ndarray]]) -> dict:
    """The table, by row.

    Args:
      model: with the signature `sample`.
      training: domain to features of training examples.
      held_out: the same of held-out examples.

    Raises:
      UserError: too few held-out examples to say anything.
    """
    at_once = [model.call("sample", count=np.int32(BATCH), seed=np.int32(n)) for n in range(MOST // BATCH)]
    drawn = np.concatenate(at_once)
    known, unknown = (_examples(found, drawn.shape[1], model.spec) for found in (training, held_out))
    if len(unknown) < 2:
        raise UserError(f"{len(unknown)} held-out examples; wanted two or more to hold samples against")
    components = PrincipalComponents(known)
    wanted = components.transform(unknown)
    normal = np.random.default_rng(0).normal(size=(MOST, wanted.shape[1]))
    samples = components.transform(drawn)
    gain, error = relative_similarity(samples, normal, wanted)
    table = {
        "training": {"n": len(known), "kid": kernel_distance(components.transform(known), wanted)},
        "gaussian": {"n": MOST, "kid": kernel_distance(normal, wanted)},
        "model": {"n": MOST, "kid": kernel_distance(samples, wanted), "kid_gain": gain, "kid_gain_error": error},
    }
    for name, examples in (("training", known), ("model", drawn)):
        table[name]["diversity"] = alarms.diversity(examples, unknown)
    return table


def _examples(features: Mapping[str, list[np.ndarray]], frames: int, spec: Spec) -> np.ndarray:
    """Pictures, or windows of speech as long as a sample, of every domain in turn, `MOST` that chance chooses."""
    domains = []
    for name in spec.domains:
        every = features[name]
        if spec.kind == "audio":
            every = [window for x in every for window in _windows(x, frames, spec)]
        domains.append([every[n] for n in np.random.default_rng(0).permutation(len(every))])
    longest = max(map(len, domains))
    turns = [domain[n] for n in range(longest) for domain in domains if n < len(domain)]
    return np.stack(turns[:MOST])


def _windows(x: np.ndarray, frames: int, spec: Spec) -> list[np.ndarray]:
    """Windows side by side; a recording that is shorter than one, with silence after it."""
    missing = max(0, frames - len(x))
    x = np.pad(x, ((0, missing), (0, 0)), constant_values=spec.features.log_floor)
    return [x[start : start + frames] for start in range(0, len(x) - frames + 1, frames)]


def verdict(table: Mapping[str, Mapping[str, float]]) -> str:
    """What the table says, in words.

    >>> verdict({"model": {"kid": 1.0, "kid_gain": 2.0, "kid_gain_error": 0.5}, "gaussian": {"kid": 3.0}})
    'generates: nearer to held-out examples than mean and covariance alone (KID 1 against 3, 2 ± 0.5 nearer)'
    """
    ours, error = table["model"], table["model"]["kid_gain_error"]
    numbers = (
        f"(KID {ours['kid']:.3g} against {table['gaussian']['kid']:.3g}, {ours['kid_gain']:.2g} ± {error:.2g} nearer)"
    )
    if ours["kid_gain"] > SURE * error:
        return f"generates: nearer to held-out examples than mean and covariance alone {numbers}"
    return f"does not generate: within noise of mean and covariance alone, or further away {numbers}"


def section(model: Model, table: Mapping[str, Mapping[str, float]]) -> html_report.Section:
    """The table, the verdict, and a few samples."""
    drawn = model.call("sample", count=np.int32(SHOWN), seed=np.int32(MOST))
    heads, rows = html_report.format_table(table)
    spec = model.spec
    if spec.kind == "image":
        parts = [html_report.picture_part(f"sample {n + 1}", x) for n, x in enumerate(drawn)]
    else:
        sounds = model.inverted(list(drawn))
        parts = [
            html_report.sound_part(f"sample {n + 1}", y, x, spec.features)
            for n, (x, y) in enumerate(zip(drawn, sounds, strict=True))
        ]
    fours = [{"parts": parts[n : n + 4], "pixel": spec.kind == "image"} for n in range(0, SHOWN, 4)]
    return html_report.Section("Samples", verdict(table), heads, rows, fours)
