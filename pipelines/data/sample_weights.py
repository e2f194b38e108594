"""Sampling weights of records: a CSV file beside the records, and the draws of an epoch by it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.errors import UserError
from pipelines import files, stable_hash
from pipelines.data import csv_table, source_files

FILE_NAME = "weights.csv"  # default name, in DATA_DIR
COLUMNS = ("id", "segment", "weight")


def config_entry(path: str) -> dict[str, str]:
    """Return the path and hash of a weights file for `config.json`: a run resumes with the same weights only.

    Raises:
      UserError: there is no such file.
      OSError: it cannot be read.
    """
    if not path:
        return {}
    if not tf.io.gfile.exists(path):
        raise UserError(f"--sample_weights={path}: no such file; explore --do=debias writes one")
    return {"file": path, "hash": stable_hash.digest(files.read(path))}


def read_weights(path: str, manifest: Iterable[source_files.Source]) -> dict[tuple[str, int], float]:
    """Return the weights of a file by id and segment.

    Args:
      path: the weights file.
      manifest: the sources; each active record of the training split needs a weight.

    Raises:
      UserError: there is no such file, a line cannot be parsed, or a weight is missing.
    """
    table = csv_table.read_table(path, COLUMNS)
    written: dict[tuple[str, int], float] = {}
    for line, row in table.rows:
        try:
            weight = table.parse_number(row["weight"])
            key = row["id"], int(row["segment"])
        except (KeyError, ValueError):
            raise UserError(f"{path}, line {line}: {dict(row)}; wanted id, whole number, number") from None
        if weight < 0:
            raise UserError(f"{path}, line {line}: weight {weight}; wanted 0 or more")
        if written.setdefault(key, weight) != weight:
            raise UserError(f"{path}, line {line}: a second weight for {key[0]}, segment {key[1]}; wanted one")
    composed = {(unicodedata.normalize("NFC", name), segment): weight for (name, segment), weight in written.items()}
    weights = {}
    for source in (s for s in manifest if s.split == "train"):
        for segment, active in enumerate(source.active):
            weight_of_nfc = composed.get((unicodedata.normalize("NFC", source.id), segment))
            weight = written.get((source.id, segment), weight_of_nfc)
            if active and weight is None:
                raise UserError(
                    f"{path}: no weight for {source.id}, segment {segment}; wanted the file of these records"
                )
            weights[source.id, segment] = weight or 0.0
    return weights


def format_weights(rows: Iterable[tuple[str, int, float]]) -> str:
    r"""Return the text of a weights file.

    >>> format_weights([("a/x.wav", 0, 1.5)])
    'id,segment,weight\na/x.wav,0,1.5\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((identifier, segment, f"{weight:.6g}") for identifier, segment, weight in rows)
    return out.getvalue()


def shard_order(manifest: Sequence[source_files.Source]) -> list[tuple[str, int, int]]:
    """Return id, segment and active frames of the records of a split of a domain, in the order of its shards."""
    ordered = sorted(manifest, key=lambda source: (source.shard, source.id))
    return [(s.id, segment, active) for s in ordered for segment, active in enumerate(s.active)]


def expected_draws(
    records: Sequence[tuple[str, int, int]], weights: Mapping, crops: Sequence[int], domain: str
) -> np.ndarray:
    """Return the expected draws of each record in an epoch, `[records]`; their sum is that of an epoch without weights.

    Args:
      records: from :func:`shard_order`.
      weights: weight by (id, segment).
      crops: draws of each record in an epoch without weights.
      domain: name of the domain, for errors.

    Raises:
      UserError: all weights are zero.
    """
    draws = np.array([n * weights.get((i, s), 0.0) for (i, s, _), n in zip(records, crops, strict=True)])
    if not draws.sum():
        raise UserError(f"domain {domain}: all weights are zero; wanted at least one above zero")
    return draws / draws.sum() * sum(crops)


def cumulative_draws(draws: np.ndarray) -> np.ndarray:
    """Return the cumulative sum of the expected draws, `[records]`; the last one is rounded to a whole number."""
    edges = np.round(np.cumsum(draws), 6)
    edges[-1] = round(float(np.sum(draws)))
    return edges


def systematic_draws(edges: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return how often an epoch draws each record, `[records]` int64: systematic resampling (Kitagawa 1996).

    Points at distance one, with a random offset, are counted in the interval of each record: a record is drawn as often
    as expected, rounded up or down, and the sum is exact. With equal weights each record is drawn as often as without.

    Args:
      edges: ends of the intervals, from :func:`cumulative_draws`.
      seed: `[2]`, of the epoch.
    """
    shift = tf.random.stateless_uniform([], seed, minval=1e-4, maxval=1 - 1e-4, dtype=tf.float64, alg="philox")
    passed = tf.cast(tf.floor(edges + shift), tf.int64)
    return tf.concat([passed[:1], passed[1:] - passed[:-1]], axis=0)
