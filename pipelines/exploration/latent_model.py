"""A run at the bench: files of records as what its encoder takes, codes, and what codes decode to.

What is coded at once is a picture, or of speech a window of `crop_frames` frames; here either is a *unit*.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Sequence

import numpy as np

from models.errors import UserError
from pipelines.data import dataset, source_features, source_files
from pipelines.exploration import job
from pipelines.inference import outlier_detector
from pipelines.inference.exported_model import Model

MOST_FILES = 2000  # of each domain that are looked at, unless all are wanted
BATCH = 64


@dataclasses.dataclass(frozen=True, eq=False)
class File:
    """A file of the records.

    Attributes:
      source: its line in the manifest.
      x: its units, `[units, ...]`: one of a picture, windows that sound of a recording, see `screening.Coder.units`.
      starts: frames at which the windows begin; 0 of a picture.
      whole: all of it, `[frames, mels]` or `[height, width, channels]`.
    """

    source: source_files.Source
    x: np.ndarray
    starts: np.ndarray
    whole: np.ndarray

    @property
    def id(self) -> str:
        """As in the manifest."""
        return self.source.id

    @property
    def label(self) -> str:
        """The name of the folder that it lies in."""
        return posixpath.basename(posixpath.dirname(self.source.path))


class Lab:
    """A run and records.

    Args:
      asked: what is asked.

    Raises:
      UserError: the run does not encode and decode, or the records have another front end.
    """

    def __init__(self, asked: job.Asked):
        self.asked = asked
        self.coder = outlier_detector.Coder(Model(asked.run_dir), asked.run_dir)
        self.model, self.spec, self.frames = self.coder.model, self.coder.model.spec, self.coder.frames
        self.data = dataset.open_records(asked.data_dir)
        if self.data.spec.features != self.spec.features:
            raise UserError(f"{asked.data_dir} has another front end than {asked.run_dir}")

    @property
    def run(self) -> dict:
        """The run's whole configuration."""
        return self.model.facts["run"]

    def files(self, split: str, *, most: int | None = MOST_FILES) -> list[File]:
        """The files of a split of every domain, by domain and then by id; of speech those that sound.

        Where there are more than `most` in a domain, those are taken that a hash of their ids chooses. Where all are
        asked for, by None, so are all windows of each.

        Raises:
          UserError: there is none.
        """
        found = [file for name in self.data.spec.domains for file in self._of(split, name, most)]
        if not found:
            more = "" if split == "train" else f", or --{split}_fraction of preprocess"
            raise UserError(f"{self.data.data_dir}: no file in the {split} split; see --split{more}")
        return found

    def _of(self, split: str, domain: str, most: int | None) -> list[File]:
        kept = source_features.hash_sample(source_features.sources_with_sound(self.data, split, domain), most, "lab")
        found = []
        for source, whole in source_features.read_sources(self.data, split, domain, kept):
            x, starts = self.coder.units(whole, every=most is None)
            found.append(File(source, x, starts, whole))
        return sorted(found, key=lambda file: file.id)

    def refuse_training(self, why: str) -> None:
        """Raises UserError where the looked-at split is the training split, with the reason."""
        if self.asked.split == "train":
            raise UserError(f"--split=train: {why}; wanted val or test")

    def some(self, found: Sequence, most: int) -> Sequence:
        """So many of files or units, in their order, that the seed chooses: the first ones would be of one folder."""
        if len(found) <= most:
            return found
        kept = np.sort(np.random.default_rng(self.asked.seed).permutation(len(found))[:most])
        return found[kept] if isinstance(found, np.ndarray) else [found[n] for n in kept]

    # ---------------------------------------------------------------- codes

    def codes(self, files: Sequence[File]) -> list[np.ndarray]:
        """The codes of each file's units, `[units, latent]`, means of q(z|x) where the plugin has one."""
        return split_like(self.coder.call("encode", joined(files)), files)

    def drawn_codes(self, files: Sequence[File]) -> np.ndarray:
        """Codes `[units, latent]` of the aggregate posterior: of all units, drawn from q(z|x) where there is one."""
        x = joined(files)
        mean = self.coder.call("encode", x)
        if "log_variance" not in self.model.signatures:
            return mean
        noise = np.random.default_rng(self.asked.seed).normal(size=mean.shape)
        return mean + np.exp(0.5 * self.coder.call("log_variance", x)) * noise

    def divergences(self, files: Sequence[File]) -> np.ndarray | None:
        """Mean KL(q(z|x) || p(z)) of each dimension in nats, `[latent]`; None where the plugin has no q(z|x)."""
        if "log_variance" not in self.model.signatures:
            return None
        x = joined(files)
        mean, log_var = self.coder.call("encode", x), self.coder.call("log_variance", x)
        return np.mean(0.5 * (np.square(mean) + np.exp(log_var) - 1 - log_var), axis=0)

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """Features of codes `[n, latent]`: pictures or windows. Of `[n, units, latent]`: pictures or recordings."""
        speech = self.spec.kind == "audio"
        if codes.ndim == 3:
            shaped = codes if speech else codes[:, 0]
        else:
            shaped = codes[:, None] if speech else codes
        parts = [shaped[n : n + BATCH].astype(np.float32) for n in range(0, len(shaped), BATCH)]
        return np.concatenate([self.model.call("decode", code=part) for part in parts])

    def reconstructed(self, file: File) -> np.ndarray:
        """What becomes of a whole file."""
        return self.model.call("reconstruct", features=file.whole[None].astype(np.float32))[0]

    def sounds(self, log_mels: np.ndarray) -> np.ndarray:
        """Waveforms of log-mels `[n, frames, mels]`, by the model's own inversion."""
        return np.stack(self.model.inverted(list(log_mels)))

    def plain(self, x: np.ndarray) -> np.ndarray:
        """Features in units in which distances count: speech per band, pictures as they are."""
        return x / self.coder.deviation


def joined(files: Sequence[File]) -> np.ndarray:
    """The units of all files, `[units, ...]`."""
    return np.concatenate([file.x for file in files])


def split_like(values: np.ndarray, files: Sequence[File]) -> list[np.ndarray]:
    """The inverse of :func:`joined`, for values of units."""
    return np.split(values, np.cumsum([len(file.x) for file in files])[:-1])


def means_of(values: Sequence[np.ndarray]) -> np.ndarray:
    """Of each file the mean over its units, `[files, ...]`."""
    return np.stack([each.mean(axis=0) for each in values])
