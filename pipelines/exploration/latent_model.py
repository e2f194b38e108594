"""Latent-space access to a run: units of the records' files, their codes, and decoding.

A *unit* is what the model encodes at once: an image, or a window of `crop_frames` frames of a recording.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Sequence

import numpy as np

import plugins
from models.errors import UserError
from pipelines import config
from pipelines.data import dataset, source_features, source_files
from pipelines.exploration import job
from pipelines.inference import outlier_detector
from pipelines.inference.exported_model import Model

MAX_FILES = 2000  # per domain, unless all files are requested
BATCH_SIZE = 64  # codes per call of the decoder


@dataclasses.dataclass(frozen=True, eq=False)
class File:
    """A source file of the records.

    Attributes:
      source: its row of the manifest.
      units: `[units, ...]`: one for an image, windows with sound for a recording, see `UnitEncoder.extract_units`.
      starts: first frame of each window, `[units]`; 0 for an image.
      features: of the whole file, `[frames, mels]` or `[height, width, channels]`.
    """

    source: source_files.Source
    units: np.ndarray
    starts: np.ndarray
    features: np.ndarray

    @property
    def id(self) -> str:
        """Id in the manifest."""
        return self.source.id

    @property
    def label(self) -> str:
        """Name of the file's folder."""
        return posixpath.basename(posixpath.dirname(self.source.path))


class LatentModel:
    """A run whose model encodes and decodes, and records to analyse it on.

    Args:
      job_config: names the run, the records, the split and the random seed.

    Attributes:
      encoder: encodes units.
      exported: the run's export.
      spec: of the run.
      window_frames: length of a unit of speech in frames.
      data: the records.

    Raises:
      UserError: the model lacks a signature that `UnitEncoder` needs, or the records have another front end.
    """

    def __init__(self, job_config: job.JobConfig):
        self.job_config = job_config
        self.encoder = outlier_detector.UnitEncoder(Model(job_config.run_dir), job_config.run_dir)
        self.exported, self.spec = self.encoder.model, self.encoder.model.spec
        self.window_frames = self.encoder.window_frames
        self.data = dataset.open_records(job_config.data_dir)
        if self.data.spec.features != self.spec.features:
            raise UserError(f"{job_config.data_dir} has another front end than {job_config.run_dir}")

    @property
    def run_config(self) -> dict:
        """The run's whole configuration."""
        return self.exported.facts["run"]

    @property
    def plugin_config(self) -> dict:
        """The plugin's configuration, under the current names of its keys if the plugin is installed."""
        name, fields = self.run_config["plugin"], self.run_config["config"]
        return config.rename_keys(plugins.load(name).Config, fields) if name in plugins.available() else fields

    def files(self, split: str, *, max_files: int | None = MAX_FILES) -> list[File]:
        """Read the files of a split, sorted by domain and id, without recordings that have no sound.

        Args:
          split: "train", "val" or "test".
          max_files: maximum per domain; a stable hash of the ids selects. None for all files with all windows of each.

        Raises:
          UserError: the split is empty.
        """
        files = [file for name in self.data.spec.domains for file in self._domain_files(split, name, max_files)]
        if not files:
            more = "" if split == "train" else f", or --{split}_fraction of preprocess"
            raise UserError(f"{self.data.data_dir}: no file in the {split} split; see --split{more}")
        return files

    def _domain_files(self, split: str, domain: str, max_files: int | None) -> list[File]:
        candidates = source_features.sources_with_sound(self.data, split, domain)
        selected = source_features.hash_sample(candidates, max_files, "lab")
        files = []
        for source, features in source_features.read_sources(self.data, split, domain, selected):
            units, starts = self.encoder.extract_units(features, all_windows=max_files is None)
            files.append(File(source, units, starts, features))
        return sorted(files, key=lambda file: file.id)

    def require_held_out_split(self, reason: str) -> None:
        """Raise UserError with the reason if the analysed split is the training split."""
        if self.job_config.split == "train":
            raise UserError(f"--split=train: {reason}; wanted val or test")

    def subsample(self, values: Sequence, max_count: int) -> Sequence:
        """Return at most `max_count` random files or units in their original order; the first ones share a folder."""
        if len(values) <= max_count:
            return values
        indices = np.sort(np.random.default_rng(self.job_config.seed).permutation(len(values))[:max_count])
        return values[indices] if isinstance(values, np.ndarray) else [values[n] for n in indices]

    # ---------------------------------------------------------------- codes

    def encode(self, files: Sequence[File]) -> list[np.ndarray]:
        """Return the codes of each file's units, `[units, latent]`: means of q(z|x) if the plugin has one."""
        return split_by_file(self.encoder.call("encode", concatenate_units(files)), files)

    def sample_codes(self, files: Sequence[File]) -> np.ndarray:
        """Sample the aggregate posterior: one code per unit, `[units, latent]`, drawn from q(z|x) if there is one."""
        x = concatenate_units(files)
        mean = self.encoder.call("encode", x)
        if "log_variance" not in self.exported.signatures:
            return mean
        noise = np.random.default_rng(self.job_config.seed).normal(size=mean.shape)
        return mean + np.exp(0.5 * self.encoder.call("log_variance", x)) * noise

    def kl_divergences(self, files: Sequence[File]) -> np.ndarray | None:
        """Return the mean KL(q(z|x) || p(z)) of each dimension in nats, `[latent]`; None without q(z|x)."""
        if "log_variance" not in self.exported.signatures:
            return None
        x = concatenate_units(files)
        mean, log_var = self.encoder.call("encode", x), self.encoder.call("log_variance", x)
        return np.mean(0.5 * (np.square(mean) + np.exp(log_var) - 1 - log_var), axis=0)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decode codes to features.

        Args:
          codes: `[n, latent]`, decoded to images or windows, or `[n, units, latent]`, decoded to images (of the first
            unit) or recordings.
        """
        is_speech = self.spec.kind == "audio"
        if codes.ndim == 3:
            inputs = codes if is_speech else codes[:, 0]
        else:
            inputs = codes[:, None] if is_speech else codes
        batches = [inputs[n : n + BATCH_SIZE].astype(np.float32) for n in range(0, len(inputs), BATCH_SIZE)]
        return np.concatenate([self.exported.call("decode", code=batch) for batch in batches])

    def reconstruct(self, file: File) -> np.ndarray:
        """Return the reconstruction of a whole file's features."""
        return self.exported.call("reconstruct", features=file.features[None].astype(np.float32))[0]

    def invert(self, log_mels: np.ndarray) -> np.ndarray:
        """Invert log-mels `[n, frames, mels]` to waveforms `[n, samples]`."""
        return np.stack(self.exported.invert_clips(list(log_mels)))

    def scale(self, x: np.ndarray) -> np.ndarray:
        """Scale features for distances: log-mels by each band's standard deviation; images are unchanged."""
        return x / self.encoder.feature_scale


def concatenate_units(files: Sequence[File]) -> np.ndarray:
    """Concatenate the units of all files, `[units, ...]`."""
    return np.concatenate([file.units for file in files])


def split_by_file(values: np.ndarray, files: Sequence[File]) -> list[np.ndarray]:
    """Split values of concatenated units by file: the inverse of :func:`concatenate_units`."""
    return np.split(values, np.cumsum([len(file.units) for file in files])[:-1])


def file_means(values: Sequence[np.ndarray]) -> np.ndarray:
    """Average the values of each file's units, `[files, ...]`."""
    return np.stack([units.mean(axis=0) for units in values])
