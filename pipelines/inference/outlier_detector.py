"""Is a file like what a run was trained on? Raw scores by its encoder, and the detector that `explore` leaves in it."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import tensorflow as tf

from models import outliers
from models.errors import UserError
from models.features import audio, image
from pipelines import files, stable_hash
from pipelines.data import fingerprint

if TYPE_CHECKING:
    from pipelines.inference.exported_model import Model

BATCH = 64  # units that are encoded at once
FRAMES = 4096  # of a recording that are looked at, in windows that a stable hash chooses
CHUNK_FRAMES = 1024  # about as many are read at a time; what sounds is told within them
FACTS, ARRAYS = "outliers.json", "outliers.npz"


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

    def units(self, features: np.ndarray, *, every: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What is coded at once, `[units, ...]`, and the frames at which it begins.

        A picture is one unit. Of a recording, the full windows in which something sounds; the last of a longer one
        is left out where it is not full, and a short one is filled up with silence. Of a long one, as many windows
        as make `FRAMES` frames: those that a stable hash of their places chooses, whether it is read from records or
        from a file.

        Args:
          features: of a file, `[frames, mels]` or `[height, width, channels]`.
          every: all windows of a recording, however long it is.
        """
        if self.spec.kind == "image":
            return features[None], np.zeros(1, int)
        chunks = (features[n : n + self._chunk] for n in range(0, len(features), self._chunk))
        return self._windows(chunks, None if every else self._most)

    def units_of(self, file: BinaryIO) -> tuple[np.ndarray, np.ndarray]:
        """The :meth:`units` of a file, at the front end's size or level; of a recording in constant memory.

        Raises:
          UserError: it cannot be read, and why.
        """
        if self.spec.kind == "image":
            return self.units(image.to_unit(image.read(file, self.spec.features)))
        meter = audio.measure_level(file, self.spec.features)
        parts = audio.segments(file, self.spec.features, meter.gain(), self._chunk, channel=meter.channel)
        return self._windows(parts, self._most)

    @property
    def _most(self) -> int:
        """Windows of a recording that are looked at."""
        return max(1, FRAMES // self.frames)

    @property
    def _chunk(self) -> int:
        """Frames that are read at a time, whole windows."""
        return self.frames * max(1, CHUNK_FRAMES // self.frames)

    def _windows(self, chunks: Iterable[np.ndarray], most: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The windows of a recording that arrives in chunks, `[windows, frames, mels]`, and where they begin."""
        nearest: list[tuple[float, int, np.ndarray]] = []
        first, at = None, 0
        for chunk in chunks:
            missing = 0 if at else max(0, self.frames - len(chunk))
            x = np.pad(chunk, ((0, missing), (0, 0)), constant_values=self.spec.features.log_floor)
            first = x[: self.frames] if first is None else first
            sounding = audio.active_frames(x, self.spec.features)
            for n in range(0, len(x) - self.frames + 1, self.frames):
                if sounding[n : n + self.frames].any():
                    place = stable_hash.stable_fraction(f"unit:{at + n}")
                    nearest.append((place, at + n, np.array(x[n : n + self.frames])))
            nearest = sorted(nearest, key=lambda each: each[0])[:most]
            at += len(chunk)
        kept = sorted(nearest, key=lambda each: each[1]) or [(0.0, 0, first)]
        return np.stack([window for *_, window in kept]), np.array([start for _, start, _ in kept])

    def call(self, name: str, units: np.ndarray) -> np.ndarray:
        """A signature of features, on units: `[units, ...]`."""
        parts = [units[n : n + BATCH].astype(np.float32) for n in range(0, len(units), BATCH)]
        outputs = np.concatenate([self.model.call(name, features=part) for part in parts])
        windowed = self.spec.kind == "audio" and name != "reconstruct"
        return outputs[:, 0] if windowed else outputs

    def scores(self, units: np.ndarray, reference: outliers.Reference, codes: np.ndarray | None = None) -> dict:
        """Raw scores of units by name, `[units]` each.

        Args:
          units: `[units, ...]`.
          reference: where training codes lie.
          codes: of the units, if they are there already.
        """
        codes = self.call("encode", units) if codes is None else codes
        reconstructed = self.call("reconstruct", units)
        error = np.square((units - reconstructed) / self.deviation).reshape(len(units), -1).mean(axis=1)
        scores = {"reconstruction": error, "mahalanobis": reference.mahalanobis(codes), "knn": reference.knn(codes)}
        if "negative_elbo" in self.model.signatures:
            scores["negative_elbo"] = self.call("negative_elbo", units)
        return scores | {"sharpness": outliers.sharpness(units / self.deviation, reconstructed / self.deviation)}


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
        return self.score_units(self.coder.units(features)[0])

    def score_units(self, units: np.ndarray) -> float:
        """How strange the file is that these units `[units, ...]` are of."""
        scores = self.coder.scores(units, self.reference)
        return float(self.calibration.combined({name: values.mean()[None] for name, values in scores.items()})[0])

    def why_unlike(self, file: BinaryIO) -> str | None:
        """Why a file is unlike the training files; None where it is like them.

        Raises:
          UserError: it cannot be read.
        """
        file.seek(0)
        score = self.score_units(self.coder.units_of(file)[0])
        if score <= self.threshold:
            return None
        return f"unlike the training data: outlier score {score:.3g}, threshold {self.threshold:.3g}"

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
        files.write(posixpath.join(run_dir, ARRAYS), out.getvalue())
        fields = {k: np.asarray(v).tolist() for k, v in dataclasses.asdict(self.calibration).items()}
        content = {
            "threshold": self.threshold,
            "weights": fingerprint.export_hash(run_dir),
            **facts,
            "calibration": fields,
        }
        files.write(posixpath.join(run_dir, FACTS), json.dumps(content, indent=2).encode())

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
        content = files.read_json(path, "what explore --do=outliers writes")
        if content.get("weights") != fingerprint.export_hash(run_dir):
            raise UserError(f"{path} is of other weights than {run_dir} has now; explore --do=outliers fits it anew")
        arrays = np.load(io.BytesIO(files.read(posixpath.join(run_dir, ARRAYS))))
        reference = outliers.Reference(*(arrays[f"reference_{name}"] for name in ("mean", "whitening", "codes")))
        names = tuple(content["calibration"].pop("names"))
        calibration = outliers.Calibration(names, **{k: np.array(v) for k, v in content["calibration"].items()})
        return cls(Coder(model, run_dir), reference, calibration, content["threshold"])
