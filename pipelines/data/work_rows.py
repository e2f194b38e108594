"""Rows of work for the `preprocess` job: one for each source file, with its id and split."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from pipelines.data import ignored_files, source_files, split_fractions, splits


def work_rows(
    corpus: Iterable[source_files.Domain], kind: str, shares: tuple[float, float], *, split_by: str, seed: int
) -> Iterator[dict]:
    """A row for each file, as the workers want it (see `sources.survey`), or with the reason why it cannot be read.

    Args:
      corpus: the domains.
      kind: "audio" or "image".
      shares: of the sources, for validation and for testing.
      split_by: "file" or "parent".
      seed: of the split.
    """
    for domain in corpus:
        ids = _source_ids(domain)
        cutting = kind == "audio" and split_by == "file"
        limit = split_fractions.MAX_FRACTION * sum(entry.size for entry in domain.files)
        for entry, key in zip(domain.files, split_fractions.split_keys(domain, split_by, seed), strict=True):
            split = splits.split_of(key, val_fraction=shares[0], test_fraction=shares[1])
            row = {"domain": domain.name, "path": entry.path, "id": next(ids), "split": split}
            if cutting and (len(domain.files) < split_fractions.MIN_SOURCES or entry.size > limit):
                row["cut"] = True
            yield row | _encoding_error(entry.path)


def _source_ids(domain: source_files.Domain) -> Iterator[str]:
    """The id of each file: the path below the root in Unicode's composed form, unless two files would share it."""

    def names() -> Iterator[str]:
        return (ignored_files.printable(entry.path.removeprefix(domain.root)) for entry in domain.files)

    taken = {name for name in names() if not name.isascii()}
    for name in names():
        composed = unicodedata.normalize("NFC", name)
        yield f"{domain.name}/{name if composed != name and composed in taken else composed}"


def _encoding_error(path: str) -> dict:
    """For a path that cannot travel to a worker, how it is listed and why it is not read; else nothing."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return {"path": ignored_files.printable(path), "reason": "its name is not UTF-8; rename the file"}
    return {}
