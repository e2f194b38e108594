"""A finished data directory: its records one by one, crops of them, and whole sources or excerpts."""

from __future__ import annotations

import dataclasses
import glob
import os
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from models import spectral
from models.errors import UserError
from models.features.spec import Spec
from pipelines import config, files, records, sources

MANIFEST = "manifest.jsonl"
EXCERPT_TURNS = 16
WRITTEN = "what preprocess writes; run it again"
HEAD = {"id": tf.io.FixedLenFeature([], tf.string), "segment": tf.io.FixedLenFeature([], tf.int64)}


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
      weights: (id, segment) to how often a training record is drawn, see `pipelines.weights`; None for all alike.
    """

    data_dir: str
    spec: Spec
    sources: tuple[sources.Source, ...]
    waveforms: bool = False
    imitate: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    weights: Mapping[tuple[str, int], float] | None = None

    def of(self, split: str, domain: str) -> list[sources.Source]:
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
    fields, features_fields = files.read_json(statistics, WRITTEN), files.read_json(features, WRITTEN)
    try:
        spec, waveforms = config.spec_from_json(fields), records.WAVEFORM in features_fields["featuresDict"]["features"]
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{statistics} or features.json lacks {error}; wanted {WRITTEN}") from None
    _need_shards(data_dir, marker)
    return Records(data_dir, spec, read_manifest(data_dir), waveforms)


def _need_shards(data_dir: str, marker: str) -> None:
    """Raises UserError where a shard is gone or of another size: a split without records would be read for ever.

    On a store, whose sizes are a request each, only names are compared.
    """
    try:
        listed = [
            (split["filepathTemplate"].partition("{")[0], len(split["shardLengths"]), int(split["numBytes"]))
            for split in files.read_json(marker, WRITTEN)["splits"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{marker} lacks {error}; wanted {WRITTEN}") from None
    present = {name.rstrip("/") for name in tf.io.gfile.listdir(data_dir)}
    for start, count, size in listed:
        names = [f"{start}{number:05d}-of-{count:05d}" for number in range(count)]
        if lost := [name for name in names if name not in present]:
            raise UserError(f"{data_dir}: {lost[0]} is not there; wanted {WRITTEN}")
        if "://" not in data_dir:
            total = sum(os.path.getsize(os.path.join(data_dir, name)) for name in names)
            if total != size:
                raise UserError(f"{data_dir}: {start}* hold {total} bytes, not {size}; wanted {WRITTEN}")


def read_manifest(data_dir: str) -> tuple[sources.Source, ...]:
    """The sources of a data directory, all splits.

    Raises:
      OSError: it has no manifest.
      UserError: a line that is cut off, or not of this version.
    """
    path, manifest = posixpath.join(data_dir, MANIFEST), []
    for row in files.read_rows(path, WRITTEN):
        try:
            manifest.append(sources.Source.from_json(row))
        except TypeError as error:
            raise UserError(f"{path}: {row.get('id', 'a line')}: {error}; wanted {WRITTEN}") from None
    return tuple(manifest)


def check(data: Records, plugin_class: type) -> None:
    """Refuses records that lack what the plugin's batches hold.

    Raises:
      UserError: they hold no waveforms, and the plugin wants them.
    """
    if plugin_class.BATCHES == "waveforms" and not data.waveforms:
        raise UserError(f"{data.data_dir} has no waveforms; run preprocess with --keep_waveforms")


# ------------------------------------------------------------------ one record


def parse(record: tf.Tensor, spec: Spec, *, waveform: bool = False) -> dict[str, tf.Tensor]:
    """A serialised example: `features` as float32 (log-mels, pixels in [-1, 1]), texts, numbers; samples if asked."""
    name, kept = records.FEATURE[spec.kind], [records.WAVEFORM] * waveform
    table = {key: tf.io.FixedLenFeature([], tf.string) for key in (name, *kept, *records.TEXTS)}
    table |= {key: tf.io.FixedLenFeature([], tf.int64) for key in records.NUMBERS}
    example = tf.io.parse_single_example(record, table)
    raw = tf.io.decode_raw(example.pop(name), tf.as_dtype(records.DTYPE[spec.kind]))
    shape = [-1 if size is None else size for size in spec.feature_shape()]
    values = tf.cast(tf.reshape(raw, shape), tf.float32)
    example["features"] = values if spec.kind == "audio" else values / 127.5 - 1.0
    for key in kept:
        example[key] = tf.cast(tf.io.decode_raw(example[key], tf.as_dtype(records.DTYPE["audio"])), tf.float32)
    return example


def crop(log_mels: tf.Tensor, frames: int, spec: Spec, seed: tf.Tensor) -> tf.Tensor:
    """`frames` frames of `[any, mels]` around a random one that sounds; silence where there are none.

    A crop may reach a quarter of its length over either end, as conversion does to give every frame
    its context.
    """
    return cut(log_mels, start_of_crop(log_mels, frames, spec, seed), frames, spec)


def start_of_crop(log_mels: tf.Tensor, frames: int, spec: Spec, seed: tf.Tensor) -> tf.Tensor:
    """The first frame of a random crop, which may be negative."""
    available = tf.shape(log_mels)[0]
    sounds = tf.where(spectral.active_frames(log_mels, spec.features))[:, 0]
    draw = tf.random.stateless_uniform([2], seed, alg="philox")
    place = tf.cast(draw[0] * tf.cast(tf.shape(sounds)[0], tf.float32), tf.int32)
    centre = tf.cast(tf.concat([sounds, [tf.cast(available // 2, sounds.dtype)]], axis=0)[place], tf.int32)
    start = centre - tf.cast(draw[1] * frames, tf.int32)
    slack = frames // 4
    room = available - frames
    return tf.clip_by_value(start, tf.minimum(0, room) - slack, tf.maximum(0, room) + slack)


def cut(log_mels: tf.Tensor, start: tf.Tensor, frames: int, spec: Spec) -> tf.Tensor:
    """`frames` frames from `start` on; silence where there are none."""
    return _stretch(log_mels, start, frames, beyond=spec.features.log_floor)


def _stretch(rows: tf.Tensor, start: tf.Tensor, count: int, *, beyond: float) -> tf.Tensor:
    """`count` rows of `[any, ...]` from `start` on; `beyond` where there are none."""
    available = tf.shape(rows)[0]
    before, after = tf.maximum(0, -start), tf.maximum(0, start + count - available)
    inside = rows[tf.maximum(0, start) : start + count]
    padded = tf.pad(inside, [[before, after], *[[0, 0]] * (len(rows.shape) - 1)], constant_values=beyond)
    return tf.ensure_shape(padded, [count, *rows.shape[1:]])


def crop_with_samples(example: dict, frames: int, data: Records, seed: tf.Tensor, row: tf.Tensor) -> dict:
    """A :func:`crop` of an example, `x`, and the samples from the middle of its first frame to that of its last."""
    spec, hop = data.spec, data.spec.features.hop_length
    margin = data.imitate.margin if data.imitate else 0
    start = start_of_crop(example["features"], frames, spec, seed)
    x = cut(example["features"], start - margin, frames + 2 * margin, spec)
    waveform = _stretch(example[records.WAVEFORM], start * hop, (frames - 1) * hop, beyond=0.0)
    if data.imitate:
        x = tf.ensure_shape(data.imitate(x, domain_of(example, spec), row), [frames, spec.bins])
    return {"x": x, "waveform": waveform}


def domain_of(example: dict, spec: Spec) -> tf.Tensor:
    """The number of a parsed example's domain."""
    return tf.cast(tf.argmax(example["domain"] == tf.constant(spec.domains)), tf.int32)


def crop_alike(pair: list[tf.Tensor], frames: int, spec: Spec, seed: tf.Tensor) -> list[tf.Tensor]:
    """The same random frames of recordings that run alike, where the first sounds."""
    shorter = tf.reduce_min([tf.shape(x)[0] for x in pair])
    start = start_of_crop(pair[0][:shorter], frames, spec, seed)
    return [cut(x[:shorter], start, frames, spec) for x in pair]


def crops_of(active: int, frames: int) -> int:
    """How often an epoch draws from a record in which `active` frames sound; never from silence."""
    return max(1, round(active / frames)) if active else 0


# ------------------------------------------------------------------ whole sources


def stem(source: sources.Source) -> str:
    """What parallel files have in common: the path below their domain, without its ending.

    An accent may be a character of its own or part of its letter: both are one name (Unicode's NFC).
    """
    return unicodedata.normalize("NFC", posixpath.splitext(source.id.partition("/")[2])[0])


def sounding(data: Records, split: str, domain: str) -> list[sources.Source]:
    """The sources of a split of a domain in which something sounds, all pictures."""
    return [source for source in data.of(split, domain) if any(source.active)]


def chosen(candidates: Iterable[sources.Source], most: int | None, salt: str) -> list[sources.Source]:
    """At most so many sources, those that a stable hash of their ids chooses, by id.

    The first ones would be of the first folders alone: shards and manifests are in the order of ids.

    Args:
      candidates: the sources.
      most: how many; None for all.
      salt: another chooses others.
    """
    drawn = sorted(candidates, key=lambda source: (records.stable_fraction(f"{salt}:{source.id}"), source.id))[:most]
    return sorted(drawn, key=lambda source: source.id)


def whole(
    data: Records, split: str, domain: str, only: Iterable[sources.Source] | None = None
) -> Iterator[tuple[sources.Source, np.ndarray]]:
    """Every source of a split of a domain with its features, the parts of a long one joined.

    Shard after shard, by id in each.

    Args:
      data: the records.
      split: train, val or test.
      domain: its name.
      only: the sources that are wanted; all if not given. Other shards are not read.
    """
    parts: list[np.ndarray] = []
    for source, segment, values in _segments(data, split, domain, only):
        parts = [*parts, values] if segment else [values]
        if len(parts) == len(source.active):
            yield source, np.concatenate(parts)
            parts = []


def excerpts(
    data: Records, split: str, domain: str, only: Iterable[sources.Source], frames: int
) -> Iterator[tuple[sources.Source, int, np.ndarray]]:
    """Of each source a stretch of at most `frames` frames that sounds, with the number of its first frame.

    Where it begins, see :func:`excerpt_start`. No more than the stretch is kept in memory. A picture is all there.
    """
    parts, at, start = [], 0, 0
    for source, segment, values in _segments(data, split, domain, only):
        if data.spec.kind == "image":
            yield source, 0, values
            continue
        if not segment:
            parts, at, start = [], 0, excerpt_start(source, frames, len(values))
        parts.append(values[max(0, start - at) : max(0, start + frames - at)])
        at += len(values)
        if segment == len(source.active) - 1:
            yield source, start, np.concatenate(parts)


def excerpt_start(source: sources.Source, frames: int, each: int) -> int:
    """The first frame of the excerpt of a recording whose records hold `each` frames.

    A stable hash of the stem chooses among the frames at which it can begin, so that parallel recordings are looked
    at in the same places; where a record that it reaches into is silent, it chooses again.
    """
    room = max(0, source.frames - frames)
    for turn in range(EXCERPT_TURNS):
        start = int(records.stable_fraction(f"excerpt {turn}:{stem(source)}") * (room + 1))
        if all(source.active[start // each : -(-(start + frames) // each)]):
            return start
    return min(room, int(np.argmax(source.active)) * each)


def _segments(
    data: Records, split: str, domain: str, only: Iterable[sources.Source] | None
) -> Iterator[tuple[sources.Source, int, np.ndarray]]:
    """The records of sources: the source, the number of the record in it, and its features."""
    wanted = {source.id: source for source in (data.of(split, domain) if only is None else only)}
    shards = {int(path.rpartition("-of-")[0][-5:]): path for path in data.shards(split, domain)}
    numbers = sorted({source.shard for source in wanted.values()})
    if lost := [number for number in numbers if number not in shards]:
        raise UserError(f"{data.data_dir}: shard {lost[0]} of {domain}-{split} is gone; wanted {WRITTEN}")
    read = [shards[number] for number in numbers]
    with files.one_line(data.data_dir):
        for record in tf.data.TFRecordDataset(read):
            head = tf.io.parse_single_example(record, HEAD)
            source = wanted.get(head["id"].numpy().decode())
            if source is not None:
                yield source, int(head["segment"]), parse(record, data.spec)["features"].numpy()
