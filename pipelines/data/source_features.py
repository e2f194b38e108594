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
    """Return the common name of parallel files: the path relative to the domain, without extension.

    Composed and decomposed accents are the same name (Unicode NFC). Pieces between pauses are parallel only if they
    begin at the same time, which is part of their names.
    """
    recording = source_files.recording_id(source.id)
    stem = unicodedata.normalize("NFC", posixpath.splitext(recording.partition("/")[2])[0])
    is_piece = source.id[len(recording) :][-1:].isdigit()
    return f"{stem}{source_files.PART_SEPARATOR}{source.part[0]:g}" if is_piece else stem


def sources_with_sound(data: dataset.Records, split: str, domain: str) -> list[source_files.Source]:
    """Return the sources of a split of a domain that are not silent; all images."""
    return [source for source in data.sources_of(split, domain) if any(source.active)]


def hash_sample(
    candidates: Iterable[source_files.Source], max_count: int | None, stream: str
) -> list[source_files.Source]:
    """Return at most `max_count` sources, selected by a stable hash of their ids and sorted by id.

    The first ones would be from the first folders only, because the candidates are sorted by id.

    Args:
      candidates: the sources.
      max_count: maximum number of sources; None for all.
      stream: name of the random stream; another name selects other sources.
    """
    selected = sorted(candidates, key=lambda source: (stable_hash.stable_fraction(f"{stream}:{source.id}"), source.id))[
        :max_count
    ]
    return sorted(selected, key=lambda source: source.id)


def read_sources(
    data: dataset.Records, split: str, domain: str, selected: Iterable[source_files.Source] | None = None
) -> Iterator[tuple[source_files.Source, np.ndarray]]:
    """Yield every source of a split of a domain with its features, shard by shard and by id within a shard.

    Args:
      data: the records.
      split: train, val or test.
      domain: name of the domain.
      selected: the sources to read; None for all. Shards without any of them are not read.
    """
    parts: list[np.ndarray] = []
    for source, segment, values in _read_segments(data, split, domain, selected):
        parts = [*parts, values] if segment else [values]
        if len(parts) == len(source.active):
            yield source, np.concatenate(parts)
            parts = []


def read_excerpts(
    data: dataset.Records, split: str, domain: str, selected: Iterable[source_files.Source], frames: int
) -> Iterator[tuple[source_files.Source, int, np.ndarray]]:
    """Yield an excerpt of at most `frames` frames of each source, with the index of its first frame.

    See :func:`excerpt_start`. Only the excerpt is kept in memory. An image is read completely.
    """
    parts, position, start = [], 0, 0
    for source, segment, values in _read_segments(data, split, domain, selected):
        if data.spec.kind == "image":
            yield source, 0, values
            continue
        if not segment:
            parts, position, start = [], 0, excerpt_start(source, frames, len(values))
        parts.append(values[max(0, start - position) : max(0, start + frames - position)])
        position += len(values)
        if segment == len(source.active) - 1:
            yield source, start, np.concatenate(parts)


def excerpt_start(source: source_files.Source, frames: int, record_frames: int) -> int:
    """Return the first frame of the excerpt of a recording.

    A stable hash of the stem selects it, so that excerpts of parallel recordings start at the same frame; if one of the
    records in the excerpt is silent, the next hash is tried.

    Args:
      source: the recording.
      frames: length of the excerpt.
      record_frames: frames of each of its records.
    """
    last_start = max(0, source.frames - frames)
    for attempt in range(EXCERPT_ATTEMPTS):
        start = int(stable_hash.stable_fraction(f"excerpt {attempt}:{pair_stem(source)}") * (last_start + 1))
        if all(source.active[start // record_frames : -(-(start + frames) // record_frames)]):
            return start
    return min(last_start, int(np.argmax(source.active)) * record_frames)


def _read_segments(
    data: dataset.Records, split: str, domain: str, selected: Iterable[source_files.Source] | None
) -> Iterator[tuple[source_files.Source, int, np.ndarray]]:
    """Yield the records of sources: the source, the index of the record in it, and its features."""
    sources_by_id = {source.id: source for source in (data.sources_of(split, domain) if selected is None else selected)}
    shards = {int(path.rpartition("-of-")[0][-5:]): path for path in data.shards(split, domain)}
    numbers = sorted({source.shard for source in sources_by_id.values()})
    if missing := [number for number in numbers if number not in shards]:
        raise UserError(
            f"{data.data_dir}: shard {missing[0]} of {domain}-{split} is missing; wanted {dataset.EXPECTED}"
        )
    paths = [shards[number] for number in numbers]
    with files.as_os_error(data.data_dir):
        for record in tf.data.TFRecordDataset(paths):
            key = tf.io.parse_single_example(record, KEY_FEATURES)
            source = sources_by_id.get(key["id"].numpy().decode())
            if source is not None:
                yield source, int(key["segment"]), cropping.parse_example(record, data.spec)["features"].numpy()
