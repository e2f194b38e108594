"""Validation during training: metrics of the validation split, and model outputs for TensorBoard."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from models.features.spec import Spec
from pipelines.data import dataset, input_pipeline, source_features
from pipelines.training import alarms, metrics_log
from pipelines.training.data_loader import DataLoader
from pipelines.training.step_metrics import SPEED_METRICS, Meter

MAX_EXAMPLES = 512  # of one validation
NUM_SAMPLES = 4  # examples of each domain whose outputs are logged as images and audio
SAMPLE_FRAMES = 128  # length of each sample of speech


class Validator:
    """Validates a plugin while it trains.

    Args:
      loader: batches of the records.
      eval_step: a function from a distributed batch to metrics.
      signatures: signatures of the plugin, and `invert` for speech.
    """

    def __init__(self, loader: DataLoader, eval_step: Callable, signatures: Mapping[str, Callable]):
        self.loader, self.eval_step, self.signatures = loader, eval_step, signatures

    def metric_names(self) -> list[str]:
        """Return the names of the metrics without computing them."""
        batch = self.loader.next(self.loader.batches("val", 0))
        return list(self.eval_step.get_concrete_function(batch).structured_outputs)

    def metrics(self) -> dict[str, float]:
        """Return the means of the metrics over the validation split, `MAX_EXAMPLES` examples at most."""
        loader, meter = self.loader, Meter()
        batches = loader.batches("val", 0)
        for _ in range(num_batches(loader.data, loader.plugin_class, loader.config)):
            meter.add(self.eval_step(loader.next(batches)), 0.0)
        return {name: value for name, value in meter.read().items() if name not in SPEED_METRICS}

    def log_outputs(self, log: metrics_log.MetricsLog, step: int) -> dict[str, float]:
        """Log model outputs for a few validation examples; return their diversity where there are several."""
        spec = self.loader.data.spec
        pairs = metrics_log.log_samples(log, spec, self.signatures, self.sample_features, step)
        ratios = [alarms.diversity(*pair) for pair in pairs if min(map(len, pair)) > 1]
        return {"diversity": min(ratios)} if ratios else {}

    @functools.cached_property
    def sample_features(self) -> dict[str, np.ndarray]:
        """Features of a few validation examples of each domain, one excerpt each."""
        return sample_features(self.loader.data)


def num_batches(data: dataset.Records, plugin_class: type, plugin_config) -> int:
    """Return the number of batches of a validation: one epoch of the split, `MAX_EXAMPLES` examples at most.

    Every validation has the same batches; the random order of the epoch decides which records are left out.
    """
    rows = input_pipeline.rows_of_epoch(data, plugin_class, plugin_config, "val")
    return -(-min(MAX_EXAMPLES, rows) // plugin_config.batch_size)


def sample_features(data: dataset.Records) -> dict[str, np.ndarray]:
    """Return features `[n, ...]` of a few validation examples of each domain, selected by a stable hash."""
    samples = {}
    for name in data.spec.domains:
        sources = source_features.sources_with_sound(data, "val", name)
        if selected_sources := source_features.hash_sample(sources, NUM_SAMPLES, "sample"):
            excerpts = source_features.read_excerpts(data, "val", name, selected_sources, SAMPLE_FRAMES)
            samples[name] = np.stack([_pad_frames(x, data.spec) for _, _, x in excerpts])
    return samples


def _pad_frames(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Pad speech with silence to `SAMPLE_FRAMES`; return images unchanged."""
    if spec.kind == "image":
        return x
    return np.pad(x, ((0, SAMPLE_FRAMES - len(x)), (0, 0)), constant_values=spec.features.log_floor)
