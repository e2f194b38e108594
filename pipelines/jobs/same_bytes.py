"""Files with the same bytes: reported if they are in several domains or splits, or left out of their domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam

from models.errors import UserError
from pipelines import stable_hash
from pipelines.beam import filesystem
from pipelines.beam.heartbeat import Heartbeat
from pipelines.data import full_disk, source_files

HASH_KEY = "hash"  # of the row of a file, if its bytes were hashed before the survey


def shared_files(sources: beam.PCollection) -> beam.PCollection:
    """Add the transforms that return a row for each content that is in several domains or splits.

    Args:
      sources: lines of the manifest, `source_files.Source`.

    Returns:
      Dictionaries with `id`, `hash`, and `places`: domain, split and id of a file in each of them.
    """
    by_hash = sources | "Hash" >> beam.Map(lambda s: (s.hash, (s.domain, s.split, s.id)))
    return by_hash | "Same bytes" >> beam.GroupByKey() | "Duplicates" >> beam.FlatMapTuple(_places)


def _places(digest: str, members: Iterable[tuple[str, str, str]]) -> Iterator[dict]:
    """Yield a row if files of several domains or splits have the same bytes.

    The parts of one recording count as one file.
    """
    first: dict[tuple[str, str], str] = {}
    for domain, split, name in members:
        identifier = source_files.recording_id(name)
        first[domain, split] = min(identifier, first.get((domain, split), identifier))
    if len(set(first.values())) > 1:
        places = sorted((domain, split, identifier) for (domain, split), identifier in first.items())
        yield {"id": places[0][2], "hash": digest, "places": places}


def drop_duplicates(
    work: beam.PCollection, batch_files: int, heartbeat: Heartbeat
) -> tuple[beam.PCollection, beam.PCollection]:
    """Add the transforms that keep one file of each content in a domain: that whose id comes first.

    A file that cannot be read is kept, so that the survey reports it; a full disk ends the job.

    Args:
      work: batches of rows of files, see `work_rows.work_rows`.
      batch_files: number of files in a batch of the result.
      heartbeat: of the job.

    Returns:
      Batches of the rows of the files that are kept, with their hash, and a row for each other file.
    """
    keyed = work | "Hash files" >> beam.FlatMap(_keyed_rows, heartbeat)
    by_content = keyed | "Group by content" >> beam.GroupByKey()
    rows = by_content | "First" >> beam.FlatMap(_first_and_others).with_outputs("others", main="first")
    batches = rows.first | "Batches" >> beam.BatchElements(min_batch_size=batch_files, max_batch_size=batch_files)
    return batches | beam.Map(lambda files: {"files": files}), rows.others


def _keyed_rows(batch: dict, heartbeat: Heartbeat) -> Iterator[tuple[tuple[str, str], dict]]:
    """Yield the rows of a batch by domain and content; a file that cannot be read has a key of its own."""
    for row in batch["files"]:
        try:
            with heartbeat.working(), filesystem.open_file(row["path"]) as file:
                content = stable_hash.file_digest(file)
        except (UserError, OSError) as error:
            full_disk.raise_if_full(error)
            yield (row["domain"], row["id"]), row
        else:
            yield (row["domain"], content), row | {HASH_KEY: content}


def _first_and_others(element: tuple[tuple[str, str], Iterable[dict]]) -> Iterator:
    first, *others = sorted(element[1], key=lambda row: row["id"])
    yield first
    for row in others:
        reason = f"the same bytes as another file of {row['domain']}"
        excluded = {"domain": row["domain"], "id": row["id"], "path": row["path"], "reason": reason}
        yield beam.pvalue.TaggedOutput("others", excluded | {"same_as": first["id"]})
