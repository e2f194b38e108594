"""Pairs of files: those with the same name in the first two domains, aligned in time."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from models.errors import UserError
from pipelines import files
from pipelines.data import cropping, dataset, source_features, source_files, systematic_sampling
from pipelines.data.dataset import Records
from pipelines.data.splits import SPLITS

PairName = tuple[str, float]  # stem of the files, and the start of a part of a recording in seconds


def sources_by_name(data: Records, split: str, domain: str) -> dict[PairName, source_files.Source]:
    """Return the sources of a split of a domain that are not silent, by the name that identifies a pair.

    Raises:
      UserError: two files have the same name, so that the pair is ambiguous.
    """
    sources: dict[PairName, source_files.Source] = {}
    for source in source_features.sources_with_sound(data, split, domain):
        name = source_features.pair_stem(source), source.part[0] if source.part else 0.0
        if name in sources:
            message = f"{sources[name].id} and {source.id}"
            raise UserError(
                f"{message} have the same name except for extension or accents; wanted one file for each pair"
            )
        sources[name] = source
    return sources


def pair_names(data: Records, split: str) -> list[PairName]:
    """Return the names of the pairs of a split, sorted."""
    a, b = (sources_by_name(data, split, domain) for domain in data.spec.domains[:2])
    return sorted(a.keys() & b.keys())


def pair_draws(data: Records, split: str, frames: int) -> dict[tuple[str, int, str, int], int]:
    """Return how often an epoch draws each pair of records: by id and segment of both.

    The recordings of a pair start together; the last records of the longer one have no partner.

    Args:
      data: the records.
      split: train, val or test.
      frames: frames of a crop; 1 for an image.
    """
    a, b = (sources_by_name(data, split, domain) for domain in data.spec.domains[:2])
    draws = {}
    for first, second in ((a[name], b[name]) for name in sorted(a.keys() & b.keys())):
        for segment, (first_active, second_active) in enumerate(zip(first.active, second.active, strict=False)):
            if first_active and second_active:
                draws[first.id, segment, second.id, segment] = cropping.crops_per_epoch(first_active, frames)
    return draws


def pair_stream(data: Records, split: str, plugin_config, *, first: int) -> tf.data.Dataset:
    """Return the data set of pairs of serialised records, epoch after epoch, from draw `first`; all are held in memory.

    Raises:
      UserError: there is no pair, or two files have the same name.
    """
    frames = plugin_config.crop_frames if data.spec.kind == "audio" else 1
    draws = pair_draws(data, split, frames)
    if not draws:
        domains = " and ".join(data.spec.domains[:2])
        raise UserError(f"no pair in the {split} split: no file has the same name in {domains}")
    serialised = [_read_records(data, split, domain, n, list(draws)) for n, domain in enumerate(data.spec.domains[:2])]
    plan = systematic_sampling.SamplingRounds(list(draws.values()), seed=plugin_config.seed)

    def one_round(number):
        order = tf.repeat(tf.range(len(draws)), plan.draw_counts(number))
        return tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(order, plan.seeds(number)))

    number, offset = plan.locate(first)
    order = tf.data.Dataset.range(number, 2**62).flat_map(one_round).skip(offset)
    return order.map(lambda n: tuple(records[n] for records in serialised))


def _read_records(data: Records, split: str, domain: str, n: int, pairs: Sequence[tuple]) -> tf.Tensor:
    """Return the serialised records of the first or second domain (`n` = 0, 1) of each pair, `[pairs]`."""
    positions = {key[2 * n : 2 * n + 2]: position for position, key in enumerate(pairs)}
    serialised: list[bytes] = [b""] * len(pairs)
    with files.as_os_error(data.data_dir):
        for record in tf.data.TFRecordDataset(data.shards(split, domain)):
            key_features = tf.io.parse_single_example(record, source_features.KEY_FEATURES)
            position = positions.get((key_features["id"].numpy().decode(), int(key_features["segment"])))
            if position is not None:
                serialised[position] = record.numpy()
    if missing := [key for key, position in positions.items() if not serialised[position]]:
        raise UserError(f"{data.data_dir}: the record of {missing[0][0]} is missing; wanted {dataset.EXPECTED}")
    return tf.constant(serialised)


def describe_pairs(data: Records) -> str:
    """Return a sentence with the number of pairs, and of files of each domain without a partner in their split."""
    splits, unpaired = {}, {domain: 0 for domain in data.spec.domains[:2]}
    for split in SPLITS:
        by_domain = {domain: sources_by_name(data, split, domain) for domain in unpaired}
        names = set.intersection(*(set(sources) for sources in by_domain.values()))
        splits[split] = len(names)
        for domain, sources in by_domain.items():
            unpaired[domain] += len(sources) - len(names)
    counts = ", ".join(f"{count} {split}" for split, count in splits.items())
    unpaired_counts = ", ".join(f"{count} of {domain}" for domain, count in unpaired.items())
    return f"{sum(splits.values())} pairs of files of one name ({counts}); files without a partner: {unpaired_counts}"
