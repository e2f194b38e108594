"""What a run was trained on: a fingerprint of its records, and the list of its training files."""

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
from pipelines import files
from pipelines.data import dataset, source_files, splits

TRAINING_FILES = "training_files.txt"  # in the run
WEIGHTS_INDEX = "variables/variables.index"  # of an export; holds a checksum of every weight
HASHED_FIELDS = ("id", "domain", "hash", "part", "active")  # of a line of the manifest; where a file lies does not
TOLERANCE = 1e-5  # of statistics, relative: machines add up in another order, and round otherwise
Part = tuple[float, ...]


def records_fingerprint(spec: Spec, manifest: Iterable[source_files.Source], mels_from: str = "") -> dict:
    """The fingerprint of records, as `config.json` keeps it.

    Args:
      spec: of the records.
      manifest: their manifest.
      mels_from: the run that the log-mels of training go through, or nothing.

    Returns:
      Of each split the number of its files and a hash of all that counts of them, the same whatever their paths and
      their order; of each domain the sums over bands of its mean and deviation; and the hash of that run's weights.
    """
    lines: dict[str, list[str]] = {split: [] for split in splits.SPLITS}
    for source in manifest:
        lines[source.split].append(json.dumps([getattr(source, name) for name in HASHED_FIELDS]))
    fingerprint: dict = {
        split: {"files": len(each), "hash": _hash_lines(sorted(each))} for split, each in lines.items()
    }
    sums = {name: [float(np.sum(m.mean)), float(np.sum(m.std))] for name, m in spec.moments.items()}
    fingerprint["statistics"] = {name: [float(f"{value:.9g}") for value in pair] for name, pair in sums.items()}
    return fingerprint | ({"mels_from": export_hash(mels_from)} if mels_from else {})


def _hash_lines(lines: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def export_hash(run_dir: str) -> str:
    """A hash by which the weights of a run's export are known.

    Raises:
      UserError: nothing was exported there.
    """
    folder = files.current_folder(posixpath.join(run_dir, "export"))
    path = posixpath.join(folder, WEIGHTS_INDEX)
    if not tf.io.gfile.exists(path):
        raise UserError(f"{run_dir} has no export; wanted a run that was trained to its end")
    return hashlib.sha256(files.read(path)).hexdigest()


def differences(old: Mapping, new: Mapping) -> list[str]:
    """What of the records is another, in words for the user.

    >>> differences({"train": {"files": 5, "hash": "a"}}, {"train": {"files": 4, "hash": "b"}})
    ['other training files: 5 then, 4 now']
    """
    apart, names = [], {"train": "training", "val": "validation", "test": "test"}
    for split, name in names.items():
        was, now = old.get(split, {}), new.get(split, {})
        if was.get("hash") != now.get("hash"):
            apart.append(f"other {name} files: {was.get('files')} then, {now.get('files')} now")
    was, now = old.get("statistics", {}), new.get("statistics", {})
    for name in sorted({*was, *now}):
        if not (name in was and name in now and np.allclose(was[name], now[name], rtol=TOLERANCE, atol=1e-6)):
            apart.append(f"other statistics of {name}")
    if old.get("mels_from") != new.get("mels_from"):
        apart.append("other weights of the run that mels_from names")
    return apart


def write_training_files(run_dir: str, manifest: Iterable[source_files.Source], begun_with: str = "") -> None:
    """Writes ``RUN/training_files.txt``: of each training file its hash, and the seconds of a part; whole or not.

    Args:
      run_dir: the run.
      manifest: the manifest of its records.
      begun_with: the run whose networks it began with, whose training files are its own too; or nothing.
    """
    with files.atomic_file(posixpath.join(run_dir, TRAINING_FILES)) as out:
        for source in (source for source in manifest if source.split == "train"):
            out.write((" ".join([source.hash, *map(repr, map(float, source.part))]) + "\n").encode())
        earlier = posixpath.join(begun_with, TRAINING_FILES)
        if begun_with and tf.io.gfile.exists(earlier):
            with tf.io.gfile.GFile(earlier, "rb") as file:
                for line in file:
                    out.write(line)


@dataclasses.dataclass(frozen=True)
class TrainingParts:
    """What of some files a run was trained on.

    Attributes:
      parts: hash to the parts that were trained on, in seconds; an empty part is the whole file.
    """

    parts: Mapping[str, Collection[Part]]

    @classmethod
    def of_run(cls, run_dir: str, data_dir: str, among: Iterable[source_files.Source]) -> TrainingParts:
        """By the list in the run; of a run that has none, by its records, as far as they are still there.

        Args:
          run_dir: the run.
          data_dir: the records that it was trained on.
          among: the files that are asked about; no others are kept in memory.
        """
        asked, parts = {source.hash for source in among}, {}
        path = posixpath.join(run_dir, TRAINING_FILES)
        if tf.io.gfile.exists(path):
            try:
                with files.as_os_error(path), tf.io.gfile.GFile(path) as file:
                    for line in file:
                        name, *part = line.split()
                        if name in asked:
                            parts.setdefault(name, set()).add(tuple(map(float, part)))
            except ValueError as error:  # no text, or no numbers
                raise UserError(f"{path} is broken ({error}); wanted what train writes: train again") from None
        else:
            for source in _training_sources(data_dir):
                if source.hash in asked:
                    parts.setdefault(source.hash, set()).add(source.part)
        return cls(parts)

    @classmethod
    def of(cls, manifest: Iterable[source_files.Source]) -> TrainingParts:
        """As if a run had been trained on these files."""
        parts: dict[str, set[Part]] = {}
        for source in manifest:
            parts.setdefault(source.hash, set()).add(source.part)
        return cls(parts)

    def __contains__(self, source: source_files.Source) -> bool:
        """Whether something of a file or part was trained on."""
        return any(_overlap(source.part, part) for part in self.parts.get(source.hash, ()))


def _training_sources(data_dir: str) -> list[source_files.Source]:
    if not tf.io.gfile.exists(posixpath.join(data_dir, dataset.MANIFEST)):
        return []
    return [source for source in dataset.read_manifest(data_dir) if source.split == "train"]


def _overlap(one: Part, other: Part) -> bool:
    """Whether two parts of a recording share anything; an empty one is all of it.

    >>> _overlap((0.0, 10.0), (10.0, 20.0)), _overlap((0.0, 10.0), ())
    (False, True)
    """
    return not one or not other or (one[0] < other[1] and other[0] < one[1])
