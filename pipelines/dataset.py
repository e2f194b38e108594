"""Records to batches: a function of the step alone, so that resuming needs no state but the step.

Every epoch is the records of a split in an order that depends on (seed, epoch); every crop depends
on (seed, row), where rows are numbered from the beginning of training. A run that resumes at step
n begins in the right epoch and skips to its place in it; a worker of several takes its own rows.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from models import spectral
from models.errors import UserError
from models.features.spec import Spec
from pipelines import config, records, sources, weights

CACHE_BYTES = 1 << 30  # a split up to this size is kept in memory
SHUFFLE_BYTES = 256 << 20  # records that wait to be drawn from


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
      UserError: there is nothing, or `preprocess` did not finish.
    """
    marker = posixpath.join(data_dir, "dataset_info.json")
    if not tf.io.gfile.exists(marker):
        what = "is not there" if not tf.io.gfile.exists(data_dir) else "is incomplete (no dataset_info.json)"
        raise UserError(f"{data_dir} {what}; wanted the --data_dir of a finished preprocess")
    with tf.io.gfile.GFile(posixpath.join(data_dir, "statistics.json")) as file:
        spec = config.spec_from_json(json.load(file))
    with tf.io.gfile.GFile(posixpath.join(data_dir, "manifest.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    found = tuple(map(sources.Source.from_json, rows))
    with tf.io.gfile.GFile(posixpath.join(data_dir, "features.json")) as file:
        held = json.load(file)["featuresDict"]["features"]
    return Records(data_dir, spec, found, records.WAVEFORM in held)


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
        x = tf.ensure_shape(data.imitate(x, _domain_of(example, spec), row), [frames, spec.bins])
    return {"x": x, "waveform": waveform}


def _domain_of(example: dict, spec: Spec) -> tf.Tensor:
    return tf.cast(tf.argmax(example["domain"] == tf.constant(spec.domains)), tf.int32)


def crop_alike(pair: list[tf.Tensor], frames: int, spec: Spec, seed: tf.Tensor) -> list[tf.Tensor]:
    """The same random frames of recordings that run alike, where the first sounds."""
    shorter = tf.reduce_min([tf.shape(x)[0] for x in pair])
    start = start_of_crop(pair[0][:shorter], frames, spec, seed)
    return [cut(x[:shorter], start, frames, spec) for x in pair]


# ------------------------------------------------------------------ batches


@dataclasses.dataclass(frozen=True)
class Share:
    """Which rows of every global batch a worker takes, and in how many replicas' portions."""

    worker: int = 0
    workers: int = 1
    replicas: int = 1


def batches(
    data: Records,
    plugin_class: type,
    plugin_config,
    *,
    batch_size: int,
    split: str = "train",
    start_step: int = 0,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Endless batches for a plugin from step `start_step` on; each replica's portion is an element.

    Args:
      data: the records.
      plugin_class: its `BATCHES` says what a batch holds.
      plugin_config: for `crop_frames` and `seed`.
      batch_size: rows of a global batch.
      split: train, val or test.
      start_step: the first step.
      share: this worker's; all rows if not given.

    Raises:
      UserError: a domain has no usable record in the split, there are no waveforms where the plugin wants
        them, or the batch cannot be shared out.
    """
    check(data, plugin_class)
    share = share or Share()
    portion, rest = divmod(batch_size, share.workers * share.replicas)
    if rest or not portion:
        raise UserError(f"batch_size={batch_size}; wanted a multiple of {share.workers * share.replicas} replicas")
    first, seed = start_step * batch_size, plugin_config.seed
    domains = data.spec.domains
    if plugin_class.BATCHES == "paired":
        if data.weights is not None:
            raise UserError("sample weights want a plugin that draws examples one by one, not in pairs")
        rows = _pairs(data, split, plugin_config, first)
    elif plugin_class.BATCHES == "unpaired":
        streams = [_stream(data, split, name, plugin_config, first=first, salt=n) for n, name in enumerate(domains[:2])]
        rows = tf.data.Dataset.zip(tuple(streams))
    else:
        firsts = [-(-(first - n) // len(domains)) for n in range(len(domains))]
        streams = [
            _stream(data, split, name, plugin_config, first=max(0, firsts[n]), salt=n) for n, name in enumerate(domains)
        ]
        turns = tf.data.Dataset.range(first, 2**62).map(lambda row: row % len(domains))
        rows = tf.data.Dataset.choose_from_datasets(streams, turns).map(lambda record: (record,))
    rows = rows.enumerate(start=first)
    each = batch_size // share.workers
    if share.workers > 1:
        rows = rows.filter(lambda row, _: (row % batch_size) // each == share.worker)

    @tf.autograph.experimental.do_not_convert
    def example(row, found):
        return _example(row, found, data, plugin_config.crop_frames, seed, batch_size, plugin_class.BATCHES)

    made = rows.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return made.batch(portion, drop_remainder=True).prefetch(4)


def can_draw(data: Records, plugin_class: type, split: str) -> bool:
    """Whether a split has something for every domain that the plugin's batches draw from."""
    domains = data.spec.domains[:2] if plugin_class.BATCHES in ("unpaired", "paired") else data.spec.domains
    sounding = [{_stem(s.id) for s in data.of(split, name) if any(s.active)} for name in domains]
    return bool(set.intersection(*sounding)) if plugin_class.BATCHES == "paired" else all(sounding)


def _example(row, found, data: Records, frames: int, seed: int, batch_size: int, batches_of: str) -> dict:
    spec, made = data.spec, {"index": tf.cast(row % batch_size, tf.int32), "step": row // batch_size}
    parsed = [parse(record, spec, waveform=batches_of == "waveforms") for record in found]
    features = [example["features"] for example in parsed]
    if batches_of in ("mixed", "waveforms"):
        made["domain"] = _domain_of(parsed[0], spec)
    places = [tf.stack([row * 2 + salt, tf.constant(seed, tf.int64)]) for salt in range(2)]
    if batches_of == "waveforms":
        return made | crop_with_samples(parsed[0], frames, data, places[0], row)
    if spec.kind == "audio":
        if batches_of == "paired":
            features = crop_alike(features, frames, spec, places[0])
        else:
            features = [crop(x, frames, spec, place) for x, place in zip(features, places, strict=False)]
    return made | dict(zip(("x",) if batches_of == "mixed" else ("a", "b"), features, strict=True))


def crops_of(active: int, frames: int) -> int:
    """How often an epoch draws from a record in which `active` frames sound; never from silence."""
    return max(1, round(active / frames)) if active else 0


def _stream(data: Records, split: str, domain: str, plugin_config, *, first: int, salt: int) -> tf.data.Dataset:
    """Serialised records of a domain, epoch after epoch, from draw number `first` on."""
    frames = plugin_config.crop_frames if data.spec.kind == "audio" else 1
    found = data.of(split, domain)
    draws = sum(crops_of(active, frames) for source in found for active in source.active)
    if not draws:
        why = f"none of its {len(found)} files sounds" if found else "it has no files"
        raise UserError(f"domain {domain}: nothing to draw from in the {split} split; {why}")
    wide = sources.shape(data.spec.features, waveforms=data.waveforms)[1]
    size = sum(2 * s.frames * wide if data.spec.kind == "audio" else s.length for s in found)
    base = tf.data.TFRecordDataset(data.shards(split, domain))
    if size <= CACHE_BYTES:
        base = base.cache()

    def repeated(record):
        active = tf.io.parse_single_example(record, {"active": tf.io.FixedLenFeature([], tf.int64)})["active"]
        times = tf.cast(tf.round(active / frames), tf.int64)
        times = tf.where(active > 0, tf.maximum(times, 1), 0)
        return tf.data.Dataset.from_tensors(record).repeat(times)

    weighed = data.weights is not None and split == "train"
    if weighed:
        crops = [crops_of(active, frames) for _, _, active in weights.in_order(found)]
        edges = tf.constant(weights.edges_of(found, data.weights, crops, domain), tf.float64)
    buffer = int(np.clip(SHUFFLE_BYTES * len(found) / max(1, size), 64, draws))
    seed = 2 * plugin_config.seed + 1000003 * salt

    def epoch(number):
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        if not weighed:
            return _shuffled(base.flat_map(repeated), buffer, seeds)
        times = weights.times(edges, seeds)
        drawn = base.enumerate().flat_map(lambda n, record: tf.data.Dataset.from_tensors(record).repeat(times[n]))
        return _shuffled(drawn, buffer, seeds)

    number, offset = divmod(first, draws)
    return tf.data.Dataset.range(number, 2**62).flat_map(epoch).skip(offset)


def _pairs(data: Records, split: str, plugin_config, first: int) -> tf.data.Dataset:
    """Pairs of records of the same stem in the first two domains, epoch after epoch; held in memory."""
    a, b = ({}, {})
    for found, name in zip((a, b), data.spec.domains, strict=False):
        for record in tf.data.TFRecordDataset(data.shards(split, name)):
            example = parse(record, data.spec)
            if int(example["active"]):
                found[_stem(example["id"].numpy().decode()), int(example["segment"])] = record.numpy()
    both = sorted(a.keys() & b.keys())
    if not both:
        names = " and ".join(data.spec.domains[:2])
        raise UserError(f"no file of {names} has the same name in both, in the {split} split; pairs are found by name")
    frames = plugin_config.crop_frames if data.spec.kind == "audio" else 1
    actives = {_stem(s.id): s.active for s in data.of(split, data.spec.domains[0])}
    drawn = [key for key in both for _ in range(crops_of(actives[key[0]][key[1]], frames))]
    number, offset = divmod(first, len(drawn))

    def epoch(number):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(drawn)), [plugin_config.seed, number])
        return tf.data.Dataset.from_tensor_slices(order)

    a, b = (tf.constant([found[key] for key in drawn]) for found in (a, b))
    order = tf.data.Dataset.range(number, 2**62).flat_map(epoch).skip(offset)
    return order.map(lambda n: (a[n], b[n]))


def _stem(identifier: str) -> str:
    """What the files of a pair have in common: the path below their domain, without its ending."""
    return posixpath.splitext(identifier.partition("/")[2])[0]


def _shuffled(base: tf.data.Dataset, buffer: int, seeds: tf.Tensor) -> tf.data.Dataset:
    """`Dataset.shuffle` whose seed may be a tensor, and which the global seed does not change."""
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(base),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=seeds[0],
        seed2=seeds[1] + 1,  # (0, 0) would mean a random seed
        output_types=[tf.string],
        output_shapes=[tf.TensorShape([])],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))


# ------------------------------------------------------------------ whole sources


def whole(data: Records, split: str, domain: str) -> Iterator[tuple[sources.Source, np.ndarray]]:
    """Every source of a split of a domain with its features, the parts of a long one joined.

    Shard after shard, by id in each.
    """
    waiting = {source.id: source for source in data.of(split, domain)}
    parts: list[np.ndarray] = []
    for record in tf.data.TFRecordDataset(data.shards(split, domain)):
        example = parse(record, data.spec)
        parts.append(example["features"].numpy())
        source = waiting[example["id"].numpy().decode()]
        if len(parts) == len(source.active):
            yield source, np.concatenate(parts)
            parts = []
