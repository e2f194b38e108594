"""Work items of the `preprocess` job: a row for each source file, with its id and split."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator

from pipelines.data import ignored_files, split_fractions, splits
from pipelines.data.domains import Domain
from pipelines.data.file_table import FileEntry


def work_rows(
    domains: Iterable[Domain], kind: str, fractions: tuple[float, float], *, split_by: str, seed: int
) -> Iterator[dict]:
    """Yield a row for each file, see `feature_extraction.survey`, or with the reason why the file cannot be read.

    Args:
      domains: the domains.
      kind: "audio" or "image".
      fractions: fractions of the sources for validation and test.
      split_by: "file", "parent", "prefix" or "speaker".
      seed: random seed of the split.
    """
    for domain in domains:
        source_id = _source_ids(domain)
        may_cut = kind == "audio" and split_by == "file"
        max_bytes = split_fractions.MAX_FRACTION * sum(entry.size for entry in domain.files)
        for entry, key in split_fractions.split_keys(domain, split_by, seed):
            split = entry.split or splits.split_of(key, val_fraction=fractions[0], test_fraction=fractions[1])
            row = {"domain": domain.name, "path": entry.path, "id": source_id(entry), "split": split}
            row |= {name: text for name in ("label", "speaker") if (text := getattr(entry, name))}
            if (
                may_cut
                and not entry.split
                and (len(domain.files) < split_fractions.MIN_SOURCES or entry.size > max_bytes)
            ):
                row["cut"] = True
            yield row | _encoding_error(entry.path)


def _source_ids(domain: Domain) -> Callable[[FileEntry], str]:
    """Return a function from a file to its id: its path in Unicode's NFC form, unless two files would share that id."""

    def relative(entry: FileEntry) -> str:
        return ignored_files.printable(entry.path.removeprefix(domain.root))

    def composed(name: str) -> str:
        return unicodedata.normalize("NFC", name)

    names = (relative(entry) for entry in domain.files if not entry.path.isascii())
    changed = {composed(name) for name in names if not unicodedata.is_normalized("NFC", name)}  # few or none
    taken = {name for name in map(relative, domain.files) if name in changed} if changed else ()

    def source_id(entry: FileEntry) -> str:
        identifier = composed(name := relative(entry))
        return f"{domain.name}/{name if identifier != name and identifier in taken else identifier}"

    return source_id


def _encoding_error(path: str) -> dict:
    """Return the printable path and the reason if a path is not UTF-8 and cannot be stored as JSON; else nothing."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return {"path": ignored_files.printable(path), "reason": "its name is not UTF-8; rename the file"}
    return {}
