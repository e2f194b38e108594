"""Is a file like what a run was trained on? Raw scores by its encoder, and the detector that `explore` leaves in it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import posixpath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import tensorflow as tf

from models import outliers
from models.errors import UserError
from models.features import audio, image

if TYPE_CHECKING:
    from pipelines.conversion import Model

BATCH = 64  # units that are encoded at once
FRAMES = 4096  # of a recording that are looked at
FACTS, ARRAYS = "outliers.json", "outliers.npz"
WEIGHTS = "export/variables/variables.index"  # holds a checksum of every weight


class Coder:
    """A model that encodes and decodes, on the units of files.

    Args:
      model: the exported run.
      run_dir: its name, for errors.

    Raises:
      UserError: it does not encode and decode.
    """

    def __init__(self, model: Model, run_dir: str):
        missing = [name for name in ("encode", "decode", "reconstruct") if name not in model.signatures]
        if missing:
            raise UserError(f"{run_dir}: plugin {model.facts['run']['plugin']} does not {missing[0]}")
        self.model, self.spec = model, model.spec
        self.frames = model.facts["run"]["config"].get("crop_frames", 32)

    @functools.cached_property
    def deviation(self) -> np.ndarray | float:
        """What distances between features are divided by: of speech each band's deviation."""
        return self.spec.overall.std.astype(np.float32) if self.spec.kind == "audio" else 1.0

    def units(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is coded at once, `[units, ...]`, and the frames at which it begins.

        A picture is one unit. Of a recording, the full windows in which something sounds; the last of a longer one
        is left out where it is not full, and a short one is filled up with silence.
        """
        if self.spec.kind == "image":
            return features[None], np.zeros(1, int)
        missing = max(0, self.frames - len(features))
        x = np.pad(features, ((0, missing), (0, 0)), constant_values=self.spec.features.log_floor)
        starts = np.arange(0, len(x) - self.frames + 1, self.frames)
        sounding = audio.active_frames(x, self.spec.features)
        kept = [start for start in starts if sounding[start : start + self.frames].any()] or starts[:1]
        return np.stack([x[start : start + self.frames] for start in kept]), np.array(kept)

    def call(self, name: str, units: np.ndarray) -> np.ndarray:
        """A signature of features, on units: `[units, ...]`."""
        parts = [units[n : n + BATCH].astype(np.float32) for n in range(0, len(units), BATCH)]
        found = np.concatenate([self.model.call(name, features=part) for part in parts])
        windowed = self.spec.kind == "audio" and name != "reconstruct"
        return found[:, 0] if windowed else found

    def scores(self, units: np.ndarray, reference: outliers.Reference, codes: np.ndarray | None = None) -> dict:
        """Raw scores of units by name, `[units]` each.

        Args:
          units: `[units, ...]`.
          reference: where training codes lie.
          codes: of the units, if they are there already.
        """
        codes = self.call("encode", units) if codes is None else codes
        made = self.call("reconstruct", units)
        error = np.square((units - made) / self.deviation).reshape(len(units), -1).mean(axis=1)
        found = {"reconstruction": error, "mahalanobis": reference.mahalanobis(codes), "knn": reference.nearest(codes)}
        if "negative_elbo" in self.model.signatures:
            found["negative_elbo"] = self.call("negative_elbo", units)
        return found | {"sharpness": outliers.sharpness(units / self.deviation, made / self.deviation)}

    def read(self, file: BinaryIO) -> np.ndarray:
        """The features of a file, at the front end's size or level.

        Raises:
          UserError: it cannot be read, and why.
        """
        if self.spec.kind == "image":
            return image.to_unit(image.read(file, self.spec.features))
        gain = audio.survey(file, self.spec.features).gain()
        file.seek(0)
        return next(iter(audio.segments(file, self.spec.features, gain, FRAMES)))


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """What `explore --do=outliers` leaves in a run.

    Attributes:
      coder: the run's model.
      reference: codes of training files.
      calibration: of the scores.
      threshold: the combined score above which a file is unlike the training files.
    """

    coder: Coder
    reference: outliers.Reference
    calibration: outliers.Calibration
    threshold: float

    def score(self, features: np.ndarray) -> float:
        """How strange a file is, all scores together; of speech the scores' means over windows."""
        units, _ = self.coder.units(features)
        scores = self.coder.scores(units, self.reference)
        return float(self.calibration.combined({name: found.mean()[None] for name, found in scores.items()})[0])

    def why_unlike(self, file: BinaryIO) -> str | None:
        """Why a file is unlike the training files; None where it is like them.

        Raises:
          UserError: it cannot be read.
        """
        file.seek(0)
        found = self.score(self.coder.read(file))
        if found <= self.threshold:
            return None
        return f"unlike the training data: outlier score {found:.3g}, threshold {self.threshold:.3g}"

    def refuse(self, file: BinaryIO) -> None:
        """Raises UserError where a file is unlike the training files, or cannot be read."""
        why = self.why_unlike(file)
        if why:
            raise UserError(why)

    def save(self, run_dir: str, facts: dict) -> None:
        """Writes ``RUN/outliers.npz``, then ``RUN/outliers.json``."""
        arrays = {f"reference_{k}": v.astype(np.float32) for k, v in dataclasses.asdict(self.reference).items()}
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        write(posixpath.join(run_dir, ARRAYS), out.getvalue())
        fields = {k: np.asarray(v).tolist() for k, v in dataclasses.asdict(self.calibration).items()}
        told = {"threshold": self.threshold, "weights": _weights_of(run_dir), **facts, "calibration": fields}
        write(posixpath.join(run_dir, FACTS), json.dumps(told, indent=2).encode())

    @classmethod
    def load(cls, run_dir: str, model: Model, *, kind: str | None = None) -> Detector:
        """The detector of a run, whose export is `model`.

        Args:
          run_dir: the run.
          model: its export.
          kind: "audio" or "image", what it is for.

        Raises:
          UserError: there is none, it was fitted to other weights than the run has now, or it is of the other kind.
        """
        if kind and model.spec.kind != kind:
            raise UserError(f"{run_dir} knows files of the kind {model.spec.kind}; these are of the kind {kind}")
        path = posixpath.join(run_dir, FACTS)
        if not tf.io.gfile.exists(path):
            raise UserError(f"{run_dir} has no {FACTS}; python -m pipelines.explore --do=outliers writes it")
        with tf.io.gfile.GFile(path) as file:
            told = json.load(file)
        if told.get("weights") != _weights_of(run_dir):
            raise UserError(f"{path} is of other weights than {run_dir} has now; explore --do=outliers fits it anew")
        with tf.io.gfile.GFile(posixpath.join(run_dir, ARRAYS), "rb") as file:
            arrays = np.load(io.BytesIO(file.read()))
            reference = outliers.Reference(*(arrays[f"reference_{name}"] for name in ("mean", "whitening", "codes")))
        names = tuple(told["calibration"].pop("names"))
        calibration = outliers.Calibration(names, **{k: np.array(v) for k, v in told["calibration"].items()})
        return cls(Coder(model, run_dir), reference, calibration, told["threshold"])


def _weights_of(run_dir: str) -> str:
    """A hash by which the weights of an export are known."""
    with tf.io.gfile.GFile(posixpath.join(run_dir, WEIGHTS), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def write(path: str, content: bytes) -> None:
    """Writes a file, and the folders above it, whole or not at all."""
    tf.io.gfile.makedirs(posixpath.dirname(path) or ".")
    with tf.io.gfile.GFile(f"{path}.part", "wb") as file:
        file.write(content)
    tf.io.gfile.rename(f"{path}.part", path, overwrite=True)
