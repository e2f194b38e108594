"""Logs of a training run: `metrics.jsonl`, and scalars, images and audio for TensorBoard."""

from __future__ import annotations

import itertools
import json
import math
import posixpath
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from models.features.audio import AudioSpec
from models.features.spec import Spec
from pipelines import files
from pipelines.reporting import plots

NUM_SAMPLES = 16  # samples from noise, of models that can generate them


class MetricsLog:
    """The logs of one run.

    Args:
      run_dir: the run directory.
      step: step at which training starts or resumes; later rows of an earlier attempt are dropped.
      writes: whether files are written; of several workers only the chief writes.
    """

    def __init__(self, run_dir: str, step: int, *, writes: bool = True):
        self.path, self.writes = posixpath.join(run_dir, "metrics.jsonl"), writes
        self.rows = [row for row in read_metrics(run_dir) if row["step"] <= step]
        self.writer = tf.summary.create_noop_writer()
        if writes:
            self.flush()
            self.writer = tf.summary.create_file_writer(posixpath.join(run_dir, "logs"))

    def log_hparams(self, plugin: str, config: Mapping) -> None:
        """Log the plugin and its configuration as TensorBoard hyperparameters."""
        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in config.items()
        }
        with self.writer.as_default(step=0):
            hparams.hparams({"plugin": plugin, **plain})

    def log_scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Log a row of metrics; values that are not finite are null in `metrics.jsonl`."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.rows.append({"split": split, "step": step, **finite})
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{split}/{name}", value)

    def log_images(self, name: str, step: int, images: np.ndarray) -> None:
        """Log images `[n, height, width, channels]` in [-1, 1]."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, (np.asarray(images) + 1) / 2, max_outputs=len(images))

    def log_spectrogram(self, name: str, step: int, log_mels: np.ndarray, spec: AudioSpec) -> None:
        """Log a plot of log-mels `[frames, mels]`."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, tf.io.decode_png(plots.plot_log_mels({"": log_mels}, spec), channels=3)[None])

    def log_audio(self, name: str, step: int, waveforms: np.ndarray, spec: AudioSpec) -> None:
        """Log waveforms `[n, samples]`."""
        with self.writer.as_default(step=step):
            tf.summary.audio(name, np.asarray(waveforms)[..., None], spec.sample_rate_hz, max_outputs=len(waveforms))

    def flush(self) -> None:
        """Write all rows to `metrics.jsonl`."""
        if not self.writes:
            return
        files.write(self.path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())


def read_metrics(run_dir: str) -> list[dict]:
    """Return the rows of a run's `metrics.jsonl`; no rows if there is no such file.

    Raises:
      OSError: it cannot be read.
      UserError: a line is not a JSON object.
    """
    path = posixpath.join(run_dir, "metrics.jsonl")
    return list(files.read_rows(path, "a row of metrics; remove the line")) if tf.io.gfile.exists(path) else []


def log_samples(log: MetricsLog, spec: Spec, signatures: Mapping, samples: Mapping[str, np.ndarray], step: int) -> list:
    """Log the outputs of a model for fixed validation examples, or for noise.

    Args:
      log: the log.
      spec: of the data.
      signatures: of the plugin, and for speech `invert` of `export`.
      samples: domain name to features `[n, ...]`.
      step: the step.

    Returns:
      Pairs of outputs and the examples to compare them with, features `[n, ...]`.
    """
    pairs = []
    for title, outputs, examples in _model_outputs(spec, signatures, samples):
        pairs.append((outputs, examples))
        if spec.kind == "image":
            log.log_images(title, step, outputs)
        else:
            log.log_spectrogram(title, step, np.concatenate(outputs), spec.features)
            frames = np.full(len(outputs), outputs.shape[1], np.int32)
            waveforms = np.clip(signatures["invert"](outputs, frames, 0)["waveform"], -1, 1)
            log.log_audio(f"{title}/sound", step, waveforms, spec.features)
    return pairs


def _model_outputs(spec: Spec, signatures: Mapping, samples: Mapping) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield title, output features, and the examples to compare them with."""
    sources = {"translate_ab": spec.domains[:1], "translate_ba": spec.domains[1:2], "reconstruct": spec.domains}
    for name, domains in sources.items():
        for domain in (d for d in domains if name in signatures and d in samples):
            yield f"{name}/{domain}", signatures[name](samples[domain]).numpy(), samples[domain]
    indices = [n for n, name in enumerate(spec.domains) if name in samples and "translate_to" in signatures]
    for source, target in itertools.product(indices, range(len(spec.domains))):
        if source == target:
            continue
        outputs = signatures["translate_to"](samples[spec.domains[source]], source, target).numpy()
        yield f"translate_to_{spec.domains[target]}/{spec.domains[source]}", outputs, samples[spec.domains[source]]
    if "sample" in signatures:
        examples = np.concatenate(list(samples.values()))
        outputs = signatures["sample"](NUM_SAMPLES, 0).numpy()
        yield "sample", outputs, examples[:, : outputs.shape[1]]
