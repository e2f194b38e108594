"""Fingerprint of the records of a run, and the list of its training files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features.spec import Spec
from pipelines import files, stable_hash
from pipelines.data import dataset, source_files, splits

TRAINING_FILES = "training_files.txt"  # in the run directory
WEIGHTS_INDEX = "variables/variables.index"  # in an export; has a checksum of every weight
HASHED_FIELDS = ("id", "domain", "hash", "part", "active")  # keys of the manifest that are hashed; the path is not
TOLERANCE = 1e-5  # relative, of statistics: machines differ in the order of sums and in rounding
Part = tuple[float, ...]


def records_fingerprint(spec: Spec, manifest: Iterable[source_files.Source], mels_from: str = "") -> dict:
    """Return the fingerprint of records for `config.json`.

    Args:
      spec: configuration and statistics of the records.
      manifest: their manifest.
      mels_from: run whose round trip transforms the log-mels of training; empty for none.

    Returns:
      For each split the number of files and a hash of `HASHED_FIELDS`, independent of paths and order; for each
      domain the sums over mel bands of mean and standard deviation; and the hash of the weights of `mels_from`.
    """
    lines: dict[str, list[str]] = {split: [] for split in splits.SPLITS}
    for source in manifest:
        lines[source.split].append(json.dumps([getattr(source, name) for name in HASHED_FIELDS]))
    fingerprint: dict = {
        split: {"files": len(split_lines), "hash": stable_hash.lines_digest(sorted(split_lines))}
        for split, split_lines in lines.items()
    }
    sums = {name: [float(np.sum(m.mean)), float(np.sum(m.std))] for name, m in spec.moments.items()}
    fingerprint["statistics"] = {name: [float(f"{value:.9g}") for value in pair] for name, pair in sums.items()}
    return fingerprint | ({"mels_from": export_hash(mels_from)} if mels_from else {})


def export_hash(run_dir: str) -> str:
    """Return a hash of the weights of a run's export.

    Raises:
      UserError: the run has no export.
    """
    folder = files.current_folder(posixpath.join(run_dir, "export"))
    path = posixpath.join(folder, WEIGHTS_INDEX)
    if not tf.io.gfile.exists(path):
        raise UserError(f"{run_dir} has no export; wanted a run whose training is complete")
    return hashlib.sha256(files.read(path)).hexdigest()


def model_hash(run_dir: str) -> str:
    """Return a hash of graph and weights of a run's export, 16 hex digits; raises as :func:`export_hash`."""
    weights = export_hash(run_dir)
    graph = files.read(posixpath.join(files.current_folder(posixpath.join(run_dir, "export")), "saved_model.pb"))
    return stable_hash.digest(weights.encode() + graph)


def differences(old: Mapping, new: Mapping) -> list[str]:
    """Return the differences between two fingerprints, in words for the user.

    >>> differences({"train": {"files": 5, "hash": "a"}}, {"train": {"files": 4, "hash": "b"}})
    ['other training files: 5 then, 4 now']
    """
    changes, names = [], {"train": "training", "val": "validation", "test": "test"}
    for split, name in names.items():
        was, now = old.get(split, {}), new.get(split, {})
        if was.get("hash") != now.get("hash"):
            changes.append(f"other {name} files: {was.get('files')} then, {now.get('files')} now")
    was, now = old.get("statistics", {}), new.get("statistics", {})
    for name in sorted({*was, *now}):
        if not (name in was and name in now and np.allclose(was[name], now[name], rtol=TOLERANCE, atol=1e-6)):
            changes.append(f"other statistics of {name}")
    if old.get("mels_from") != new.get("mels_from"):
        changes.append("other weights of the run that mels_from names")
    return changes


def write_training_files(run_dir: str, manifest: Iterable[source_files.Source], initial_run_dir: str = "") -> None:
    """Write ``RUN/training_files.txt``: the hash of each training file, and start and end of a part in seconds.

    Args:
      run_dir: the run.
      manifest: manifest of its records.
      initial_run_dir: run whose weights it started from; its training files are listed too; empty for none.
    """
    with files.atomic_file(posixpath.join(run_dir, TRAINING_FILES)) as output:
        for source in (source for source in manifest if source.split == "train"):
            output.write((" ".join([source.hash, *map(repr, map(float, source.part))]) + "\n").encode())
        initial_list = posixpath.join(initial_run_dir, TRAINING_FILES)
        if initial_run_dir and tf.io.gfile.exists(initial_list):
            with tf.io.gfile.GFile(initial_list, "rb") as file:
                for line in file:
                    output.write(line)


@dataclasses.dataclass(frozen=True)
class TrainingParts:
    """Which parts of some files a run was trained on.

    Attributes:
      parts: the parts by hash of the file, as (start, end) in seconds; an empty part is the whole file.
    """

    parts: Mapping[str, Collection[Part]]

    @classmethod
    def from_run(cls, run_dir: str, data_dir: str, candidates: Iterable[source_files.Source]) -> TrainingParts:
        """Read the list of the run; if it has none, the manifest of its records, if that still exists.

        Args:
          run_dir: the run.
          data_dir: the records that it was trained on.
          candidates: the files of interest; no others are held in memory.
        """
        hashes, parts = {source.hash for source in candidates}, {}
        path = posixpath.join(run_dir, TRAINING_FILES)
        if tf.io.gfile.exists(path):
            try:
                with files.as_os_error(path), tf.io.gfile.GFile(path) as file:
                    for line in file:
                        name, *part = line.split()
                        if name in hashes:
                            parts.setdefault(name, set()).add(tuple(map(float, part)))
            except ValueError as error:  # not text, or not numbers
                raise UserError(f"{path} is broken ({error}); wanted the file that train writes: train again") from None
        else:
            for source in _training_sources(data_dir):
                if source.hash in hashes:
                    parts.setdefault(source.hash, set()).add(source.part)
        return cls(parts)

    @classmethod
    def from_manifest(cls, manifest: Iterable[source_files.Source]) -> TrainingParts:
        """Return the parts as if a run had been trained on these files."""
        parts: dict[str, set[Part]] = {}
        for source in manifest:
            parts.setdefault(source.hash, set()).add(source.part)
        return cls(parts)

    def __contains__(self, source: source_files.Source) -> bool:
        """Whether the run was trained on a file or on something of the part."""
        return any(_overlap(source.part, part) for part in self.parts.get(source.hash, ()))


def _training_sources(data_dir: str) -> list[source_files.Source]:
    if not dataset.manifest_paths(data_dir):
        return []
    return [source for source in dataset.read_manifest(data_dir) if source.split == "train"]


def _overlap(one: Part, other: Part) -> bool:
    """Whether two parts of a recording overlap; an empty part is the whole recording.

    >>> _overlap((0.0, 10.0), (10.0, 20.0)), _overlap((0.0, 10.0), ())
    (False, True)
    """
    return not one or not other or (one[0] < other[1] and other[0] < one[1])
