"""What a run writes while it trains: `metrics.jsonl`, and scalars, pictures and audio for TensorBoard."""

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

NUM_SAMPLES = 16  # that a model makes of noise, where it can


class MetricsLog:
    """The logs of one run.

    Args:
      run_dir: the run.
      step: where it goes on; later lines of an earlier attempt are dropped.
      writes: whether anything is written; of several workers only the chief does.
    """

    def __init__(self, run_dir: str, step: int, *, writes: bool = True):
        self.path, self.writes = posixpath.join(run_dir, "metrics.jsonl"), writes
        self.rows = [row for row in read_metrics(run_dir) if row["step"] <= step]
        self.writer = tf.summary.create_noop_writer()
        if writes:
            self.flush()
            self.writer = tf.summary.create_file_writer(posixpath.join(run_dir, "logs"))

    def configuration(self, plugin: str, keys: Mapping) -> None:
        """Adds the configuration for TensorBoard's hparams."""
        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in keys.items()
        }
        with self.writer.as_default(step=0):
            hparams.hparams({"plugin": plugin, **plain})

    def scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Adds a line, and a point to each curve; values that are not finite are null in the line."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.rows.append({"split": split, "step": step, **finite})
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{split}/{name}", value)

    def pictures(self, name: str, step: int, pictures: np.ndarray) -> None:
        """Adds pictures, `[n, height, width, channels]` in [-1, 1]."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, (np.asarray(pictures) + 1) / 2, max_outputs=len(pictures))

    def spectrogram(self, name: str, step: int, log_mels: np.ndarray, spec: AudioSpec) -> None:
        """Adds a plot of log-mels `[frames, mels]`."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, tf.io.decode_png(plots.plot_log_mels({"": log_mels}, spec), channels=3)[None])

    def audio(self, name: str, step: int, waveforms: np.ndarray, spec: AudioSpec) -> None:
        """Adds sounds, `[n, samples]`."""
        with self.writer.as_default(step=step):
            tf.summary.audio(name, np.asarray(waveforms)[..., None], spec.sample_rate_hz, max_outputs=len(waveforms))

    def flush(self) -> None:
        """Brings all lines to the disk."""
        if not self.writes:
            return
        files.write(self.path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())


def read_metrics(run_dir: str) -> list[dict]:
    """The lines of a run's `metrics.jsonl`; none where there is no such file.

    Raises:
      OSError: it cannot be read.
      UserError: a line that is no JSON object.
    """
    path = posixpath.join(run_dir, "metrics.jsonl")
    return list(files.read_rows(path, "a line of metrics; take it out")) if tf.io.gfile.exists(path) else []


def log_samples(log: MetricsLog, spec: Spec, signatures: Mapping, samples: Mapping[str, np.ndarray], step: int) -> list:
    """Adds what the model makes of fixed validation samples, or of noise.

    Args:
      log: where to.
      spec: of the data.
      signatures: of the plugin, and for speech `invert` of `export`.
      samples: domain name to `[n, ...]` features.
      step: the step.

    Returns:
      Pairs of what was made and what it is to be held against, `[n, ...]` features.
    """
    pairs = []
    for title, converted, given in _model_outputs(spec, signatures, samples):
        pairs.append((converted, given))
        if spec.kind == "image":
            log.pictures(title, step, converted)
        else:
            log.spectrogram(title, step, np.concatenate(converted), spec.features)
            frames = np.full(len(converted), converted.shape[1], np.int32)
            sound = np.clip(signatures["invert"](converted, frames, 0)["waveform"], -1, 1)
            log.audio(f"{title}/sound", step, sound, spec.features)
    return pairs


def _model_outputs(spec: Spec, signatures: Mapping, samples: Mapping) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """What and from which domain, the features that came out, and those to hold them against."""
    sources = {"translate_ab": spec.domains[:1], "translate_ba": spec.domains[1:2], "reconstruct": spec.domains}
    for name, domains in sources.items():
        for domain in (d for d in domains if name in signatures and d in samples):
            yield f"{name}/{domain}", signatures[name](samples[domain]).numpy(), samples[domain]
    numbers = [n for n, name in enumerate(spec.domains) if name in samples and "translate_to" in signatures]
    for source, target in itertools.product(numbers, range(len(spec.domains))):
        if source == target:
            continue
        converted = signatures["translate_to"](samples[spec.domains[source]], source, target).numpy()
        yield f"translate_to_{spec.domains[target]}/{spec.domains[source]}", converted, samples[spec.domains[source]]
    if "sample" in signatures:
        everything = np.concatenate(list(samples.values()))
        converted = signatures["sample"](NUM_SAMPLES, 0).numpy()
        yield "sample", converted, everything[:, : converted.shape[1]]
