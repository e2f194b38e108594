"""Batches for training, as a function of the step alone, so that resuming needs no other state.

An epoch of a domain draws each record as many times as it has crops, or by its weight. It consists of rounds, and each
round is one pass over the records in a random order: the draws of a record are spread evenly over the rounds, so that
the segments of a long recording are shuffled like short ones and no record waits long. The order depends on (seed,
epoch, round), every crop on (seed, row); rows are numbered from the beginning of training. A run that resumes at step n
starts in the right round and skips to its row; each worker of several takes its own rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines.data import cropping, dataset, pairs, sample_weights, source_features, source_files, systematic_sampling
from pipelines.data.dataset import Records

CACHE_BYTES = 1 << 30  # total size of the domains that are cached in memory
SHUFFLE_BYTES = 256 << 20  # size of the shuffle buffer of a domain


@dataclasses.dataclass(frozen=True)
class WorkerShard:
    """The rows of every global batch that one worker computes.

    Attributes:
      worker: index of the worker.
      num_workers: number of workers.
      num_replicas: replicas in each worker.
    """

    worker: int = 0
    num_workers: int = 1
    num_replicas: int = 1


def batches(
    data: Records,
    plugin_class: type,
    plugin_config,
    *,
    batch_size: int,
    split: str = "train",
    start_step: int = 0,
    shard: WorkerShard | None = None,
) -> tf.data.Dataset:
    """Return the endless data set of a plugin's batches; each element is the batch of one replica.

    Args:
      data: the records.
      plugin_class: its `BATCHES` states the form of a batch.
      plugin_config: for `crop_frames` and `seed`.
      batch_size: rows of a global batch.
      split: train, val or test.
      start_step: the first step.
      shard: the rows of this worker; None for all rows.

    Raises:
      UserError: a domain has no usable record in the split, the plugin needs waveforms that the records lack, or the
        batch size is not a multiple of the number of replicas.
    """
    dataset.check_batches(data, plugin_class)
    shard = shard or WorkerShard()
    replica_rows, remainder = divmod(batch_size, shard.num_workers * shard.num_replicas)
    if remainder or not replica_rows:
        raise UserError(
            f"batch_size={batch_size}; wanted a multiple of {shard.num_workers * shard.num_replicas} replicas"
        )
    first, seed = start_step * batch_size, plugin_config.seed
    rows = _serialized_rows(data, plugin_class, plugin_config, split, first).enumerate(start=first)
    worker_rows = batch_size // shard.num_workers
    if shard.num_workers > 1:
        rows = rows.filter(lambda row, _: (row % batch_size) // worker_rows == shard.worker)

    @tf.autograph.experimental.do_not_convert
    def example(row, serialised):
        return _make_example(row, serialised, data, plugin_config.crop_frames, seed, batch_size, plugin_class.BATCHES)

    examples = rows.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(replica_rows, drop_remainder=True).prefetch(4)


def _serialized_rows(data: Records, plugin_class: type, plugin_config, split: str, first: int) -> tf.data.Dataset:
    """Return the data set of tuples of serialised records, from row `first`."""
    names = _sampled_domains(data, plugin_class)
    if plugin_class.BATCHES == "paired":
        if data.weights is not None:
            raise UserError("sample weights cannot be used with paired batches; remove --sample_weights")
        return pairs.pair_stream(data, split, plugin_config, first=first)
    cached = domains_to_cache({name: _record_bytes(data, data.sources_of(split, name)) for name in names})
    if plugin_class.BATCHES == "unpaired":
        first_draws = [first] * len(names)
    else:
        first_draws = [max(0, -(-(first - n) // len(names))) for n in range(len(names))]
    streams = [
        _domain_stream(data, split, name, plugin_config, first=first_draws[n], domain_index=n, cache=name in cached)
        for n, name in enumerate(names)
    ]
    if plugin_class.BATCHES == "unpaired":
        return tf.data.Dataset.zip(tuple(streams))
    domain_indices = tf.data.Dataset.range(first, 2**62).map(lambda row: row % len(names))
    return tf.data.Dataset.choose_from_datasets(streams, domain_indices).map(lambda record: (record,))


def _sampled_domains(data: Records, plugin_class: type) -> tuple[str, ...]:
    """Return the domains that a plugin's batches are drawn from."""
    return data.spec.domains[:2] if plugin_class.BATCHES in ("unpaired", "paired") else data.spec.domains


def domains_to_cache(sizes: dict[str, int]) -> set[str]:
    """Select the domains to cache in memory: the smallest first, within `CACHE_BYTES` in total.

    >>> domains_to_cache({"a": CACHE_BYTES, "b": 5})
    {'b'}
    """
    order = sorted(sizes, key=sizes.get)
    return {
        name for name, total in zip(order, np.cumsum([sizes[n] for n in order]), strict=True) if total <= CACHE_BYTES
    }


def has_examples(data: Records, plugin_class: type, split: str) -> bool:
    """Whether a split has examples of every domain that the plugin's batches are drawn from."""
    if plugin_class.BATCHES == "paired":
        return bool(pairs.pair_names(data, split))
    return all(source_features.sources_with_sound(data, split, name) for name in _sampled_domains(data, plugin_class))


def rows_of_epoch(data: Records, plugin_class: type, plugin_config, split: str) -> int:
    """Return the number of rows after which each domain has been drawn at least once completely."""
    frames = _crop_frames(data, plugin_config)
    if plugin_class.BATCHES == "paired":
        return sum(pairs.pair_draws(data, split, frames).values())
    names = _sampled_domains(data, plugin_class)
    max_draws = max(
        sum(cropping.crops_per_epoch(active, frames) for s in data.sources_of(split, name) for active in s.active)
        for name in names
    )
    return max_draws if plugin_class.BATCHES == "unpaired" else max_draws * len(names)


def _crop_frames(data: Records, plugin_config) -> int:
    return plugin_config.crop_frames if data.spec.kind == "audio" else 1


def _record_bytes(data: Records, manifest: list[source_files.Source]) -> int:
    """Return the size of the records of sources, in bytes."""
    width = source_files.example_shape(data.spec.features, waveforms=data.waveforms)[1]
    return sum(int(2 * s.frames * width if data.spec.kind == "audio" else s.length) for s in manifest)


def _make_example(row, serialised, data: Records, frames: int, seed: int, batch_size: int, batch_form: str) -> dict:
    """Return the example of a row: parsed records, cropped and named as the form of the batch requires."""
    spec, batch = data.spec, {"index": tf.cast(row % batch_size, tf.int32), "step": row // batch_size}
    parsed = [cropping.parse_example(record, spec, waveform=batch_form == "waveforms") for record in serialised]
    features = [parsed_example["features"] for parsed_example in parsed]
    if batch_form in ("mixed", "waveforms"):
        batch["domain"] = cropping.domain_index(parsed[0], spec)
    seeds = [tf.stack([row * 2 + crop, tf.constant(seed, tf.int64)]) for crop in range(2)]
    if batch_form == "waveforms":
        return batch | cropping.crop_with_waveform(parsed[0], frames, data, seeds[0], row)
    if spec.kind == "audio":
        if batch_form == "paired":
            features = cropping.crop_pair(features, frames, spec, seeds[0])
        else:
            features = [
                cropping.random_crop(x, frames, spec, crop_seed) for x, crop_seed in zip(features, seeds, strict=False)
            ]
    return batch | dict(zip(("x",) if batch_form == "mixed" else ("a", "b"), features, strict=True))


def _domain_stream(
    data: Records, split: str, domain: str, plugin_config, *, first: int, domain_index: int, cache: bool = True
) -> tf.data.Dataset:
    """Return the data set of serialised records of a domain, epoch after epoch, from draw `first`."""
    ordered = sample_weights.shard_order(data.sources_of(split, domain))
    crops = [cropping.crops_per_epoch(active, _crop_frames(data, plugin_config)) for _, _, active in ordered]
    if not sum(crops):
        count = len(data.sources_of(split, domain))
        reason = f"all of its {count} files are silent" if count else "it has no files"
        raise UserError(f"domain {domain}: no example in the {split} split; {reason}")
    size = _record_bytes(data, data.sources_of(split, domain))
    base = tf.data.TFRecordDataset(data.shards(split, domain))
    base = base.cache() if cache else base
    draws = crops
    if data.weights is not None and split == "train":
        draws = sample_weights.expected_draws(ordered, data.weights, crops, domain)
    plan = systematic_sampling.SamplingRounds(draws, seed=2 * plugin_config.seed + 1000003 * domain_index)
    buffer = int(np.clip(SHUFFLE_BYTES * len(ordered) / max(1, size), 64, max(64, len(ordered))))

    def one_round(number):
        if plan.uniform:  # every record once
            return _shuffle(base, buffer, plan.seeds(number))
        return _shuffle(_repeat_records(base, plan.draw_counts(number)), buffer, plan.seeds(number))

    number, offset = plan.locate(first)
    return tf.data.Dataset.range(number, 2**62).flat_map(one_round).skip(offset)


def _repeat_records(base: tf.data.Dataset, times: tf.Tensor) -> tf.data.Dataset:
    """Repeat each record of a round `times` times; `times` is `[records]`."""
    counted = tf.data.Dataset.zip((base, tf.data.Dataset.from_tensor_slices(times)))
    nonzero = counted.filter(lambda _, count: count > 0)
    return nonzero.flat_map(lambda record, count: tf.data.Dataset.from_tensors(record).repeat(count))


def _shuffle(base: tf.data.Dataset, buffer: int, seeds: tf.Tensor) -> tf.data.Dataset:
    """`Dataset.shuffle` with a seed that may be a tensor and that does not depend on the global seed."""
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
