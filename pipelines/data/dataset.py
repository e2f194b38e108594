"""A complete data directory: its configuration, manifest and shards."""

from __future__ import annotations

import dataclasses
import glob
import os
import posixpath
from collections.abc import Callable, Mapping

import tensorflow as tf

from models.errors import UserError
from models.features.spec import Spec
from pipelines import config, files
from pipelines.data import part_names, source_files, tfrecord

MANIFEST = "manifest.jsonl"
EXPECTED = "what preprocess writes; run it again"


@dataclasses.dataclass(frozen=True)
class Records:
    """A complete data directory.

    Attributes:
      data_dir: path of the directory.
      spec: front end, domains and statistics.
      sources: the manifest.
      waveforms: whether records also store samples.
      mel_transform: replaces the log-mels in batches of waveforms: a function of `[frames + 2 * margin, mels]`, the
        index of the domain and that of the row, to `[frames, mels]`, with an attribute `margin`; None for no transform.
      weights: sampling weight of each training record by (id, segment), see `sample_weights`; None for equal weights.
    """

    data_dir: str
    spec: Spec
    sources: tuple[source_files.Source, ...]
    waveforms: bool = False
    mel_transform: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    weights: Mapping[tuple[str, int], float] | None = None

    def sources_of(self, split: str, domain: str) -> list[source_files.Source]:
        """Return the sources of a split of a domain, sorted by id."""
        return [s for s in self.sources if s.split == split and s.domain == domain]

    def shards(self, split: str, domain: str) -> list[str]:
        """Return the paths of the shards of a split of a domain."""
        names = f"{domain}-{split}.tfrecord-?????-of-?????"  # excludes partial files of killed workers
        return sorted(tf.io.gfile.glob(posixpath.join(glob.escape(self.data_dir), names)))


def open_records(data_dir: str) -> Records:
    """Open a directory that `preprocess` wrote.

    Raises:
      UserError: there is no such directory, `preprocess` did not finish, or a file is broken.
    """
    marker = posixpath.join(data_dir, "dataset_info.json")
    if not tf.io.gfile.exists(marker):
        problem = "does not exist" if not tf.io.gfile.exists(data_dir) else "is incomplete (no dataset_info.json)"
        raise UserError(f"{data_dir} {problem}; wanted the --data_dir of a finished preprocess")
    statistics, features = (posixpath.join(data_dir, name) for name in ("statistics.json", "features.json"))
    fields, features_fields = files.read_json(statistics, EXPECTED), files.read_json(features, EXPECTED)
    try:
        spec, waveforms = (
            config.spec_from_json(fields),
            tfrecord.WAVEFORM_FEATURE in features_fields["featuresDict"]["features"],
        )
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{statistics} or features.json lacks {error}; wanted {EXPECTED}") from None
    _check_shards(data_dir, marker)
    return Records(data_dir, spec, read_manifest(data_dir), waveforms)


def _check_shards(data_dir: str, marker: str) -> None:
    """Raise UserError if a shard is missing or has another size: a split without records would be read for ever.

    On a remote store only names are compared, because each size would cost a request.
    """
    try:
        splits = [
            (split["filepathTemplate"].partition("{")[0], len(split["shardLengths"]), int(split["numBytes"]))
            for split in files.read_json(marker, EXPECTED)["splits"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{marker} lacks {error}; wanted {EXPECTED}") from None
    present = {name.rstrip("/") for name in tf.io.gfile.listdir(data_dir)}
    for start, count, size in splits:
        names = [f"{start}{number:05d}-of-{count:05d}" for number in range(count)]
        if missing := [name for name in names if name not in present]:
            raise UserError(f"{data_dir}: {missing[0]} is missing; wanted {EXPECTED}")
        if "://" not in data_dir:
            total = sum(os.path.getsize(os.path.join(data_dir, name)) for name in names)
            if total != size:
                raise UserError(
                    f"{data_dir}: the files {start}* have {total} bytes instead of {size}; wanted {EXPECTED}"
                )


def read_manifest(data_dir: str) -> tuple[source_files.Source, ...]:
    """Return the sources of all splits of a data directory.

    Raises:
      OSError: there is no manifest.
      UserError: a line is truncated, or was written by another version.
    """
    manifest = []
    for path in manifest_paths(data_dir) or [posixpath.join(data_dir, MANIFEST)]:
        for row in files.read_rows(path, EXPECTED):
            try:
                manifest.append(source_files.Source.from_json(row))
            except TypeError as error:
                raise UserError(f"{path}: {row.get('id', 'a line')}: {error}; wanted {EXPECTED}") from None
    return tuple(manifest)


def manifest_paths(data_dir: str) -> list[str]:
    """Return the files of the manifest, several of a long one; none if there is no manifest.

    Raises:
      UserError: a file is missing, or there are files of two manifests.
    """
    if not tf.io.gfile.isdir(data_dir):
        return []
    try:
        names = part_names.complete(tf.io.gfile.listdir(data_dir), MANIFEST)
    except UserError as error:
        raise UserError(f"{data_dir}: {error}; wanted {EXPECTED}") from None
    return [posixpath.join(data_dir, name) for name in names]


def check_batches(data: Records, plugin_class: type) -> None:
    """Check that the records hold what the plugin's batches need.

    Raises:
      UserError: the plugin needs waveforms and the records have none.
    """
    if plugin_class.BATCHES == "waveforms" and not data.waveforms:
        raise UserError(f"{data.data_dir} has no waveforms; run preprocess with --keep_waveforms")
