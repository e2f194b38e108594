"""Sources: lines of the manifest, their ids, splits and shards."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import unicodedata

from models.errors import UserError
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import stable_hash
from pipelines.data import full_disk, splits, tfrecord

PART_SEPARATOR = "#"  # between the id of a recording and the name of a part: its split, its number, or both
PART_NAME = re.compile(rf"({'|'.join(splits.SPLITS)})(-\d{{4,}})?|\d{{4,}}")
INTERNAL = ("features", "is_first")  # not in the manifest
OPTIONAL = ("label", "speaker", "level_db", "clipped")  # only in those lines of the manifest that have a value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A line of `manifest.jsonl`: one source file, or one part of a recording, and its records.

    Attributes:
      id: ``domain/relative path``.
      path: path of the file.
      domain: name of its domain.
      split: train, val or test.
      hash: BLAKE2b of the file's bytes, 16 hex digits.
      length: duration of speech in seconds; number of values of an image.
      gain: factor that normalises the level of speech.
      frames: frames of speech, rows of an image.
      active: number of active (not silent) frames of each record; 1 for an image.
      channel: channel that was read because the channels cancel each other; -1 if they are averaged.
      part: start and end in seconds of a part of a recording that is divided, cut or trimmed; else empty.
      notes: remarks for people on how an unusual file was read.
      shard: number of the shard that holds the records.
      label: its label by a list; empty for the name of its folder.
      speaker: its speaker by a list; empty if unknown.
      level_db: active level of speech in dB re full scale before it is normalised; None for silence and images.
      clipped: share of clipped samples of the recording.
      features: place of its features, see `feature_file.Reader`; not in the manifest.
      is_first: whether it is the first part of its file; not in the manifest.
    """

    id: str
    path: str
    domain: str
    split: str
    hash: str
    length: float
    gain: float
    frames: int
    active: tuple[int, ...]
    channel: int = -1
    part: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    shard: int = 0
    label: str = ""
    speaker: str = ""
    level_db: float | None = None
    clipped: float = 0.0
    features: str = ""
    is_first: bool = True

    def to_json(self) -> dict:
        """Return the line of the manifest, without what is unknown or zero in most files."""
        return {k: v for k, v in vars(self).items() if k not in INTERNAL and (v or k not in OPTIONAL)}

    @classmethod
    def from_json(cls, row: dict) -> Source:
        """Return the source of a line of the manifest; lists become tuples."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})


def recording_id(identifier: str) -> str:
    """Return the id of the recording that a part belongs to; the id of an undivided file is returned as it is.

    >>> recording_id("a/x.wav#val"), recording_id("a/x.wav#train-0007"), recording_id("a/#0001.wav")
    ('a/x.wav', 'a/x.wav', 'a/#0001.wav')
    """
    recording, _, name = identifier.rpartition(PART_SEPARATOR)
    return recording if PART_NAME.fullmatch(name) else identifier


def split_key(relative: str, folder: str, split_by: str, seed: int) -> str:
    """Return the key that decides on the split of a file: its path without extension, its folder, or its prefix.

    Parallel files that differ only in extension, or in the Unicode form of accents, have the same key.

    Args:
      relative: path relative to the root of the domain.
      folder: name of the root folder.
      split_by: "file", "parent", or "prefix": the name up to the first hyphen or underscore, whatever the folder.
      seed: random seed of the split.

    >>> split_key("f/103-1240-0000.flac", "f", "prefix", 0)
    '0:103'
    """
    group = posixpath.splitext(relative)[0]
    if split_by == "parent":
        group = posixpath.dirname(relative) or folder
    elif split_by == "prefix":
        group = re.split("[-_]", posixpath.basename(group))[0]
    return f"{seed}:{unicodedata.normalize('NFC', group)}"


def assign_shard(source: Source, sizes: dict, example_shape: tuple[int | None, ...]) -> tuple[tuple, Source]:
    """Return a source, keyed by its domain, split, shard and number of shards."""
    shards = tfrecord.shard_count(sizes[source.domain, source.split], example_shape)
    return (
        source.domain,
        source.split,
        int(stable_hash.stable_fraction(f"shard:{source.id}") * shards),
        shards,
    ), source


def example_shape(spec: AudioSpec | ImageSpec, *, waveforms: bool) -> tuple[int | None, ...]:
    """Return the shape of an example for `tfrecord.shard_count`; stored samples count as additional mel bands."""
    if isinstance(spec, AudioSpec):
        return None, spec.n_mels + spec.hop_length * waveforms
    return spec.height, spec.width, spec.channels


def failure_row(domain: str, path: str, error: Exception) -> dict:
    """Return a line of `failures.jsonl`.

    Raises:
      WriteError: the error is no fault of the file, as on a full disk.
    """
    full_disk.raise_if_full(error)
    reason = str(error) if isinstance(error, (UserError, OSError)) else f"{type(error).__name__}: {error}"
    return {"domain": domain, "path": path, "reason": " ".join(reason.split())}
