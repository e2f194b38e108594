"""Results of a translation model on evaluation examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from models.features import inversion
from models.features.spec import Spec
from pipelines.evaluation.examples import Example
from pipelines.inference.exported_model import BATCH_FILES, Model


def translate(model: Model, examples: Sequence[Example], source: str, target: str) -> list[Example]:
    """Return the examples with the features of their translations.

    Recordings are translated one by one, with silence at both ends; images in batches of `BATCH_FILES`, because the
    activations of an image of 256 x 256 pixels take about 30 MB.

    Args:
      model: an export that translates.
      examples: of the source domain.
      source: source domain.
      target: target domain.
    """
    _, translate_batch = model.translation(target, source)
    if model.spec.kind == "image":
        batches = (examples[n : n + BATCH_FILES] for n in range(0, len(examples), BATCH_FILES))
        translated = (y for batch in batches for y in translate_batch(np.stack([x.features for x in batch])))
        return [dataclasses.replace(x, features=y) for x, y in zip(examples, translated, strict=True)]
    edge, floor = inversion.edge(model.context), model.spec.features.log_floor
    results = []
    for x in examples:
        padded = np.pad(x.features, ((edge, edge), (0, 0)), constant_values=floor).astype(np.float32)
        translated = translate_batch(padded[None])[0]
        results.append(dataclasses.replace(x, features=translated[edge : len(translated) - edge]))
    return results


def are_finite(results: Sequence[Example]) -> np.ndarray:
    """Return whether all features of each result are finite, bool `[n]`: a model that has diverged may return NaN."""
    return np.array([bool(np.isfinite(x.features).all()) for x in results])


def replace_non_finite(results: Sequence[Example], spec: Spec) -> list[Example]:
    """Return the results with silence (speech) or grey (images) for values that are infinite or NaN.

    Inverters, metrics and the report need finite values.
    """
    value = spec.features.log_floor if spec.kind == "audio" else 0.0
    fill = {"nan": value, "posinf": value, "neginf": value}
    return [dataclasses.replace(x, features=np.nan_to_num(x.features, **fill)) for x in results]
