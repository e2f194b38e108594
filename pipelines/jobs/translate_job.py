"""The Beam job of `translate`: files through a trained model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

import apache_beam as beam
from apache_beam.utils.shared import Shared

from pipelines.beam import filesystem, rows
from pipelines.beam.job_counters import counter
from pipelines.data import source_files

if TYPE_CHECKING:
    from pipelines.inference.file_translator import TranslationOptions

WORK_NAME = "plan"
OUTCOMES = TRANSLATED, REUSED, FAILED = "files_translated", "files_reused", "files_failed"  # counters of files
SORT_KEYS = ("path",)
EARLIER_KEY = "earlier"  # of a batch: outputs that a store has already, as the launcher lists it once
REUSED_KEY = "reused"  # of the rows of results that were up to date; not in `translations.jsonl`
BATCH_FILES = 16  # maximum number of files in a batch
BATCH_BYTES = 16 << 20  # maximum size of a batch; a larger file is a batch of its own


def make_batches(plan: Iterable[dict], sizes: Mapping[str, int]) -> Iterator[dict]:
    """Group the files of a plan into batches of similar size; yield a row with `files` for each batch.

    Args:
      plan: rows with `path`.
      sizes: file sizes in bytes, by path.
    """
    files, total = [], 0
    for row in sorted(plan, key=lambda row: (sizes.get(row["path"], 0), row["path"])):
        size = sizes.get(row["path"], 0)
        if files and (len(files) == BATCH_FILES or total + size > BATCH_BYTES):
            yield {"files": files}
            files, total = [], 0
        files, total = [*files, row], total + size
    if files:
        yield {"files": files}


@dataclasses.dataclass(frozen=True)
class TranslateJob:
    """Configuration of the job, which Beam sends to the workers.

    Attributes:
      options: model and options of the translation.
      source: domain of the input files.
      output_dir: output directory.
      batch_count: number of batches in the plan.
      reuse: whether results that are up to date are left as they are.
    """

    options: TranslationOptions
    source: str
    output_dir: str
    batch_count: int
    reuse: bool = True

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the transforms to a pipeline.

        The batches are read from the work folder, where `rows.write_work` has written them. Each worker process loads
        the model once and translates the files of a batch in threads.
        """
        converted = rows.read_work(pipeline, self.output_dir, WORK_NAME, self.batch_count) | "Convert" >> beam.ParDo(
            _Convert(self, Shared())
        ).with_outputs("failures", main="translations")
        for name, outcome in (("translations", converted.translations), ("failures", converted.failures)):
            rows.write_rows(outcome, self.output_dir, name, order=SORT_KEYS)


class _Convert(beam.DoFn):
    """Translate batches of files; all threads of a process share one model."""

    def __init__(self, job: TranslateJob, shared: Shared):
        self.job, self.shared = job, shared

    def setup(self):
        from pipelines.inference.file_translator import FileTranslator

        self.translator = self.shared.acquire(lambda: FileTranslator(self.job.options))

    def process(self, batch):
        from pipelines.inference.file_translator import Item

        with contextlib.ExitStack() as stack:
            items, ready = [], []
            for row in batch["files"]:
                try:
                    if "reason" in row:
                        raise OSError(row["reason"])
                    source = stack.enter_context(filesystem.open_file(row["path"]))
                    target = posixpath.join(self.job.output_dir, row["output"])
                    exists = row["output"] in batch[EARLIER_KEY] if EARLIER_KEY in batch else filesystem.exists(target)
                    entries = self._reused(target, source) if exists else None
                except Exception as error:  # file systems raise errors of many types
                    yield self._failure(row, error)
                    continue
                if entries is not None:
                    yield self._success(row, entries, REUSED)
                    continue
                items.append(Item(source, functools.partial(filesystem.new_file, target)))
                ready.append(row)
            for row, outcome in zip(ready, self.translator.translate_files(items), strict=True):
                if isinstance(outcome, Exception):
                    yield self._failure(row, outcome)
                else:
                    yield self._success(row, outcome, TRANSLATED)

    def _reused(self, target: str, source: BinaryIO) -> dict | None:
        """Entries for `translations.jsonl` of an earlier result that is up to date; None if it is not."""
        if not self.job.reuse:
            return None
        with filesystem.open_file(target) as result:
            return self.translator.reusable(result, source)

    def _success(self, row: dict, entries: dict, outcome: str) -> dict:
        counter(outcome).inc()
        reused = {REUSED_KEY: True} if outcome == REUSED else {}
        return {**row, "source": self.job.source, "target": self.job.options.target, **entries, **reused}

    def _failure(self, row: dict, error: Exception):
        counter(FAILED).inc()
        return beam.pvalue.TaggedOutput("failures", source_files.failure_row(self.job.source, row["path"], error))
