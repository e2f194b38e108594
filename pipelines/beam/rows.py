"""Data exchange between the launcher and the workers of a job: JSON lines in a work folder.

The launcher writes the work items before the job starts, so that files are listed once and the pipeline stays small;
the workers write result rows, and the launcher merges them line by line.
"""

from __future__ import annotations

import heapq
import itertools
import json
import posixpath
import re
import secrets
from collections.abc import Iterable, Iterator

import apache_beam as beam

from models.errors import UserError
from pipelines import stable_hash
from pipelines.beam import filesystem
from pipelines.beam.heartbeat import NO_HEARTBEAT, Heartbeat

WORK_FOLDER = ".crossfade-work"  # listings ignore this folder
OWNED_FILE = "owned"  # in the work folder: this program has written the output folder
NUM_ROW_FILES = 8  # row files of each name
ROWS_PER_FILE = 5000  # work items in one file
FILE_NAME = re.compile(r"(?:\w+-\d{5}|owned|job-[0-9a-f]{8}|heartbeat-[0-9a-f]{16})")


def work_folder(folder: str) -> str:
    """Return the work folder of a job that writes to `folder`."""
    return posixpath.join(folder, WORK_FOLDER)


def write_ownership(folder: str, domains: list[str]) -> None:
    """Write the ownership file of an output folder: this program writes to it, until :func:`clear`.

    Args:
      folder: output folder.
      domains: domains of the records in it; empty for results of `translate`.

    Raises:
      OSError: the file cannot be written.
    """
    filesystem.write_text(posixpath.join(work_folder(folder), OWNED_FILE), json.dumps(domains))


def owned_domains(folder: str) -> list[str] | None:
    """Return the domains in the ownership file of an earlier job that did not finish; None if there is none."""
    path = posixpath.join(work_folder(folder), OWNED_FILE)
    return json.loads(filesystem.read_text(path)) if filesystem.exists(path) else None


def clear(folder: str, *, keep_ownership: bool = False, keep_work: str = "") -> None:
    """Delete the files of a job, finished or not, in its work folder; nothing else.

    Args:
      folder: output folder.
      keep_ownership: whether the ownership file stays.
      keep_work: name of work items that stay, until :func:`write_work` replaces them.
    """
    work = work_folder(folder)
    paths = [path for path in filesystem.list_folder(work) if FILE_NAME.fullmatch(posixpath.basename(path))]
    if keep_ownership:
        paths = [path for path in paths if posixpath.basename(path) != OWNED_FILE]
    filesystem.delete([path for path in paths if not (keep_work and has_name(path, keep_work))])
    filesystem.delete_partial_files(work)
    filesystem.delete_if_empty(work)


def begin_job(folder: str) -> str:
    """Write the token file of a new job, which alone may write to the folder from now on; return its token.

    The token file of an earlier job is deleted by :func:`clear`. Workers of an earlier job may still run, for example
    on a job service after its launcher was killed: they stop as soon as their token file is missing.
    """
    token = secrets.token_hex(4)
    filesystem.write_text(_token_path(folder, token), "")
    return token


def require_current(folder: str, token: str) -> None:
    """Check that no later job writes to a folder.

    Args:
      folder: output folder.
      token: of the job, from :func:`begin_job`; empty for a job without a token file.

    Raises:
      UserError: the token file of the job is missing.
    """
    if token and not filesystem.exists(_token_path(folder, token)):
        raise UserError(f"{folder}: another command writes there now")


def _token_path(folder: str, token: str) -> str:
    return posixpath.join(work_folder(folder), f"job-{token}")


def heartbeat(folder: str, token: str, timeout_s: float) -> Heartbeat:
    """Return the heartbeat of the job with a token, from :func:`begin_job`.

    Args:
      folder: output folder.
      token: of the job.
      timeout_s: time without a heartbeat in seconds, after which the job is cancelled; 0 for no heartbeats.
    """
    return Heartbeat(posixpath.join(work_folder(folder), "heartbeat-"), _token_path(folder, token), timeout_s)


def write_work(folder: str, name: str, rows: Iterable[dict]) -> None:
    """Write the work items of a job for :func:`read_work`; they replace those of an earlier job, file by file."""
    written = set()
    for number, chunk in enumerate(_chunks(rows, ROWS_PER_FILE)):
        text = "".join(f"{json.dumps(row)}\n" for row in chunk)
        filesystem.write_text(path := posixpath.join(work_folder(folder), f"{name}-{number:05d}"), text)
        written.add(path)
    paths = filesystem.list_folder(work_folder(folder))
    filesystem.delete([path for path in paths if has_name(path, name) and path not in written])


def _chunks(rows: Iterable[dict], size: int) -> Iterator[list[dict]]:
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, size)):
        yield chunk


def read_work(pipeline: beam.Pipeline, folder: str, name: str, count: int, *, token: str = "") -> beam.PCollection:
    """Add the transforms that read the work items, distributed over the workers.

    Args:
      pipeline: the job.
      folder: output folder.
      name: name of the work items.
      count: number of work items.
      token: of the job; as soon as it is not current, workers stop before the next item.
    """
    numbers = range(-(-count // ROWS_PER_FILE))
    paths = [posixpath.join(work_folder(folder), f"{name}-{number:05d}") for number in numbers]
    work = pipeline | f"{name} files" >> beam.Create(paths) | f"{name} rows" >> beam.FlatMap(_read_lines)
    return work | "Spread" >> beam.Reshuffle() | "Current" >> beam.Map(_require_current, folder, token)


def _require_current(item: dict, folder: str, token: str) -> dict:
    require_current(folder, token)
    return item


def _read_lines(path: str) -> Iterator[dict]:
    with filesystem.open_file(path) as file:
        yield from map(json.loads, file)


def write_rows(
    collection: beam.PCollection,
    folder: str,
    name: str,
    *,
    order: tuple[str, ...] = (),
    token: str = "",
    heartbeat: Heartbeat = NO_HEARTBEAT,
) -> None:
    """Add the transforms that write the rows of a collection, for :func:`read_rows`.

    Args:
      collection: dictionaries.
      folder: output folder.
      name: name of the rows.
      order: keys by whose values the rows are sorted.
      token: of the job; if it is not current, nothing is written.
      heartbeat: of the job.
    """
    texts = collection | f"{name} as JSON" >> beam.Map(lambda row: (_sort_key(row, order), json.dumps(row)))
    keyed = texts | f"{name} keys" >> beam.WithKeys(
        lambda pair: int(NUM_ROW_FILES * stable_hash.stable_fraction(pair[1]))
    )
    groups = keyed | f"{name} groups" >> beam.GroupByKey()
    _ = groups | f"{name} out" >> beam.Map(_write_lines, folder, name, token, heartbeat)


def _sort_key(row: dict, order: tuple[str, ...]) -> list[str]:
    return [str(row[key]) for key in order]


def _write_lines(
    element: tuple[int, Iterable[tuple[list[str], str]]], folder: str, name: str, token: str, heartbeat: Heartbeat
) -> None:
    number, pairs = element
    require_current(folder, token)
    with heartbeat.working(), filesystem.new_file(posixpath.join(work_folder(folder), f"{name}-{number:05d}")) as file:
        file.writelines(f"{line}\n".encode() for _, line in sorted(pairs))


def read_rows(folder: str, name: str, *, order: tuple[str, ...] = ()) -> Iterator[dict]:
    """Yield the rows that workers wrote under a name, merged in sort order; one row of each file is in memory."""
    paths = [path for path in filesystem.list_folder(work_folder(folder)) if has_name(path, name)]
    return heapq.merge(*map(_read_lines, paths), key=lambda row: _sort_key(row, order))


def has_name(path: str, name: str) -> bool:
    """Whether a file of a work folder has rows of this name.

    >>> has_name("x/.crossfade-work/plan-00000", "plan"), has_name("x/.crossfade-work/plan-00000", "rows")
    (True, False)
    """
    return bool(re.fullmatch(rf"{re.escape(name)}-\d{{5}}", posixpath.basename(path)))
