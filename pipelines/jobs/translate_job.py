"""The job of `translate`: a folder through a model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.utils.shared import Shared

from pipelines.beam import filesystem, rows
from pipelines.beam.job_counters import counter
from pipelines.data import source_files

if TYPE_CHECKING:
    from pipelines.inference.file_translator import TranslationOptions

WORK_NAME = "plan"
TRANSLATED, FAILED = "files_translated", "files_failed"  # counters of files
SORT_KEYS = ("path",)
BATCH_FILES = 16  # that a worker takes at a time
BATCH_BYTES = 16 << 20  # of all together, unless one alone has more


def make_batches(plan: Iterable[dict], sizes: Mapping[str, int]) -> Iterator[dict]:
    """The rows of a plan in batches of files of like size, each a row with `files`.

    Args:
      plan: rows with `path`.
      sizes: bytes by path.
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
    """The job of `translate`; travels to the workers.

    Attributes:
      options: what is asked of the model.
      source: the domain that the files are of.
      output_dir: where results go.
      batch_count: batches in the plan.
    """

    options: TranslationOptions
    source: str
    output_dir: str
    batch_count: int

    def build(self, pipeline: beam.Pipeline) -> None:
        """Converts the batches of the plan, which `rows.write_work` has put into the work folder.

        Batches are settled before, and not as Beam's workers come to them: the last digits of a result depend on the
        sizes that are computed together.
        The model is loaded once in each worker process.
        """
        converted = rows.read_work(pipeline, self.output_dir, WORK_NAME, self.batch_count) | "Convert" >> beam.ParDo(
            _Convert(self, Shared())
        ).with_outputs("failures", main="translations")
        for name, outcome in (("translations", converted.translations), ("failures", converted.failures)):
            rows.write_rows(outcome, self.output_dir, name, order=SORT_KEYS)


class _Convert(beam.DoFn):
    """Converts batches of files with a model that all threads of a process share."""

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
                except Exception as error:  # a file system may raise anything
                    yield self._failure(row, error)
                    continue
                target = posixpath.join(self.job.output_dir, row["output"])
                items.append(Item(source, functools.partial(filesystem.new_file, target)))
                ready.append(row)
            for row, outcome in zip(ready, self.translator.translate_files(items), strict=True):
                yield from self._outcome(row, outcome)

    def _outcome(self, row: dict, outcome: dict | Exception) -> Iterator:
        if isinstance(outcome, Exception):
            yield self._failure(row, outcome)
            return
        yield {**row, "source": self.job.source, "target": self.job.options.target, **outcome}
        counter(TRANSLATED).inc()

    def _failure(self, row: dict, error: Exception):
        counter(FAILED).inc()
        return beam.pvalue.TaggedOutput("failures", source_files.failure_row(self.job.source, row["path"], error))
