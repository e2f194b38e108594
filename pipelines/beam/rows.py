"""What passes between the launcher and the workers of a job: JSON lines in a folder that belongs to the job.

The launcher writes the work before the job starts, so that a tree is listed once and the job's description stays
small; workers write what came of it, and the launcher merges that, line by line.
"""

from __future__ import annotations

import heapq
import itertools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator

import apache_beam as beam

from pipelines import stable_hash
from pipelines.beam import filesystem

WORK_FOLDER = ".crossfade-work"  # which no listing enters, so that nobody's results are below it
OWNED_FILE = "owned"  # in it: the folder around it is written by this program
NUM_ROW_FILES = 8  # of each name
ROWS_PER_FILE = 5000  # of the work in one file
FILE_NAME = re.compile(r"(?:\w+-\d{5}|owned)")


def work_folder(folder: str) -> str:
    """The folder of a job that writes to `folder`."""
    return posixpath.join(folder, WORK_FOLDER)


def mark_owned(folder: str, domains: list[str]) -> None:
    """Marks a folder as written by this program, until :func:`clear`.

    Args:
      folder: of the results.
      domains: whose records are there or will be; none where results of `translate` are.

    Raises:
      OSError: nothing can be written there.
    """
    filesystem.write_text(posixpath.join(work_folder(folder), OWNED_FILE), json.dumps(domains))


def owned_domains(folder: str) -> list[str] | None:
    """The domains of the mark that an earlier job left that did not end well; None where there is none."""
    path = posixpath.join(work_folder(folder), OWNED_FILE)
    return json.loads(filesystem.read_text(path)) if filesystem.exists(path) else None


def clear(folder: str, *, keep_claim: bool = False) -> None:
    """Removes what a job, finished or not, left in its work folder; nothing else."""
    work = work_folder(folder)
    names = [path for path in filesystem.list_folder(work) if FILE_NAME.fullmatch(posixpath.basename(path))]
    filesystem.delete([path for path in names if not (keep_claim and path.endswith(f"/{OWNED_FILE}"))])
    filesystem.delete_partial_files(work)
    filesystem.delete_if_empty(work)


def write_work(folder: str, name: str, rows: Iterable[dict]) -> None:
    """Writes the work of a job, for :func:`read_work`."""
    for number, part in enumerate(_chunks(rows, ROWS_PER_FILE)):
        text = "".join(f"{json.dumps(row)}\n" for row in part)
        filesystem.write_text(posixpath.join(work_folder(folder), f"{name}-{number:05d}"), text)


def _chunks(rows: Iterable[dict], size: int) -> Iterator[list[dict]]:
    rows = iter(rows)
    while part := list(itertools.islice(rows, size)):
        yield part


def read_work(pipeline: beam.Pipeline, folder: str, name: str, count: int) -> beam.PCollection:
    """The rows that the launcher wrote, spread over the workers.

    Args:
      pipeline: the job.
      folder: of the results.
      name: of the work.
      count: rows that there are.
    """
    numbers = range(-(-count // ROWS_PER_FILE))
    paths = [posixpath.join(work_folder(folder), f"{name}-{number:05d}") for number in numbers]
    work = pipeline | f"{name} files" >> beam.Create(paths) | f"{name} rows" >> beam.FlatMap(_read_lines)
    return work | "Spread" >> beam.Reshuffle()


def _read_lines(path: str) -> Iterator[dict]:
    with filesystem.open_file(path) as file:
        yield from map(json.loads, file)


def write_rows(collection: beam.PCollection, folder: str, name: str, *, order: tuple[str, ...] = ()) -> None:
    """Adds the step that writes the rows of a collection, for :func:`read`.

    Args:
      collection: dictionaries.
      folder: of the results.
      name: of the rows.
      order: keys whose values they are sorted by.
    """
    place = posixpath.join(work_folder(folder), name)
    texts = collection | f"{name} as JSON" >> beam.Map(lambda row: (_sort_key(row, order), json.dumps(row)))
    keyed = texts | f"{name} keys" >> beam.WithKeys(
        lambda pair: int(NUM_ROW_FILES * stable_hash.stable_fraction(pair[1]))
    )
    _ = keyed | f"{name} groups" >> beam.GroupByKey() | f"{name} out" >> beam.Map(_write_lines, place)


def _sort_key(row: dict, order: tuple[str, ...]) -> list[str]:
    return [str(row[key]) for key in order]


def _write_lines(element: tuple[int, Iterable[tuple[list[str], str]]], place: str) -> None:
    number, pairs = element
    with filesystem.new_file(f"{place}-{number:05d}") as file:
        file.writelines(f"{line}\n".encode() for _, line in sorted(pairs))


def read_rows(folder: str, name: str, *, order: tuple[str, ...] = ()) -> Iterator[dict]:
    """The rows that workers wrote under a name, sorted as they were written, in memory one at a time."""
    paths = [path for path in filesystem.list_folder(work_folder(folder)) if _has_name(path, name)]
    return heapq.merge(*map(_read_lines, paths), key=lambda row: _sort_key(row, order))


def _has_name(path: str, name: str) -> bool:
    return bool(re.fullmatch(rf"{re.escape(name)}-\d{{5}}", posixpath.basename(path)))
