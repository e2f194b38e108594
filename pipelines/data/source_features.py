"""Features of whole source files, or of excerpts of them, read back from the records."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines import files, stable_hash
from pipelines.data import cropping, dataset, source_files

EXCERPT_ATTEMPTS = 16
KEY_FEATURES = {"id": tf.io.FixedLenFeature([], tf.string), "segment": tf.io.FixedLenFeature([], tf.int64)}


def pair_stem(source: source_files.Source) -> str:
    """What parallel files have in common: the path below their domain, without its ending.

    An accent may be a character of its own or part of its letter: both are one name (Unicode's NFC).
    """
    return unicodedata.normalize("NFC", posixpath.splitext(source.id.partition("/")[2])[0])


def sources_with_sound(data: dataset.Records, split: str, domain: str) -> list[source_files.Source]:
    """The sources of a split of a domain in which something sounds, all pictures."""
    return [source for source in data.of(split, domain) if any(source.active)]


def hash_sample(candidates: Iterable[source_files.Source], most: int | None, salt: str) -> list[source_files.Source]:
    """At most so many sources, those that a stable hash of their ids chooses, by id.

    The first ones would be of the first folders alone: shards and manifests are in the order of ids.

    Args:
      candidates: the sources.
      most: how many; None for all.
      salt: another chooses others.
    """
    drawn = sorted(candidates, key=lambda source: (stable_hash.stable_fraction(f"{salt}:{source.id}"), source.id))[
        :most
    ]
    return sorted(drawn, key=lambda source: source.id)


def read_sources(
    data: dataset.Records, split: str, domain: str, only: Iterable[source_files.Source] | None = None
) -> Iterator[tuple[source_files.Source, np.ndarray]]:
    """Every source of a split of a domain with its features, the parts of a long one joined.

    Shard after shard, by id in each.

    Args:
      data: the records.
      split: train, val or test.
      domain: its name.
      only: the sources that are wanted; all if not given. Other shards are not read.
    """
    parts: list[np.ndarray] = []
    for source, segment, values in _read_segments(data, split, domain, only):
        parts = [*parts, values] if segment else [values]
        if len(parts) == len(source.active):
            yield source, np.concatenate(parts)
            parts = []


def read_excerpts(
    data: dataset.Records, split: str, domain: str, only: Iterable[source_files.Source], frames: int
) -> Iterator[tuple[source_files.Source, int, np.ndarray]]:
    """Of each source a stretch of at most `frames` frames that sounds, with the number of its first frame.

    Where it begins, see :func:`excerpt_start`. No more than the stretch is kept in memory. A picture is all there.
    """
    parts, at, start = [], 0, 0
    for source, segment, values in _read_segments(data, split, domain, only):
        if data.spec.kind == "image":
            yield source, 0, values
            continue
        if not segment:
            parts, at, start = [], 0, excerpt_start(source, frames, len(values))
        parts.append(values[max(0, start - at) : max(0, start + frames - at)])
        at += len(values)
        if segment == len(source.active) - 1:
            yield source, start, np.concatenate(parts)


def excerpt_start(source: source_files.Source, frames: int, each: int) -> int:
    """The first frame of the excerpt of a recording whose records hold `each` frames.

    A stable hash of the stem chooses among the frames at which it can begin, so that parallel recordings are looked
    at in the same places; where a record that it reaches into is silent, it chooses again.
    """
    room = max(0, source.frames - frames)
    for turn in range(EXCERPT_ATTEMPTS):
        start = int(stable_hash.stable_fraction(f"excerpt {turn}:{pair_stem(source)}") * (room + 1))
        if all(source.active[start // each : -(-(start + frames) // each)]):
            return start
    return min(room, int(np.argmax(source.active)) * each)


def _read_segments(
    data: dataset.Records, split: str, domain: str, only: Iterable[source_files.Source] | None
) -> Iterator[tuple[source_files.Source, int, np.ndarray]]:
    """The records of sources: the source, the number of the record in it, and its features."""
    wanted = {source.id: source for source in (data.of(split, domain) if only is None else only)}
    shards = {int(path.rpartition("-of-")[0][-5:]): path for path in data.shards(split, domain)}
    numbers = sorted({source.shard for source in wanted.values()})
    if lost := [number for number in numbers if number not in shards]:
        raise UserError(f"{data.data_dir}: shard {lost[0]} of {domain}-{split} is gone; wanted {dataset.EXPECTED}")
    read = [shards[number] for number in numbers]
    with files.as_os_error(data.data_dir):
        for record in tf.data.TFRecordDataset(read):
            head = tf.io.parse_single_example(record, KEY_FEATURES)
            source = wanted.get(head["id"].numpy().decode())
            if source is not None:
                yield source, int(head["segment"]), cropping.parse_example(record, data.spec)["features"].numpy()
