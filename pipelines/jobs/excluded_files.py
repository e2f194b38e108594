"""`excluded.jsonl` of `preprocess`: recordings, parts and images that are left out although they can be read."""

from __future__ import annotations

import collections
import posixpath
from collections.abc import Iterator, Mapping

from pipelines.beam import filesystem, rows
from pipelines.data import tfrecord
from pipelines.jobs.preprocess_job import SORT_KEYS, PreprocessJob

NAME = "excluded.jsonl"  # written only if the job may leave out files


def write_list(job: PreprocessJob) -> collections.Counter[str]:
    """Write the list from the rows of the workers; return the number of its lines by reason."""
    counts: collections.Counter[str] = collections.Counter()

    def counted_rows() -> Iterator[dict]:
        for row in rows.read_rows(job.data_dir, "excluded", order=SORT_KEYS["excluded"]):
            counts[row["reason"]] += 1
            yield row

    with filesystem.new_file(posixpath.join(job.data_dir, NAME)) as file:
        file.writelines(text.encode() for text in tfrecord.json_lines(counted_rows()))
    return counts


def summarize(excluded: Mapping[str, int]) -> str:
    """Return the numbers of what is left out, by reason, in one line.

    >>> summarize({"shorter than 1 s": 2, "longer than 9 s": 1})
    '1 longer than 9 s, 2 shorter than 1 s'
    """
    return ", ".join(f"{count} {reason}" for reason, count in sorted(excluded.items()))
