"""A finished data directory: its records one by one, crops of them, and whole sources or excerpts."""

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
from pipelines.data import source_files, tfrecord

MANIFEST = "manifest.jsonl"
EXPECTED = "what preprocess writes; run it again"


@dataclasses.dataclass(frozen=True)
class Records:
    """A finished data directory.

    Attributes:
      data_dir: where it is.
      spec: front end, domains and statistics.
      sources: the manifest.
      waveforms: whether records hold samples too.
      imitate: what batches of waveforms show in place of their log-mels: a function of `[frames + 2 * margin,
        mels]`, the number of the domain and that of the row, to `[frames, mels]`, with an attribute `margin`;
        None for the log-mels themselves.
      weights: (id, segment) to how often a training record is drawn, see `sample_weights`; None if all alike.
    """

    data_dir: str
    spec: Spec
    sources: tuple[source_files.Source, ...]
    waveforms: bool = False
    imitate: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    weights: Mapping[tuple[str, int], float] | None = None

    def of(self, split: str, domain: str) -> list[source_files.Source]:
        """The sources of a split of a domain, by id."""
        return [s for s in self.sources if s.split == split and s.domain == domain]

    def shards(self, split: str, domain: str) -> list[str]:
        """The shard files of a split of a domain."""
        names = f"{domain}-{split}.tfrecord-?????-of-?????"  # not what a worker that died left of one
        return sorted(tf.io.gfile.glob(posixpath.join(glob.escape(self.data_dir), names)))


def open_records(data_dir: str) -> Records:
    """Opens what `preprocess` wrote.

    Raises:
      UserError: there is nothing, `preprocess` did not finish, or a file of it is broken.
    """
    marker = posixpath.join(data_dir, "dataset_info.json")
    if not tf.io.gfile.exists(marker):
        what = "is not there" if not tf.io.gfile.exists(data_dir) else "is incomplete (no dataset_info.json)"
        raise UserError(f"{data_dir} {what}; wanted the --data_dir of a finished preprocess")
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
    """Raises UserError where a shard is gone or of another size: a split without records would be read for ever.

    On a store, whose sizes are a request each, only names are compared.
    """
    try:
        listed = [
            (split["filepathTemplate"].partition("{")[0], len(split["shardLengths"]), int(split["numBytes"]))
            for split in files.read_json(marker, EXPECTED)["splits"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{marker} lacks {error}; wanted {EXPECTED}") from None
    present = {name.rstrip("/") for name in tf.io.gfile.listdir(data_dir)}
    for start, count, size in listed:
        names = [f"{start}{number:05d}-of-{count:05d}" for number in range(count)]
        if lost := [name for name in names if name not in present]:
            raise UserError(f"{data_dir}: {lost[0]} is not there; wanted {EXPECTED}")
        if "://" not in data_dir:
            total = sum(os.path.getsize(os.path.join(data_dir, name)) for name in names)
            if total != size:
                raise UserError(f"{data_dir}: {start}* hold {total} bytes, not {size}; wanted {EXPECTED}")


def read_manifest(data_dir: str) -> tuple[source_files.Source, ...]:
    """The sources of a data directory, all splits.

    Raises:
      OSError: it has no manifest.
      UserError: a line that is cut off, or not of this version.
    """
    path, manifest = posixpath.join(data_dir, MANIFEST), []
    for row in files.read_rows(path, EXPECTED):
        try:
            manifest.append(source_files.Source.from_json(row))
        except TypeError as error:
            raise UserError(f"{path}: {row.get('id', 'a line')}: {error}; wanted {EXPECTED}") from None
    return tuple(manifest)


def check_batches(data: Records, plugin_class: type) -> None:
    """Refuses records that lack what the plugin's batches hold.

    Raises:
      UserError: they hold no waveforms, and the plugin wants them.
    """
    if plugin_class.BATCHES == "waveforms" and not data.waveforms:
        raise UserError(f"{data.data_dir} has no waveforms; run preprocess with --keep_waveforms")
