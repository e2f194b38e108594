"""Warnings of `preprocess` about a finished directory: empty or silent splits, notes, files with the same bytes."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator

from pipelines.beam import rows
from pipelines.jobs.preprocess_job import SORT_KEYS, PreprocessJob


class ManifestCounts:
    """Numbers of sources, counted while the manifest is written line by line.

    Attributes:
      sources: number of lines.
      by_split: numbers of sources of each domain and split.
      with_sound: domains and splits in which a source is not silent.
      with_notes: number of sources with notes.
      first_note: path and first note of the first of them.
    """

    def __init__(self):
        self.sources = 0
        self.by_split: collections.Counter[tuple[str, str]] = collections.Counter()
        self.with_sound: set[tuple[str, str]] = set()
        self.with_notes, self.first_note = 0, ""

    def count(self, rows: Iterable[dict]) -> Iterator[dict]:
        """Yield the rows and count them."""
        for row in rows:
            key = row["domain"], row["split"]
            self.sources += 1
            self.by_split[key] += 1
            if any(row["active"]):
                self.with_sound.add(key)
            if row["notes"]:
                self.with_notes += 1
                self.first_note = self.first_note or f"{row['path']}: {row['notes'][0]}"
            yield row


def warnings_of(job: PreprocessJob, counts: ManifestCounts) -> list[str]:
    """Return the warnings for the user, such as an empty split."""
    warnings = [f"ignored in {domain.name}: {domain.ignored}" for domain in job.domains if domain.ignored]
    if counts.with_notes:
        message = f"{counts.with_notes} files have notes, see the key notes in {job.data_dir}/manifest.jsonl"
        warnings.append(f"{message}; the first: {counts.first_note}")
    fractions = {"train": 1 - sum(job.fractions), "val": job.fractions[0], "test": job.fractions[1]}
    for domain in job.domains:
        for split in (split for split, fraction in fractions.items() if fraction > 1e-9):
            advice = "add files" + (f" or raise --{split}_fraction" if split != "train" else "")
            if not counts.by_split[domain.name, split]:
                warnings.append(f"{domain.name} has no file in the {split} split: {advice}")
            elif (domain.name, split) not in counts.with_sound:
                warnings.append(f"{domain.name} has only silent files in the {split} split: {advice}")
    return warnings + list(_duplicate_warnings(job))


def _duplicate_warnings(job: PreprocessJob) -> Iterator[str]:
    """Yield a warning for files with the same bytes in two domains, and one for two splits."""
    counts: collections.Counter[str] = collections.Counter()
    first: dict[str, str] = {}
    for row in rows.read_rows(job.data_dir, "duplicates", order=SORT_KEYS["duplicates"]):
        members = row["places"]
        for kind, values in (("domains", {domain for domain, _, _ in members}), ("splits", {s for _, s, _ in members})):
            if len(values) > 1:
                counts[kind] += 1
                first.setdefault(kind, " and ".join(identifier for _, _, identifier in members[:2]))
    for kind, count in sorted(counts.items()):
        consequence = (
            "; training data is then also test data"
            if kind == "splits"
            else "; a model cannot learn a difference from them"
        )
        yield f"{count} files have the same bytes in two {kind}, such as {first[kind]}{consequence}"
