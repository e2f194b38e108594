"""The Beam job of `preprocess`: files to TFRecords and their statistics."""

from __future__ import annotations

import dataclasses
import functools
import posixpath

import apache_beam as beam
from apache_beam.utils.shared import Shared

from models.errors import UserError
from models.features import stats
from models.features.audio import AudioSpec
from models.features.conditioning import Conditioning
from models.features.image import ImageSpec
from pipelines import isolation
from pipelines.beam import blas, filesystem, rows
from pipelines.beam.heartbeat import NO_HEARTBEAT, Heartbeat
from pipelines.beam.job_counters import counter
from pipelines.data import feature_extraction, source_files, tfrecord
from pipelines.data.domains import Domain
from pipelines.data.feature_file import Reader
from pipelines.data.feature_store import FeatureStore
from pipelines.jobs import same_bytes
from pipelines.jobs.batch_survey import BatchSurveyor, Surveyed

MOMENT_KEYS = ("domain", "split", "of")  # keys of a row of statistics; "of" is "features" or "pitch"
WORK_NAME = "listing"
FEATURES_FOLDER = "features"  # in the work folder
BATCH_FILES = 16  # files whose survey is one work item
PASSES = SURVEYED, WRITTEN, FAILED, EXCLUDED = (  # counters: two for each file
    "files_surveyed",
    "files_written",
    "files_failed",
    "files_excluded",
)
REUSED = "files_reused"  # counter of files whose features were in the store
SORT_KEYS = {  # of each kind of rows
    "sources": ("id",),
    "failures": ("domain", "path"),
    "duplicates": ("id",),
    "excluded": ("id",),
}


@dataclasses.dataclass(frozen=True)
class PreprocessJob:
    """Configuration of the job, which Beam sends to the workers.

    Attributes:
      kind: "audio" or "image".
      spec: the front end.
      domains: input files by domain.
      data_dir: output directory of the shards.
      fractions: fractions of the sources for validation and test.
      split_by: unit of the split: "file", "parent" (folder), "prefix" (of the file name) or "speaker".
      seed: random seed of the split.
      reject: run whose outlier detector refuses files; empty for none.
      waveforms: whether records of speech also store the samples.
      pitch: whether the pitch of speech is measured for the statistics.
      cache_dir: folder in which features are kept for later jobs; empty for none.
      conditioning: how recordings are trimmed, cut and selected.
      drop_duplicates: whether only one of the files of a domain that have the same bytes is kept.
      token: of the job, from `rows.begin_job`.
      file_timeout_s: longest time for a file in seconds, if files are read in child processes; 0 for no limit.
      heartbeat: of the job.
    """

    kind: str
    spec: AudioSpec | ImageSpec
    domains: tuple[Domain, ...]
    data_dir: str
    fractions: tuple[float, float]
    split_by: str
    seed: int = 0
    reject: str = ""
    waveforms: bool = False
    pitch: bool = False
    cache_dir: str = ""
    conditioning: Conditioning = Conditioning()
    drop_duplicates: bool = False
    token: str = ""
    file_timeout_s: float = isolation.TIMEOUT_S
    heartbeat: Heartbeat = NO_HEARTBEAT

    @property
    def store(self) -> FeatureStore:
        """Features between the passes; in the work folder, unless they are kept for later jobs."""
        folder = self.cache_dir or posixpath.join(rows.work_folder(self.data_dir), FEATURES_FOLDER)
        is_cache = bool(self.cache_dir)
        return FeatureStore(folder, self.spec, self.waveforms, self.fractions, self.conditioning, is_cache)

    @property
    def excludes(self) -> bool:
        """Whether files may be left out that can be read."""
        return self.drop_duplicates or self.conditioning.selects

    @property
    def file_count(self) -> int:
        """Number of files of all domains."""
        return sum(len(domain.files) for domain in self.domains)

    def build(self, pipeline: beam.Pipeline, *, isolated: bool = False) -> None:
        """Add the transforms to a pipeline.

        The first pass (survey) opens every file once, hashes it, and decodes it if the store does not hold its
        features. An outlier detector and pitch tracking decode it again. If `isolated`, a child process of each worker
        process does so. The second pass (shards) reads the features.
        The list of files, with their splits, is read from the work folder, where `rows.write_work` has written it in
        batches, whose files are read in threads.
        """
        worker = dataclasses.replace(self, domains=tuple(domain.without_files() for domain in self.domains))
        batch_count = -(-self.file_count // BATCH_FILES)
        work = rows.read_work(pipeline, self.data_dir, WORK_NAME, batch_count, token=self.token)
        duplicates = []
        if self.drop_duplicates:
            work, others = same_bytes.drop_duplicates(work, BATCH_FILES, self.heartbeat)
            duplicates.append(others | "Count" >> beam.Map(_count_excluded))
        survey = beam.ParDo(_Survey(worker, isolated, Shared()))
        survey = survey.with_outputs("moments", "failures", "excluded", main="sources")
        surveyed = work | "Survey" >> survey
        example_shape = source_files.example_shape(self.spec, waveforms=self.waveforms)
        sizes = surveyed.sources | beam.Map(lambda s: ((s.domain, s.split), len(s.active))) | beam.CombinePerKey(sum)
        written = (
            surveyed.sources
            | "Shard" >> beam.Map(source_files.assign_shard, beam.pvalue.AsDict(sizes), example_shape)
            | beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(worker)).with_outputs("shards", "failures", main="sources")
        )
        merge = functools.partial(functools.reduce, stats.merge)
        moments = surveyed.moments | "Statistics" >> beam.CombinePerKey(merge)
        outcomes = {
            "sources": written.sources | beam.Map(source_files.Source.to_json),
            "shards": written.shards,
            "failures": (surveyed.failures, written.failures) | "Failures" >> beam.Flatten(),
            "duplicates": same_bytes.shared_files(surveyed.sources),
            "excluded": (surveyed.excluded, *duplicates) | "Excluded" >> beam.Flatten(),
            "statistics": moments
            | beam.MapTuple(lambda of, m: {**dict(zip(MOMENT_KEYS, of, strict=True)), **m.to_json("<f8")}),
        }
        write = functools.partial(rows.write_rows, token=self.token, heartbeat=self.heartbeat)
        for name, outcome in outcomes.items():
            write(outcome, self.data_dir, name, order=SORT_KEYS.get(name, ()))


def _count_excluded(row: dict) -> dict:
    """Return a row of a file that is left out before the survey, whose two passes are counted."""
    counter(EXCLUDED).inc(2)
    return row


class _Survey(beam.DoFn):
    """Read the files of a batch: emit lines of the manifest and moments, or the reason of a failure."""

    def __init__(self, job: PreprocessJob, isolated: bool, shared: Shared):
        self.job, self.isolated, self.shared = job, isolated, shared

    def setup(self):
        timeout_s = self.job.file_timeout_s
        start = functools.partial(isolation.start, isolated=self.isolated, timeout_s=timeout_s)
        with self.job.heartbeat.working():
            self.survey = self.shared.acquire(lambda: start(BatchSurveyor, self.job))

    def process(self, batch):
        with self.job.heartbeat.working():
            yield from self._process(batch)

    def _process(self, batch):
        files, merged = batch["files"], {}
        for row, surveyed in zip(files, self.survey(files), strict=True):
            if isinstance(surveyed, isolation.Crash):
                surveyed = Surveyed(failure=source_files.failure_row(row["domain"], row["path"], surveyed))
            yield from surveyed.sources
            for key, moments in surveyed.moments:
                merged[key] = stats.merge(merged[key], moments) if key in merged else moments
            for excluded in surveyed.excluded:
                yield beam.pvalue.TaggedOutput("excluded", excluded)
            if surveyed.failure:
                yield beam.pvalue.TaggedOutput("failures", surveyed.failure)
                counter(FAILED).inc()
            elif not surveyed.sources:
                counter(EXCLUDED).inc()
            counter(REUSED).inc(int(surveyed.reused))
            counter(SURVEYED).inc()
        for keyed_moments in merged.items():
            yield beam.pvalue.TaggedOutput("moments", keyed_moments)


class _WriteShard(beam.DoFn):
    """Read the features of the files of a shard, in the order of their ids, and write the shard."""

    def __init__(self, job: PreprocessJob):
        self.job = job

    def setup(self):
        blas.use_one_thread()

    def process(self, element):
        with self.job.heartbeat.working():
            yield from self._process(element)

    def _process(self, element):
        job, ((domain, split, shard, shards), surveyed) = self.job, element
        path = posixpath.join(job.data_dir, tfrecord.shard_name(domain, split, shard, shards))
        written, failures, lengths = [], [], []
        try:
            with filesystem.new_file(path) as out, job.store.reader() as reader:
                for source in sorted(surveyed, key=lambda s: s.id):
                    encoded = self._encoded(reader, source, failures)
                    if encoded is not None:
                        out.write(b"".join(encoded))
                        lengths.append((len(encoded), sum(map(len, encoded))))
                        written.append(dataclasses.replace(source, shard=shard))
                rows.require_current(job.data_dir, job.token)  # a later job may have deleted the features
        except OSError as error:  # such as a full disk: the shard would be incomplete
            raise UserError(f"{path} cannot be written: {error}") from None
        yield from written
        for failure in failures:
            yield beam.pvalue.TaggedOutput("failures", failure)
        examples, size = (sum(column) for column in zip(*lengths, strict=True)) if lengths else (0, 0)
        row = {"domain": domain, "split": split, "shard": shard, "shards": shards, "examples": examples}
        yield beam.pvalue.TaggedOutput("shards", row | {"bytes": size})

    def _encoded(self, reader: Reader, source: source_files.Source, failures: list[dict]) -> list[bytes] | None:
        """Return the framed records of a source; if its features cannot be read, append a row to `failures`."""
        try:
            examples = feature_extraction.serialized_examples(reader, source, self.job.kind)
            encoded = [tfrecord.frame_record(example) for example in examples]
        except Exception as error:
            failures.append(source_files.failure_row(source.domain, source.path, error))
            encoded = None
        if source.is_first:
            counter(FAILED if encoded is None else WRITTEN).inc()
        return encoded
