"""The Beam job of `preprocess`: files to TFRecords and their statistics."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.utils.shared import Shared

from models.errors import UserError
from models.features import pitch, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines.beam import blas, filesystem, rows
from pipelines.beam.job_counters import counter
from pipelines.data import source_files, tfrecord
from pipelines.data.domains import Domain

MOMENT_KEYS = ("domain", "split", "of")  # keys of a row of statistics; "of" is "features" or "pitch"
WORK_NAME = "listing"
PASSES = SURVEYED, WRITTEN, FAILED = "files_surveyed", "files_written", "files_failed"  # counters: two for each file
SORT_KEYS = {"sources": ("id",), "failures": ("domain", "path"), "duplicates": ("id",)}  # of each kind of rows


@dataclasses.dataclass(frozen=True)
class PreprocessJob:
    """Configuration of the job, which Beam sends to the workers.

    Attributes:
      kind: "audio" or "image".
      spec: the front end.
      domains: input files by domain.
      data_dir: output directory of the shards.
      fractions: fractions of the sources for validation and test.
      split_by: unit of the split: "file", "parent" (folder) or "prefix" (of the file name).
      seed: random seed of the split.
      reject: run whose outlier detector refuses files; empty for none.
      waveforms: whether records of speech also store the samples.
      pitch: whether the pitch of speech is measured for the statistics.
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

    @property
    def file_count(self) -> int:
        """Number of files of all domains."""
        return sum(len(domain.files) for domain in self.domains)

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the transforms to a pipeline.

        The first pass (survey) opens every file once and decodes a recording twice: for its level, then for statistics
        at the normalised level. An outlier detector and pitch tracking decode it again. The second pass (shards) opens
        every file, or each part of a divided recording, once more. The list of files, with their splits, is read from
        the work folder, where `rows.write_work` has written it.
        """
        worker = dataclasses.replace(self, domains=tuple(domain.without_files() for domain in self.domains))
        work = rows.read_work(pipeline, self.data_dir, WORK_NAME, self.file_count)
        survey = beam.ParDo(_Survey(worker, Shared())).with_outputs("moments", "failures", main="sources")
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
        by_hash = surveyed.sources | "Hash" >> beam.Map(lambda s: (s.hash, (s.domain, s.split, s.id)))
        outcomes = {
            "sources": written.sources | beam.Map(dataclasses.asdict),
            "shards": written.shards,
            "failures": (surveyed.failures, written.failures) | "Failures" >> beam.Flatten(),
            "duplicates": by_hash | "Same bytes" >> beam.GroupByKey() | "Duplicates" >> beam.FlatMapTuple(_duplicates),
            "statistics": moments
            | beam.MapTuple(lambda of, m: {**dict(zip(MOMENT_KEYS, of, strict=True)), **m.to_json("<f8")}),
        }
        for name, outcome in outcomes.items():
            rows.write_rows(outcome, self.data_dir, name, order=SORT_KEYS.get(name, ()))


def _duplicates(digest: str, members: Iterable[tuple[str, str, str]]) -> Iterator[dict]:
    """Yield a row if files of several domains or splits have the same bytes.

    The parts of one recording count as one file.
    """
    first: dict[tuple[str, str], str] = {}
    for domain, split, name in members:
        identifier = source_files.recording_id(name)
        first[domain, split] = min(identifier, first.get((domain, split), identifier))
    if len(set(first.values())) > 1:
        sources = sorted((domain, split, identifier) for (domain, split), identifier in first.items())
        yield {"id": sources[0][2], "hash": digest, "places": sources}


class _Survey(beam.DoFn):
    """Read a file: emit its line of the manifest and its moments, or the reason of the failure."""

    def __init__(self, job: PreprocessJob, shared: Shared):
        self.job, self.shared = job, shared

    def setup(self):
        blas.use_one_thread()
        if run_dir := self.job.reject:
            from pipelines.inference import exported_model, outlier_detector

            self.detector = self.shared.acquire(
                lambda: outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))
            )

    def process(self, row):
        job = self.job
        try:
            if "reason" in row:
                raise UserError(row["reason"])
            with filesystem.open_file(row["path"]) as file:
                surveyed = list(source_files.survey(file, row, job.spec, job.fractions))
                if job.reject:
                    self.detector.raise_if_outlier(file)
                channel = surveyed[0][0].channel
                tracked = pitch.log_f0_moments(file, job.spec.sample_rate_hz, channel=channel) if job.pitch else None
            for source, moments in surveyed:
                yield source
                yield beam.pvalue.TaggedOutput("moments", ((source.domain, source.split, "features"), moments))
            if tracked:
                yield beam.pvalue.TaggedOutput("moments", ((row["domain"], surveyed[0][0].split, "pitch"), tracked))
        except Exception as error:  # one bad file must not end the job
            yield beam.pvalue.TaggedOutput("failures", source_files.failure_row(row["domain"], row["path"], error))
            counter(FAILED).inc()
        counter(SURVEYED).inc()


class _WriteShard(beam.DoFn):
    """Read the files of a shard a second time, in the order of their ids, and write the shard."""

    def __init__(self, job: PreprocessJob):
        self.job = job

    def setup(self):
        blas.use_one_thread()

    def process(self, element):
        job, ((domain, split, shard, shards), surveyed) = self.job, element
        path = posixpath.join(job.data_dir, tfrecord.shard_name(domain, split, shard, shards))
        written, failures, lengths = [], [], []
        try:
            with filesystem.new_file(path) as out:
                for source in sorted(surveyed, key=lambda s: s.id):
                    encoded = self._encoded(source, failures)
                    if encoded is not None:
                        out.write(b"".join(encoded))
                        lengths.append((len(encoded), sum(map(len, encoded))))
                        written.append(dataclasses.replace(source, shard=shard))
        except OSError as error:  # such as a full disk: the shard would be incomplete
            raise UserError(f"{path} cannot be written: {error}") from None
        yield from written
        for failure in failures:
            yield beam.pvalue.TaggedOutput("failures", failure)
        examples, size = (sum(column) for column in zip(*lengths, strict=True)) if lengths else (0, 0)
        row = {"domain": domain, "split": split, "shard": shard, "shards": shards, "examples": examples}
        yield beam.pvalue.TaggedOutput("shards", row | {"bytes": size})

    def _encoded(self, source: source_files.Source, failures: list[dict]) -> list[bytes] | None:
        """Return the framed records of a file.

        If the file is missing or has changed since the survey, append a row to `failures` and return None.
        """
        job = self.job
        try:
            with filesystem.open_file(source.path) as file:
                encoded = [
                    tfrecord.frame_record(r)
                    for r in source_files.serialized_examples(file, source, job.spec, job.waveforms)
                ]
        except Exception as error:
            failures.append(source_files.failure_row(source.domain, source.path, error))
            encoded = None
        if not source.part or source.split == "train":  # a recording that is cut up counts once
            counter(FAILED if encoded is None else WRITTEN).inc()
        return encoded
