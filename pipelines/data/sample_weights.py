"""How often each record is drawn: a sidecar beside the records, and what an epoch draws by it."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines import files
from pipelines.data import csv_table, source_files

FILE_NAME = "weights.csv"  # in DATA_DIR, where no other is named
COLUMNS = ("id", "segment", "weight")


def config_entry(path: str) -> dict[str, str]:
    """A sidecar as a run's configuration names it: a run goes on with the same weights or not at all.

    Raises:
      UserError: there is no such file.
      OSError: it cannot be read.
    """
    if not path:
        return {}
    if not tf.io.gfile.exists(path):
        raise UserError(f"--sample_weights={path}: there is no such file; explore --do=debias writes one")
    return {"file": path, "hash": hashlib.blake2b(files.read(path), digest_size=8).hexdigest()}


def read_weights(path: str, manifest: Iterable[source_files.Source]) -> dict[tuple[str, int], float]:
    """The weights of a sidecar by id and segment.

    Args:
      path: the sidecar.
      manifest: the sources; every record of its training split in which something sounds must be there.

    Raises:
      UserError: no such file, a line that cannot be read, or one that is missing.
    """
    table = csv_table.read_table(path, COLUMNS)
    written: dict[tuple[str, int], float] = {}
    for line, row in table.rows:
        try:
            weight = table.number(row["weight"])
            key = row["id"], int(row["segment"])
        except (KeyError, ValueError):
            raise UserError(f"{path}, line {line}: {dict(row)}; wanted id, whole number, number") from None
        if weight < 0:
            raise UserError(f"{path}, line {line}: weight {weight}; wanted 0 or more")
        if written.setdefault(key, weight) != weight:
            raise UserError(f"{path}, line {line}: another weight for {key[0]}, segment {key[1]}; wanted one")
    composed = {(unicodedata.normalize("NFC", name), segment): weight for (name, segment), weight in written.items()}
    weights = {}
    for source in (s for s in manifest if s.split == "train"):
        for segment, active in enumerate(source.active):
            alike = composed.get((unicodedata.normalize("NFC", source.id), segment))
            weight = written.get((source.id, segment), alike)
            if active and weight is None:
                raise UserError(f"{path}: no weight for {source.id}, segment {segment}; is it of other records?")
            weights[source.id, segment] = weight or 0.0
    return weights


def format_weights(rows: Iterable[tuple[str, int, float]]) -> str:
    r"""The text of a sidecar.

    >>> sidecar([("a/x.wav", 0, 1.5)])
    'id,segment,weight\na/x.wav,0,1.5\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((identifier, segment, f"{weight:.6g}") for identifier, segment, weight in rows)
    return out.getvalue()


def shard_order(manifest: Sequence[source_files.Source]) -> list[tuple[str, int, int]]:
    """Id, segment and sounding frames of the records of a split of a domain, in the order of its shards."""
    ordered = sorted(manifest, key=lambda source: (source.shard, source.id))
    return [(s.id, segment, active) for s in ordered for segment, active in enumerate(s.active)]


def expected_draws(
    in_order: Sequence[tuple[str, int, int]], weights: Mapping, crops: Sequence[int], domain: str
) -> np.ndarray:
    """How often an epoch draws from each record by its weight, `[records]`; all together as often as without weights.

    Args:
      in_order: from :func:`in_order`.
      weights: (id, segment) to weight.
      crops: how often an epoch without weights draws from each record.
      domain: for errors.

    Raises:
      UserError: all weights are zero.
    """
    shares = np.array([n * weights.get((i, s), 0.0) for (i, s, _), n in zip(in_order, crops, strict=True)])
    if not shares.sum():
        raise UserError(f"domain {domain}: all weights are zero; wanted some above")
    return shares / shares.sum() * sum(crops)


def cumulative_draws(shares: np.ndarray) -> np.ndarray:
    """Where each record ends on a line as long as an epoch, `[records]`."""
    edges = np.round(np.cumsum(shares), 6)
    edges[-1] = round(float(np.sum(shares)))
    return edges


def systematic_draws(edges: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """How often an epoch draws from each record, `[records]` int64: systematic resampling (Kitagawa 1996).

    Marks one apart, begun at a random place, fall on the line that the records share out: a record is drawn
    by its share, up or down to a whole number, and all together as often as there are marks. With equal weights
    each is drawn as often as without.

    Args:
      edges: from :func:`edges_of`.
      seed: `[2]`, of the epoch.
    """
    shift = tf.random.stateless_uniform([], seed, minval=1e-4, maxval=1 - 1e-4, dtype=tf.float64, alg="philox")
    passed = tf.cast(tf.floor(edges + shift), tf.int64)
    return tf.concat([passed[:1], passed[1:] - passed[:-1]], axis=0)
