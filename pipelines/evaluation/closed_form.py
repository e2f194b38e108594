"""Closed-form baselines of speech translation: statistics of the target domain, without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from models.features import stats, transport
from models.features.spec import Spec
from pipelines.evaluation.examples import Example


def translate(examples: Sequence[Example], source: str, target: str, spec: Spec) -> dict[str, list[Example]]:
    """Return the examples translated by each closed form, `mean_variance` and `transport`.

    Args:
      examples: speech of the source domain.
      source: source domain.
      target: target domain.
      spec: of the records, with the moments of both domains.
    """
    a, b = spec.moments[source], spec.moments[target]
    kernels = {"mean_variance": None, "transport": transport.kernel(a, b, spec.features)}
    floor = spec.features.log_floor
    return {name: [_match_statistics(x, a, b, kernel, floor) for x in examples] for name, kernel in kernels.items()}


def _match_statistics(example: Example, a: stats.Moments, b: stats.Moments, kernel, floor: float) -> Example:
    """Map a source from the statistics `a` to `b`: band by band if `kernel` is None, else by a linear filter."""
    z = stats.normalize(example.features, a)
    if kernel is not None:
        z = transport.apply_kernel(z, kernel)
    matched = np.clip(stats.denormalize(z, b), floor, b.highest)
    return dataclasses.replace(example, features=matched)
