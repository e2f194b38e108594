"""What of the validation split is looked at while a run trains."""

from __future__ import annotations

import numpy as np

from models.features.spec import Spec
from pipelines.data import dataset, input_pipeline, source_features

EXAMPLES = 512  # that a validation goes through at most: the forward passes of so many, ten times in a run
SAMPLES = 4  # examples of each domain that are shown as pictures and sound
FRAMES = 128  # of each that is speech


def batches_of(data: dataset.Records, plugin_class: type, plugin_config) -> int:
    """How many batches a validation goes through: an epoch of the split, `EXAMPLES` rows of it at most.

    They are the same in every validation, and records that are left out are so by the random order of the epoch.
    """
    rows = input_pipeline.rows_of_epoch(data, plugin_class, plugin_config, "val")
    return -(-min(EXAMPLES, rows) // plugin_config.batch_size)


def samples(data: dataset.Records) -> dict[str, np.ndarray]:
    """A few validation examples of each domain that a stable hash chooses, `[n, ...]`; of speech a stretch each."""
    samples = {}
    for name in data.spec.domains:
        if few := source_features.hash_sample(source_features.sources_with_sound(data, "val", name), SAMPLES, "sample"):
            excerpts = source_features.read_excerpts(data, "val", name, few, FRAMES)
            samples[name] = np.stack([_filled(x, data.spec) for _, _, x in excerpts])
    return samples


def _filled(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Speech filled up with silence; pictures as they are."""
    if spec.kind == "image":
        return x
    return np.pad(x, ((0, FRAMES - len(x)), (0, 0)), constant_values=spec.features.log_floor)
