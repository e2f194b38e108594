"""Out-of-distribution detection of files by a run's encoder and decoder.

`UnitEncoder` splits files into units and computes their raw scores. `Detector` combines the scores and compares them
with a threshold; `explore --do=outliers` fits it and stores it in the run.
"""

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
from models.features.audio_spec import AudioSpec
from models.recognition import content_encoder
from pipelines import files, stable_hash
from pipelines.data import fingerprint

if TYPE_CHECKING:
    from pipelines.inference.exported_model import Model
BATCH_SIZE = 64  # units per call of the model
MAX_FRAMES = 4096  # of a recording that are scored, in windows that a stable hash selects
CHUNK_FRAMES = 1024  # approximate number of frames that are read, and searched for sound, at a time
JSON_FILE, ARRAYS_FILE = "outliers.json", "outliers.npz"


class UnitEncoder:
    """Splits files into units and encodes, reconstructs and scores these.

    A unit is an image, or a window of `window_frames` frames of a recording.

    Args:
      model: the exported run.
      run_dir: path of the run, for errors.

    Raises:
      UserError: the model lacks one of the signatures `encode`, `decode` and `reconstruct`.
    """

    def __init__(self, model: Model, run_dir: str):
        missing = [name for name in ("encode", "decode", "reconstruct") if name not in model.signatures]
        if missing:
            raise UserError(
                f"{run_dir}: plugin {model.facts['run']['plugin']} has no signature {missing[0]}; wanted a run whose "
                "plugin has encode, decode and reconstruct"
            )
        self.model, self.spec = model, model.spec
        self.window_frames = model.facts["run"]["config"].get("crop_frames", 32)

    @functools.cached_property
    def feature_scale(self) -> np.ndarray | float:
        """Divisor of features before distances are computed: each mel band's standard deviation; 1 for images."""
        return self.spec.overall.std.astype(np.float32) if self.spec.kind == "audio" else 1.0

    def extract_units(self, features: np.ndarray, *, all_windows: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Split the features of a file into units.

        An image is one unit. A recording is split into adjacent windows; windows without sound are left out, and so
        is an incomplete last window. A recording shorter than a window is padded with silence. Of a long recording,
        windows of `MAX_FRAMES` frames in total are selected by a stable hash of their positions, which selects the
        same windows from records and from the file.

        Args:
          features: `[frames, mels]` or `[height, width, channels]`.
          all_windows: keep all windows with sound, however long the recording is.

        Returns:
          Units `[units, ...]`, and the frame at which each begins, `[units]`.
        """
        if self.spec.kind == "image":
            return features[None], np.zeros(1, int)
        chunks = (features[n : n + self._chunk_frames] for n in range(0, len(features), self._chunk_frames))
        return self._select_windows(chunks, None if all_windows else self._max_windows)

    def read_units(self, file: BinaryIO) -> tuple[np.ndarray, np.ndarray]:
        """Read a file through the front end and split it as :meth:`extract_units`, in constant memory.

        Raises:
          UserError: the file cannot be read.
        """
        if self.spec.kind == "image":
            return self.extract_units(image.to_unit(image.read(file, self.spec.features)))
        meter = audio.measure_level(file, self.spec.features)
        chunks = audio.segments(file, self.spec.features, meter.gain(), self._chunk_frames, channel=meter.channel)
        return self._select_windows(chunks, self._max_windows)

    @property
    def _max_windows(self) -> int:
        """Maximum number of windows of a recording."""
        return max(1, MAX_FRAMES // self.window_frames)

    @property
    def _chunk_frames(self) -> int:
        """Frames that are read at a time: a multiple of the window."""
        return self.window_frames * max(1, CHUNK_FRAMES // self.window_frames)

    def _select_windows(self, chunks: Iterable[np.ndarray], max_count: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Select windows `[windows, frames, mels]` of a recording that arrives in chunks; also their first frames."""
        selected: list[tuple[float, int, np.ndarray]] = []
        first_window, offset = None, 0
        for chunk in chunks:
            padding = 0 if offset else max(0, self.window_frames - len(chunk))
            x = np.pad(chunk, ((0, padding), (0, 0)), constant_values=self.spec.features.log_floor)
            first_window = x[: self.window_frames] if first_window is None else first_window
            is_active = audio.active_frames(x, self.spec.features)
            for n in range(0, len(x) - self.window_frames + 1, self.window_frames):
                if is_active[n : n + self.window_frames].any():
                    rank = stable_hash.stable_fraction(f"unit:{offset + n}")
                    selected.append((rank, offset + n, np.array(x[n : n + self.window_frames])))
            selected = sorted(selected, key=lambda entry: entry[0])[:max_count]
            offset += len(chunk)
        in_order = sorted(selected, key=lambda entry: entry[1]) or [(0.0, 0, first_window)]
        return np.stack([window for *_, window in in_order]), np.array([start for _, start, _ in in_order])

    def call(self, name: str, units: np.ndarray) -> np.ndarray:
        """Call a signature that takes features on units `[units, ...]`, in batches; return one output per unit."""
        batches = [units[n : n + BATCH_SIZE].astype(np.float32) for n in range(0, len(units), BATCH_SIZE)]
        outputs = np.concatenate([self.model.call(name, features=batch) for batch in batches])
        has_time_axis = self.spec.kind == "audio" and name != "reconstruct"  # one output per window: length 1 here
        return outputs[:, 0] if has_time_axis else outputs

    def scores(self, units: np.ndarray, reference: outliers.Reference, codes: np.ndarray | None = None) -> dict:
        """Return raw outlier scores by name, `[units]` each.

        Args:
          units: `[units, ...]`.
          reference: distribution of the training codes.
          codes: of the units, `[units, latent]`; computed if None.
        """
        codes = self.call("encode", units) if codes is None else codes
        reconstructed = self.call("reconstruct", units)
        error = np.square((units - reconstructed) / self.feature_scale).reshape(len(units), -1).mean(axis=1)
        scores = {"reconstruction": error, "mahalanobis": reference.mahalanobis(codes), "knn": reference.knn(codes)}
        if "negative_elbo" in self.model.signatures:
            scores["negative_elbo"] = self.call("negative_elbo", units)
        scores["sharpness"] = outliers.sharpness(units / self.feature_scale, reconstructed / self.feature_scale)
        if self.spec.kind == "audio":
            batches = (units[n : n + BATCH_SIZE].astype(np.float32) for n in range(0, len(units), BATCH_SIZE))
            values = [_change_and_entropy(batch, self.spec.features) for batch in batches]
            scores["content_change"], scores["phoneme_entropy"] = map(np.concatenate, zip(*values, strict=True))
        return scores


@functools.partial(tf.function, autograph=False, reduce_retracing=True)
def _change_and_entropy(log_mels: tf.Tensor, spec: AudioSpec) -> tuple[tf.Tensor, tf.Tensor]:
    return content_encoder.change_and_entropy(log_mels, spec)


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """Outlier detector of a run, as `explore --do=outliers` fits it.

    Attributes:
      encoder: the run's model.
      reference: distribution of the training codes.
      calibration: of the scores.
      threshold: combined score above which a file is an outlier.
    """

    encoder: UnitEncoder
    reference: outliers.Reference
    calibration: outliers.Calibration
    threshold: float

    def score(self, features: np.ndarray) -> float:
        """Return the combined outlier score of a file's features."""
        return self.score_units(self.encoder.extract_units(features)[0])

    def score_units(self, units: np.ndarray) -> float:
        """Return the combined outlier score of a file from its units `[units, ...]`: raw scores are averaged first."""
        scores = self.encoder.scores(units, self.reference)
        return float(self.calibration.combined({name: values.mean()[None] for name, values in scores.items()})[0])

    def outlier_reason(self, file: BinaryIO) -> str | None:
        """Return why a file is an outlier, or None if it is not.

        Raises:
          UserError: the file cannot be read.
        """
        file.seek(0)
        score = self.score_units(self.encoder.read_units(file)[0])
        if score <= self.threshold:
            return None
        return f"unlike the training data: outlier score {score:.3g}, threshold {self.threshold:.3g}"

    def raise_if_outlier(self, file: BinaryIO) -> None:
        """Raise UserError if a file is an outlier or cannot be read."""
        reason = self.outlier_reason(file)
        if reason:
            raise UserError(reason)

    def save(self, run_dir: str, facts: dict) -> None:
        """Write ``RUN/outliers.npz``, then ``RUN/outliers.json``, each atomically.

        Args:
          run_dir: the run.
          facts: more entries of the JSON.
        """
        arrays = {f"reference_{k}": v.astype(np.float32) for k, v in dataclasses.asdict(self.reference).items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        files.write(posixpath.join(run_dir, ARRAYS_FILE), buffer.getvalue())
        fields = {k: np.asarray(v).tolist() for k, v in dataclasses.asdict(self.calibration).items()}
        content = {
            "threshold": self.threshold,
            "weights": fingerprint.export_hash(run_dir),
            **facts,
            "calibration": fields,
        }
        files.write(posixpath.join(run_dir, JSON_FILE), json.dumps(content, indent=2).encode())

    @classmethod
    def load(cls, run_dir: str, model: Model, *, kind: str | None = None) -> Detector:
        """Load the detector of a run.

        Args:
          run_dir: the run.
          model: its export.
          kind: "audio" or "image": the kind of the files to score; None to skip the check.

        Raises:
          UserError: the run has no detector, its weights have changed since the fit, or it is of the other kind.
        """
        if kind and model.spec.kind != kind:
            raise UserError(
                f"{run_dir} was trained on files of the kind {model.spec.kind}; these are of the kind {kind}"
            )
        path = posixpath.join(run_dir, JSON_FILE)
        if not tf.io.gfile.exists(path):
            raise UserError(
                f"{run_dir} has no {JSON_FILE}; run python -m pipelines.explore --do=outliers to fit a detector"
            )
        content = files.read_json(path, "the file that explore --do=outliers writes")
        if content.get("weights") != fingerprint.export_hash(run_dir):
            raise UserError(
                f"{path} was fitted to other weights than {run_dir} has now; run explore --do=outliers again"
            )
        arrays = np.load(io.BytesIO(files.read(posixpath.join(run_dir, ARRAYS_FILE))))
        reference = outliers.Reference(*(arrays[f"reference_{name}"] for name in ("mean", "whitening", "codes")))
        names = tuple(content["calibration"].pop("names"))
        calibration = outliers.Calibration(names, **{k: np.array(v) for k, v in content["calibration"].items()})
        return cls(UnitEncoder(model, run_dir), reference, calibration, content["threshold"])
