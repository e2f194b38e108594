"""Records to batches: a function of the step alone, so that resuming needs no state but the step.

An epoch of a domain draws each record as many times as it has crops, or as its weight says. It consists of rounds,
and each round is one pass over the records in an order of its own: the draws of a record are spread evenly over the
rounds. So the segments of an hour are shuffled like clips, and no record waits long. The order depends on (seed,
epoch, round), every crop on (seed, row), where rows are numbered from the beginning of training. A run that resumes
at step n begins in the right round and skips to its place in it; a worker of several takes its own rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines.data import cropping, dataset, pairs, sample_weights, source_features, source_files, systematic_sampling
from pipelines.data.dataset import Records

CACHE_BYTES = 1 << 30  # records that are kept in memory, of all domains together
SHUFFLE_BYTES = 256 << 20  # records of a domain that wait to be drawn from


@dataclasses.dataclass(frozen=True)
class WorkerShard:
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
    share: WorkerShard | None = None,
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
    dataset.check_batches(data, plugin_class)
    share = share or WorkerShard()
    portion, rest = divmod(batch_size, share.workers * share.replicas)
    if rest or not portion:
        raise UserError(f"batch_size={batch_size}; wanted a multiple of {share.workers * share.replicas} replicas")
    first, seed = start_step * batch_size, plugin_config.seed
    rows = _serialized_rows(data, plugin_class, plugin_config, split, first).enumerate(start=first)
    each = batch_size // share.workers
    if share.workers > 1:
        rows = rows.filter(lambda row, _: (row % batch_size) // each == share.worker)

    @tf.autograph.experimental.do_not_convert
    def example(row, serialised):
        return _make_example(row, serialised, data, plugin_config.crop_frames, seed, batch_size, plugin_class.BATCHES)

    examples = rows.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(portion, drop_remainder=True).prefetch(4)


def _serialized_rows(data: Records, plugin_class: type, plugin_config, split: str, first: int) -> tf.data.Dataset:
    """Tuples of serialised records, from row `first` on."""
    names = _sampled_domains(data, plugin_class)
    if plugin_class.BATCHES == "paired":
        if data.weights is not None:
            raise UserError("sample weights want a plugin that draws examples one by one, not in pairs")
        return pairs.pair_stream(data, split, plugin_config, first=first)
    kept = domains_to_cache({name: _record_bytes(data, data.of(split, name)) for name in names})
    if plugin_class.BATCHES == "unpaired":
        begin = [first] * len(names)
    else:
        begin = [max(0, -(-(first - n) // len(names))) for n in range(len(names))]
    streams = [
        _domain_stream(data, split, name, plugin_config, first=begin[n], salt=n, cache=name in kept)
        for n, name in enumerate(names)
    ]
    if plugin_class.BATCHES == "unpaired":
        return tf.data.Dataset.zip(tuple(streams))
    turns = tf.data.Dataset.range(first, 2**62).map(lambda row: row % len(names))
    return tf.data.Dataset.choose_from_datasets(streams, turns).map(lambda record: (record,))


def _sampled_domains(data: Records, plugin_class: type) -> tuple[str, ...]:
    """The domains that a plugin's batches draw from."""
    return data.spec.domains[:2] if plugin_class.BATCHES in ("unpaired", "paired") else data.spec.domains


def domains_to_cache(sizes: dict[str, int]) -> set[str]:
    """Which domains are kept in memory: the smallest first, as long as all together stay within `CACHE_BYTES`.

    >>> cached({"a": CACHE_BYTES, "b": 5})
    {'b'}
    """
    order = sorted(sizes, key=sizes.get)
    return {
        name for name, total in zip(order, np.cumsum([sizes[n] for n in order]), strict=True) if total <= CACHE_BYTES
    }


def has_examples(data: Records, plugin_class: type, split: str) -> bool:
    """Whether a split has something for every domain that the plugin's batches draw from."""
    if plugin_class.BATCHES == "paired":
        return bool(pairs.pair_names(data, split))
    return all(source_features.sources_with_sound(data, split, name) for name in _sampled_domains(data, plugin_class))


def rows_of_epoch(data: Records, plugin_class: type, plugin_config, split: str) -> int:
    """Rows in which every domain that the plugin's batches draw from has been gone through once."""
    frames = _crop_frames(data, plugin_config)
    if plugin_class.BATCHES == "paired":
        return sum(pairs.pair_draws(data, split, frames).values())
    names = _sampled_domains(data, plugin_class)
    most = max(
        sum(cropping.crops_per_epoch(active, frames) for s in data.of(split, name) for active in s.active)
        for name in names
    )
    return most if plugin_class.BATCHES == "unpaired" else most * len(names)


def _crop_frames(data: Records, plugin_config) -> int:
    return plugin_config.crop_frames if data.spec.kind == "audio" else 1


def _record_bytes(data: Records, manifest: list[source_files.Source]) -> int:
    """What the records of sources hold."""
    wide = source_files.example_shape(data.spec.features, waveforms=data.waveforms)[1]
    return sum(int(2 * s.frames * wide if data.spec.kind == "audio" else s.length) for s in manifest)


def _make_example(row, serialised, data: Records, frames: int, seed: int, batch_size: int, batches_of: str) -> dict:
    spec, made = data.spec, {"index": tf.cast(row % batch_size, tf.int32), "step": row // batch_size}
    parsed = [cropping.parse_example(record, spec, waveform=batches_of == "waveforms") for record in serialised]
    features = [example["features"] for example in parsed]
    if batches_of in ("mixed", "waveforms"):
        made["domain"] = cropping.domain_index(parsed[0], spec)
    places = [tf.stack([row * 2 + salt, tf.constant(seed, tf.int64)]) for salt in range(2)]
    if batches_of == "waveforms":
        return made | cropping.crop_with_waveform(parsed[0], frames, data, places[0], row)
    if spec.kind == "audio":
        if batches_of == "paired":
            features = cropping.crop_pair(features, frames, spec, places[0])
        else:
            features = [
                cropping.random_crop(x, frames, spec, place) for x, place in zip(features, places, strict=False)
            ]
    return made | dict(zip(("x",) if batches_of == "mixed" else ("a", "b"), features, strict=True))


def _domain_stream(
    data: Records, split: str, domain: str, plugin_config, *, first: int, salt: int, cache: bool = True
) -> tf.data.Dataset:
    """Serialised records of a domain, epoch after epoch, from draw number `first` on."""
    in_order = sample_weights.shard_order(data.of(split, domain))
    crops = [cropping.crops_per_epoch(active, _crop_frames(data, plugin_config)) for _, _, active in in_order]
    if not sum(crops):
        count = len(data.of(split, domain))
        why = f"none of its {count} files sounds" if count else "it has no files"
        raise UserError(f"domain {domain}: nothing to draw from in the {split} split; {why}")
    size = _record_bytes(data, data.of(split, domain))
    base = tf.data.TFRecordDataset(data.shards(split, domain))
    base = base.cache() if cache else base
    shares = crops
    if data.weights is not None and split == "train":
        shares = sample_weights.expected_draws(in_order, data.weights, crops, domain)
    plan = systematic_sampling.SamplingRounds(shares, seed=2 * plugin_config.seed + 1000003 * salt)
    buffer = int(np.clip(SHUFFLE_BYTES * len(in_order) / max(1, size), 64, max(64, len(in_order))))

    def one_round(number):
        if plan.every:  # every record once
            return _shuffle(base, buffer, plan.seeds(number))
        return _shuffle(_repeat_records(base, plan.times(number)), buffer, plan.seeds(number))

    number, offset = plan.place_of(first)
    return tf.data.Dataset.range(number, 2**62).flat_map(one_round).skip(offset)


def _repeat_records(base: tf.data.Dataset, times: tf.Tensor) -> tf.data.Dataset:
    """The records of a round, each so many times in a row, `[records]`."""
    counted = tf.data.Dataset.zip((base, tf.data.Dataset.from_tensor_slices(times)))
    drawn = counted.filter(lambda _, count: count > 0)
    return drawn.flat_map(lambda record, count: tf.data.Dataset.from_tensors(record).repeat(count))


def _shuffle(base: tf.data.Dataset, buffer: int, seeds: tf.Tensor) -> tf.data.Dataset:
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
