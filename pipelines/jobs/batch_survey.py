"""The survey of a batch of source files, in threads: their features are stored, their manifest lines returned."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
from typing import TYPE_CHECKING, BinaryIO

from models.errors import UserError
from models.features import pitch
from pipelines import parallel, stable_hash
from pipelines.beam import blas, filesystem
from pipelines.data import feature_extraction, source_files
from pipelines.data.feature_file import Features
from pipelines.data.feature_store import CachedFiles, SharedFile
from pipelines.jobs import same_bytes

if TYPE_CHECKING:
    from pipelines.jobs.preprocess_job import PreprocessJob


@dataclasses.dataclass(frozen=True, eq=False)
class Surveyed:
    """Outcome of the survey of a file.

    Attributes:
      sources: lines of the manifest.
      moments: keys and moments.
      excluded: a row for each recording or part that is left out.
      reused: whether the store held the features.
      failure: the reason why the file cannot be read, or None.
    """

    sources: list[source_files.Source] = dataclasses.field(default_factory=list)
    moments: list[tuple] = dataclasses.field(default_factory=list)
    excluded: list[dict] = dataclasses.field(default_factory=list)
    reused: bool = False
    failure: dict | None = None


class BatchSurveyor:
    """Reads the files of batches in threads.

    Args:
      job: the configuration.
    """

    def __init__(self, job: PreprocessJob):
        blas.use_one_thread()
        self.job, self.executor = job, concurrent.futures.ThreadPoolExecutor(parallel.core_count())
        self.detector = None
        if run_dir := job.reject:
            from pipelines.inference import exported_model, outlier_detector

            self.detector = outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))

    def __call__(self, files: list[dict]) -> list[Surveyed]:
        """Return the outcome of each row of the work items, whose features are written then."""
        with self.job.store.batch(row["path"] for row in files) as batch:
            return list(self.executor.map(lambda row: self._survey_or_failure(row, batch), files))

    def _survey_or_failure(self, row: dict, batch: CachedFiles | SharedFile) -> Surveyed:
        try:
            if "reason" in row:
                raise UserError(row["reason"])
            with filesystem.open_file(row["path"]) as file:
                return self._survey(file, row, batch)
        except Exception as error:  # one bad file must not end the job, but a full disk must
            return Surveyed(failure=source_files.failure_row(row["domain"], row["path"], error))

    def _survey(self, file: BinaryIO, row: dict, batch: CachedFiles | SharedFile) -> Surveyed:
        store, may_cut = self.job.store, row.get("cut", False)
        digest = row.get(same_bytes.HASH_KEY) or stable_hash.file_digest(file)
        name = store.name(digest, may_cut=may_cut)
        place = batch.find(name)
        surveyed = Surveyed(reused=bool(place))
        with contextlib.ExitStack() as stack:
            if place:
                parts = stack.enter_context(store.reader()).parts(place)
            else:
                extracted = feature_extraction.extract(file, store, may_cut=may_cut)
                features = stack.enter_context(Features(extracted, store.layout))
                place, parts = batch.add(name, features), features.parts()
            identity = {"hash": digest, "features": place}
            for source, moments in feature_extraction.survey(parts, row, store.spec, identity):
                if excluded := feature_extraction.exclusion(source, self.job.conditioning):
                    surveyed.excluded.append(excluded)
                    continue
                surveyed.sources.append(dataclasses.replace(source, is_first=not surveyed.sources))
                surveyed.moments.append(((source.domain, source.split, "features"), moments))
        if self.detector and surveyed.sources:
            self.detector.raise_if_outlier(file)
        if self.job.pitch and surveyed.sources:
            first = surveyed.sources[0]
            tracked = pitch.log_f0_moments(file, store.spec.sample_rate_hz, channel=first.channel)
            surveyed.moments.append(((row["domain"], first.split, "pitch"), tracked))
        return surveyed
