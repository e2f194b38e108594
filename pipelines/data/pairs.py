"""Pairs of files: those of one name in the first two domains, in step with each other."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from models.errors import UserError
from pipelines import files
from pipelines.data import cropping, dataset, source_features, source_files, systematic_sampling
from pipelines.data.dataset import Records
from pipelines.data.splits import SPLITS

PairName = tuple[str, float]  # of a pair: the stem of its files, and the second at which a part of a recording begins


def sources_by_name(data: Records, split: str, domain: str) -> dict[PairName, source_files.Source]:
    """The sources of a split of a domain by the name that a partner has; only those in which something sounds.

    Raises:
      UserError: two files of one name, of which nobody knows which one the partner belongs to.
    """
    by_name: dict[PairName, source_files.Source] = {}
    for source in source_features.sources_with_sound(data, split, domain):
        name = source_features.pair_stem(source), source.part[0] if source.part else 0.0
        if name in by_name:
            both = f"{by_name[name].id} and {source.id}"
            raise UserError(f"{both} have one name but for the ending or the accents; wanted one file for a pair")
        by_name[name] = source
    return by_name


def pair_names(data: Records, split: str) -> list[PairName]:
    """The pairs of a split."""
    a, b = (sources_by_name(data, split, domain) for domain in data.spec.domains[:2])
    return sorted(a.keys() & b.keys())


def pair_draws(data: Records, split: str, frames: int) -> dict[tuple[str, int, str, int], int]:
    """What a split draws of: ids and segment of the records of a pair, and how often an epoch draws it.

    Recordings of a pair begin together; where one is longer, its last records have no partner.

    Args:
      data: the records.
      split: train, val or test.
      frames: of a crop; 1 of a picture.
    """
    a, b = (sources_by_name(data, split, domain) for domain in data.spec.domains[:2])
    draws = {}
    for one, other in ((a[name], b[name]) for name in sorted(a.keys() & b.keys())):
        for segment, (active, beside) in enumerate(zip(one.active, other.active, strict=False)):
            if active and beside:
                draws[one.id, segment, other.id, segment] = cropping.crops_per_epoch(active, frames)
    return draws


def pair_stream(data: Records, split: str, plugin_config, *, first: int) -> tf.data.Dataset:
    """Pairs of serialised records, epoch after epoch, from draw number `first` on; held in memory, each once.

    Raises:
      UserError: there is no pair, or two files have one name.
    """
    frames = plugin_config.crop_frames if data.spec.kind == "audio" else 1
    drawn = pair_draws(data, split, frames)
    if not drawn:
        both = " and ".join(data.spec.domains[:2])
        raise UserError(f"no file of {both} has the same name in both, in the {split} split; pairs are found by name")
    serialised = [_read_records(data, split, domain, n, list(drawn)) for n, domain in enumerate(data.spec.domains[:2])]
    plan = systematic_sampling.SamplingRounds(list(drawn.values()), seed=plugin_config.seed)

    def one_round(number):
        order = tf.repeat(tf.range(len(drawn)), plan.times(number))
        return tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(order, plan.seeds(number)))

    number, offset = plan.place_of(first)
    order = tf.data.Dataset.range(number, 2**62).flat_map(one_round).skip(offset)
    return order.map(lambda n: tuple(each[n] for each in serialised))


def _read_records(data: Records, split: str, domain: str, n: int, drawn: Sequence[tuple]) -> tf.Tensor:
    """The serialised records of the first or second domain of each pair, `[pairs]`."""
    wanted = {key[2 * n : 2 * n + 2]: number for number, key in enumerate(drawn)}
    serialised: list[bytes] = [b""] * len(drawn)
    with files.as_os_error(data.data_dir):
        for record in tf.data.TFRecordDataset(data.shards(split, domain)):
            head = tf.io.parse_single_example(record, source_features.KEY_FEATURES)
            number = wanted.get((head["id"].numpy().decode(), int(head["segment"])))
            if number is not None:
                serialised[number] = record.numpy()
    if missing := [key for key, number in wanted.items() if not serialised[number]]:
        raise UserError(f"{data.data_dir}: no record of {missing[0][0]}; wanted {dataset.EXPECTED}")
    return tf.constant(serialised)


def describe_pairs(data: Records) -> str:
    """How many pairs there are, and how many files of each domain have no partner in their split, in words."""
    splits, alone = {}, {domain: 0 for domain in data.spec.domains[:2]}
    for split in SPLITS:
        by_domain = {domain: sources_by_name(data, split, domain) for domain in alone}
        both = set.intersection(*(set(each) for each in by_domain.values()))
        splits[split] = len(both)
        for domain, each in by_domain.items():
            alone[domain] += len(each) - len(both)
    counts = ", ".join(f"{count} {split}" for split, count in splits.items())
    rest = ", ".join(f"{count} of {domain}" for domain, count in alone.items())
    return f"{sum(splits.values())} pairs of files of one name ({counts}); files without a partner: {rest}"
