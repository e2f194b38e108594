"""The Beam job of `translate`: files through a trained model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import posixpath
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import apache_beam as beam
from apache_beam.utils.shared import Shared

from pipelines import isolation
from pipelines.beam import filesystem, rows
from pipelines.beam.heartbeat import NO_HEARTBEAT, Heartbeat
from pipelines.beam.job_counters import counter
from pipelines.data import ignored_files, source_files

if TYPE_CHECKING:
    from pipelines.inference.file_translator import FileTranslator, Item, TranslationOptions

WORK_NAME = ignored_files.PLAN
OUTCOMES = TRANSLATED, REUSED, FAILED = "files_translated", "files_reused", "files_failed"  # counters of files
SORT_KEYS = ("path",)
EARLIER_KEY = "earlier"  # of a batch: outputs that a store has already, as the launcher lists it once
REUSED_KEY = "reused"  # of the rows of results that were up to date; not in `translations.jsonl`
BATCH_FILES = 16  # maximum number of files in a batch
BATCH_BYTES = 16 << 20  # maximum size of a batch; a larger file is a batch of its own


def make_batches(rows_by_size: Iterable[tuple[dict, int]]) -> Iterator[dict]:
    """Group the files of a plan into batches of similar size; yield a row with `files` for each batch.

    Args:
      rows_by_size: as of :meth:`pipelines.jobs.translation_plan.TranslationPlan.rows_by_size`.
    """
    files, total = [], 0
    for row, size in rows_by_size:
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
      token: of the job, from `rows.begin_job`.
      file_timeout_s: longest time for a file in seconds, if files are read in child processes; 0 for no limit.
      heartbeat: of the job.
    """

    options: TranslationOptions
    source: str
    output_dir: str
    batch_count: int
    reuse: bool = True
    token: str = ""
    file_timeout_s: float = isolation.TIMEOUT_S
    heartbeat: Heartbeat = NO_HEARTBEAT

    def build(self, pipeline: beam.Pipeline, *, isolated: bool = False) -> None:
        """Add the transforms to a pipeline.

        The batches are read from the work folder, where `rows.write_work` has written them. Each worker process loads
        the model once and translates the files of a batch in threads; if `isolated`, a child process of it does so.
        """
        work = rows.read_work(pipeline, self.output_dir, WORK_NAME, self.batch_count, token=self.token)
        convert = beam.ParDo(_Convert(self, isolated, Shared()))
        converted = work | "Convert" >> convert.with_outputs("failures", main="translations")
        for name, outcome in (("translations", converted.translations), ("failures", converted.failures)):
            rows.write_rows(outcome, self.output_dir, name, order=SORT_KEYS, token=self.token, heartbeat=self.heartbeat)

    def failure_row(self, row: dict, error: Exception) -> dict:
        """Return the line of `failures.jsonl` for a row of the plan."""
        return source_files.failure_row(self.source, row["path"], error)


_LOADED: dict[TranslationOptions, FileTranslator] = {}  # those that this process has loaded already


@contextlib.contextmanager
def loaded(options: TranslationOptions, translator: FileTranslator) -> Iterator[None]:
    """Let jobs that run in this process use a translator with these options, instead of loading the model again."""
    _LOADED[options] = translator
    try:
        yield
    finally:
        _LOADED.pop(options, None)


class _BatchTranslator:
    """Translates the files of batches."""

    def __init__(self, job: TranslateJob):
        from pipelines.inference.file_translator import FileTranslator

        self.job, self.translator = job, _LOADED.get(job.options) or FileTranslator(job.options)

    def __call__(self, files: list[dict]) -> Iterator[tuple[str, dict]]:
        """Yield for each row of the plan its outcome, which is the name of a counter, and the row of its result."""
        with contextlib.ExitStack() as stack:
            opened = [self._open(row, stack) for row in files]
            items = [each for each in opened if not isinstance(each, tuple)]
            translations = self.translator.translations(items)
            for row, each in zip(files, opened, strict=True):
                yield each if isinstance(each, tuple) else self._outcome(row, next(translations))

    def _open(self, row: dict, stack: contextlib.ExitStack) -> Item | tuple[str, dict]:
        """Return a file to translate, or the outcome if it cannot be read or its result is up to date."""
        from pipelines.inference.file_translator import Item

        try:
            if "reason" in row:
                raise OSError(row["reason"])
            source = stack.enter_context(filesystem.open_file(row["path"]))
            target = posixpath.join(self.job.output_dir, row["output"])
            exists = row[EARLIER_KEY] if EARLIER_KEY in row else filesystem.exists(target)
            entries = self._reused(target, source) if exists else None
        except Exception as error:  # file systems raise errors of many types
            return FAILED, self.job.failure_row(row, error)
        if entries is None:
            return Item(source, functools.partial(filesystem.new_file, target))
        return REUSED, self._result_row(row, {**entries, REUSED_KEY: True})

    def _outcome(self, row: dict, entries: dict | Exception) -> tuple[str, dict]:
        if isinstance(entries, Exception):
            return FAILED, self.job.failure_row(row, entries)
        return TRANSLATED, self._result_row(row, entries)

    def _reused(self, target: str, source: BinaryIO) -> dict | None:
        """Entries for `translations.jsonl` of an earlier result that is up to date; None if it is not."""
        if not self.job.reuse:
            return None
        with filesystem.open_file(target) as result:
            return self.translator.reusable(result, source)

    def _result_row(self, row: dict, entries: dict) -> dict:
        planned = {key: value for key, value in row.items() if key != EARLIER_KEY}
        return {**planned, "source": self.job.source, "target": self.job.options.target, **entries}


class _Convert(beam.DoFn):
    """Translate batches of files; all threads of a process share one model."""

    def __init__(self, job: TranslateJob, isolated: bool, shared: Shared):
        self.job, self.isolated, self.shared = job, isolated, shared

    def setup(self):
        timeout_s = self.job.file_timeout_s
        start = functools.partial(isolation.start, isolated=self.isolated, timeout_s=timeout_s)
        with self.job.heartbeat.working():
            self.translate = self.shared.acquire(lambda: start(_BatchTranslator, self.job))

    def process(self, batch):
        with self.job.heartbeat.working():
            files = batch["files"]
            for row, outcome in zip(files, self.translate(files), strict=True):
                crashed = isinstance(outcome, isolation.Crash)
                name, result = (FAILED, self.job.failure_row(row, outcome)) if crashed else outcome
                counter(name).inc()
                yield beam.pvalue.TaggedOutput("failures", result) if name == FAILED else result
