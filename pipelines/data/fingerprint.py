"""Fingerprint of the records of a run, and the list of its training files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.features.spec import Spec
from pipelines import files, run_directory, stable_hash
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
    by_split: dict[str, list[source_files.Source]] = {split: [] for split in splits.SPLITS}
    for source in manifest:
        by_split[source.split].append(source)
    fingerprint: dict = {split: _files_fingerprint(sources) for split, sources in by_split.items()}
    sums = {name: [float(np.sum(m.mean)), float(np.sum(m.std))] for name, m in spec.moments.items()}
    fingerprint["statistics"] = {name: [float(f"{value:.9g}") for value in pair] for name, pair in sums.items()}
    return fingerprint | ({"mels_from": export_hash(mels_from)} if mels_from else {})


def _files_fingerprint(sources: Iterable[source_files.Source]) -> dict:
    lines = sorted(json.dumps([getattr(source, name) for name in HASHED_FIELDS]) for source in sources)
    return {"files": len(lines), "hash": stable_hash.lines_digest(lines)}


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


def write_training_files(
    run_dir: str,
    manifest: Iterable[source_files.Source],
    initial_run_dir: str = "",
    *,
    is_resumed: bool = False,
) -> None:
    """Write ``RUN/training_files.txt``: the hash of each training file, and start and end of a part in seconds.

    Args:
      run_dir: the run.
      manifest: manifest of its records.
      initial_run_dir: run whose weights it started from; its training files are listed too; empty for none.
      is_resumed: whether the training goes on: then the present list remains, whatever became of the other run.

    Raises:
      UserError: the training files of the other run are unknown, and the training does not go on.
      OSError: a list cannot be read or written.
    """
    path = posixpath.join(run_dir, TRAINING_FILES)
    lines = dict.fromkeys(map(_line, (source for source in manifest if source.split == "train")))
    has_list = is_resumed and tf.io.gfile.exists(path)
    if has_list:
        lines |= dict.fromkeys(_read_lines(path))
    if initial_run_dir:
        try:
            lines |= dict.fromkeys(_training_lines(initial_run_dir))
        except (UserError, OSError) as error:
            if not is_resumed:
                raise
            if not has_list:
                print(
                    f"warning: {error}; evaluate may test on files that {initial_run_dir} was trained on",
                    file=sys.stderr,
                )
    with files.atomic_file(path) as output:
        for line in lines:
            output.write(line + b"\n")


def _line(source: source_files.Source) -> bytes:
    return " ".join([source.hash, *map(repr, map(float, source.part))]).encode()


def _read_lines(path: str) -> Iterator[bytes]:
    with files.as_os_error(path), tf.io.gfile.GFile(path, "rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _training_lines(run_dir: str) -> Iterator[bytes]:
    """Yield the lines of a run's list; if it has none, those of its records and of the run that it started from.

    Raises:
      UserError: it has no list, and its records are gone or others.
    """
    path = posixpath.join(run_dir, TRAINING_FILES)
    with files.as_os_error(path):
        has_list = tf.io.gfile.exists(path)
    if has_list:
        yield from _read_lines(path)
        return
    run = run_directory.read_run(run_dir)
    if run is None:
        raise UserError(f"{run_dir} has neither {TRAINING_FILES} nor config.json; wanted the directory of a run")
    sources = _training_sources(run.data_dir)
    if not sources or run.records and run.records["train"] != _files_fingerprint(sources):
        state = "holds other training files now" if sources else "is gone"
        raise UserError(
            f"{run_dir} has no {TRAINING_FILES}, and {run.data_dir}, on which it was trained, {state}; wanted one of "
            "both, so that evaluate leaves out its training files"
        )
    yield from map(_line, sources)
    if run.warm_start:
        yield from _training_lines(run.warm_start)


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
