"""All Beam code: the two jobs, what they run on, and the file systems that Beam reaches.

Workers import this module by name, so nothing here may depend on flags: a job is a frozen
dataclass that travels with each DoFn. TensorFlow is imported by translation workers only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import io
import json
import logging
import os
import posixpath
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from models.errors import UserError
from models.features import pitch, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import config, console, records, sources
from pipelines.console import Tally
from pipelines.sources import Domain

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients announce the Python versions they will drop
    logging.disable(logging.WARNING)
    import apache_beam as beam
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle
    from apache_beam.utils.shared import Shared

    logging.disable(logging.NOTSET)

if TYPE_CHECKING:
    from pipelines.conversion import Conversion

PROCESSES_FROM_BYTES = 64 << 20  # below, starting worker processes costs more than it saves

# ------------------------------------------------------------------ files, wherever Beam reaches


def match(pattern: str) -> list[str]:
    """Paths that a glob names, sorted; ``**/`` stands for any folders, none included."""
    pattern = pattern.replace("[[]", "[\0[]")  # no file's name holds a NUL, and of [[ Python warns
    here = "" if "/" in re.match(r"[^[*?]*", pattern)[0] else "./"  # Beam lists no folder that has no name
    found = FileSystems.match(sorted({here + pattern, here + pattern.replace("**/", "")}))
    return sorted({meta.path.removeprefix(here) for result in found for meta in result.metadata_list})


def total_bytes(paths: list[str]) -> int:
    """Size of files that exist."""
    here = [path for path in paths if "://" not in path]  # Beam would take brackets in them for a glob, and list all
    there = (meta for each in FileSystems.match([p for p in paths if "://" in p]) for meta in each.metadata_list)
    return sum(map(os.path.getsize, here)) + sum(meta.size_in_bytes for meta in there)


def open_file(path: str) -> BinaryIO:
    """A file to read, seekable, its bytes as they are."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read_text(path: str) -> str:
    """A whole text file."""
    with open_file(path) as file:
        return file.read().decode()


@contextlib.contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file to write, with the folders above it, that appears whole when the block ends, or not at all."""
    if (folder := posixpath.dirname(path)) and not FileSystems.exists(folder):
        with contextlib.suppress(OSError):  # another worker was faster, or the store knows no folders
            FileSystems.mkdirs(folder)
    temporary = f"{path}.part-{os.getpid()}"
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield file
    FileSystems.rename([temporary], [path])


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return FileSystems.exists(path)


def delete(paths: list[str]) -> None:
    """Removes files, and local folders."""
    for path in (path for path in paths if "://" not in path):  # Beam would take brackets in them for a glob
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    FileSystems.delete([path for path in paths if "://" in path])


# ------------------------------------------------------------------ running


def options(arguments: list[str]) -> PipelineOptions:
    """Beam's options, of what follows the bare ``--``.

    Raises:
      UserError: one that Beam does not know, or a value that it does not take.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not argument.startswith("-") and ("=" in before or not before.startswith("--")):
            raise UserError(f"{argument}: wanted --option=value after the bare --")
    told = io.StringIO()
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(told):
            made = PipelineOptions(arguments)
            known, given = (made.get_all_options(retain_unknown_options=keep) for keep in (False, True))
    except SystemExit:
        raise UserError(f"Beam: {told.getvalue().rpartition('error: ')[2]}") from None
    finally:
        logging.disable(logging.NOTSET)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UserError(f"Beam has no option --{unknown[0]}; {config.nearest(unknown[0], known)}")
    return made


def is_local(made: PipelineOptions) -> bool:
    """Whether the job runs in this process and its children."""
    return made.view_as(StandardOptions).runner is None


def is_dry_run(made: PipelineOptions) -> bool:
    """Whether the job is only to be built."""
    return str(made.get_all_options().get("dry_run")).lower() == "true"


def run(build: Callable[[beam.Pipeline], None], made: PipelineOptions, *, work_bytes: int = 0) -> None:
    """Runs a job where the options say; here, if they name no runner.

    Here by `FnApiRunner`: `DirectRunner` would first download another. Its processes are told the options by hand.

    Args:
      build: applies the transforms.
      made: see :func:`options`.
      work_bytes: bytes to go through; from `PROCESSES_FROM_BYTES` on, one process a core.
    """
    runner = None  # the one that the options name
    if is_local(made):
        direct = made.view_as(DirectOptions)
        if work_bytes >= PROCESSES_FROM_BYTES and direct.direct_running_mode == "in_memory":
            direct.direct_running_mode, direct.direct_num_workers = "multi_processing", os.cpu_count() or 1
        values = {**made.get_all_options(), "default_sdk_harness_log_level": "ERROR"}
        info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=JobServiceHandle.encode_pipeline_options(values))
        runner = fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))
    pipeline = beam.Pipeline(runner, made)
    build(pipeline)
    console.interruptible(lambda: pipeline.run().wait_until_finish())


WORK_FOLDER = "incomplete"  # what a job leaves for the launcher to finish
ROW_FILES = 8  # of each name
MOMENTS = ("domain", "split", "of")  # what they are of: the last is "features" or "pitch"


def _write_rows(found: beam.PCollection, folder: str, name: str) -> None:
    place = posixpath.join(folder, WORK_FOLDER, name)
    made = found | f"{name} rows" >> beam.Map(json.dumps)
    keyed = made | f"{name} keys" >> beam.WithKeys(lambda row: int(ROW_FILES * records.stable_fraction(row)))
    _ = keyed | f"{name} files" >> beam.GroupByKey() | f"{name} out" >> beam.Map(_write_lines, place)


def _write_lines(element: tuple[int, Iterable[str]], place: str) -> None:
    number, found = element
    with new_file(f"{place}-{number:05d}") as file:
        file.writelines(f"{line}\n".encode() for line in found)


def rows(folder: str, name: str) -> list[dict]:
    """What the finished job wrote of that name."""
    paths = match(posixpath.join(glob.escape(folder), WORK_FOLDER, f"{name}-*"))
    return [json.loads(line) for path in paths for line in read_text(path).splitlines()]


def clear_rows(folder: str) -> None:
    """Removes what a job, finished or not, left for the launcher."""
    work = posixpath.join(folder, WORK_FOLDER)
    delete(match(posixpath.join(glob.escape(work), "**")))
    if exists(work):  # not where a store knows no folders
        delete([work])


# ------------------------------------------------------------------ folders to records


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The job of `preprocess`; travels to the workers.

    Attributes:
      kind: "audio" or "image".
      spec: the front end.
      domains: what to read.
      data_dir: where shards go.
      fractions: of the sources, for validation and for testing.
      split_by: "file", or "parent": files of one folder stay together.
      seed: another gives another split.
      reject: run whose detector refuses files that are unlike what it was trained on, or nothing.
      tally: folder of a :class:`Tally`, or nothing.
      waveforms: whether records of speech hold its samples too.
      pitch: whether the pitch of speech is tracked for the statistics.
    """

    kind: str
    spec: AudioSpec | ImageSpec
    domains: tuple[Domain, ...]
    data_dir: str
    fractions: tuple[float, float]
    split_by: str
    seed: int = 0
    reject: str = ""
    tally: str = ""
    waveforms: bool = False
    pitch: bool = False

    def build(self, pipeline: beam.Pipeline) -> None:
        """Pass one reads every file for its split and statistics; pass two writes the shards."""
        surveyed = (
            pipeline
            | beam.Create(self.domains)
            | "Match" >> beam.FlatMap(_files_of)
            | "Spread" >> beam.Reshuffle()
            | "Survey" >> beam.ParDo(_Survey(self, Shared())).with_outputs("moments", "failures", main="sources")
        )
        held = sources.shape(self.spec, waveforms=self.waveforms)
        sizes = surveyed.sources | beam.Map(lambda s: ((s.domain, s.split), len(s.active))) | beam.CombinePerKey(sum)
        written = (
            surveyed.sources
            | "Shard" >> beam.Map(sources.to_shard, beam.pvalue.AsDict(sizes), held)
            | beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(self)).with_outputs("shards", "failures", main="sources")
        )
        merge = functools.partial(functools.reduce, stats.merge)
        moments = surveyed.moments | "Statistics" >> beam.CombinePerKey(merge)
        failures = (surveyed.failures, written.failures) | "Failures" >> beam.Flatten()
        outcomes = {
            "sources": written.sources | beam.Map(dataclasses.asdict),
            "shards": written.shards,
            "failures": failures,
            "statistics": moments
            | beam.MapTuple(lambda of, m: {**dict(zip(MOMENTS, of, strict=True)), **m.to_json("<f8")}),
        }
        for name, found in outcomes.items():
            _write_rows(found, self.data_dir, name)


def _files_of(domain: Domain) -> Iterator[tuple[Domain, str]]:
    for path in sorted({path for pattern in domain.paths for path in match(pattern)}):
        yield domain, os.fsencode(path).decode(errors="backslashreplace")  # no other name can travel; it will not open


class _Survey(beam.DoFn):
    """Reads a file: what the manifest says of it, its moments, or why it could not be read."""

    def __init__(self, job: Preprocess, shared: Shared):
        self.job, self.shared = job, shared

    def setup(self):
        if run_dir := self.job.reject:
            from pipelines import conversion, screening  # TensorFlow: only where files are screened

            self.detector = self.shared.acquire(lambda: screening.Detector.load(run_dir, conversion.Model(run_dir)))

    def process(self, element):
        job, (domain, path) = self.job, element
        try:
            with open_file(path) as file:
                options = {"split_by": job.split_by, "fractions": job.fractions, "seed": job.seed}
                source, moments = sources.survey(file, path, domain, job.spec, **options)
                if job.reject:
                    self.detector.refuse(file)
                tracked = {"pitch": pitch.survey(file, job.spec.sample_rate_hz)} if job.pitch else {}
            yield source
            for of, found in ({"features": moments} | tracked).items():
                yield beam.pvalue.TaggedOutput("moments", ((source.domain, source.split, of), found))
        except Exception as error:  # one bad file must not end the job, whatever is wrong with it
            yield beam.pvalue.TaggedOutput("failures", sources.failure(domain.name, path, error))
            Tally.add(job.tally)  # for the second pass, which it will not see
        Tally.add(job.tally)


class _WriteShard(beam.DoFn):
    """Reads the files of a shard again, in the order of their ids, and writes it."""

    def __init__(self, job: Preprocess):
        self.job = job

    def process(self, element):
        job, ((domain, split, shard, shards), found) = self.job, element
        lengths = []
        with new_file(posixpath.join(job.data_dir, records.shard_name(domain, split, shard, shards))) as out:
            for source in sorted(found, key=lambda s: s.id):
                try:
                    with open_file(source.path) as file:
                        encoded = [records.framed(r) for r in sources.examples(file, source, job.spec, job.waveforms)]
                except Exception as error:  # read once, gone or changed since
                    yield beam.pvalue.TaggedOutput("failures", sources.failure(domain, source.path, error))
                    continue
                out.write(b"".join(encoded))
                lengths.append((len(encoded), sum(map(len, encoded))))
                yield dataclasses.replace(source, shard=shard)
                Tally.add(job.tally)
        examples, size = (sum(column) for column in zip(*lengths, strict=True)) if lengths else (0, 0)
        row = {"domain": domain, "split": split, "shard": shard, "shards": shards, "examples": examples}
        yield beam.pvalue.TaggedOutput("shards", row | {"bytes": size})


# ------------------------------------------------------------------ a folder through a model


@dataclasses.dataclass(frozen=True)
class Translate:
    """The job of `translate`; travels to the workers.

    Attributes:
      conversion: what is asked of the model.
      inputs: what to read; its name is the source domain.
      output_dir: where results go.
      suffix: their ending.
      tally: folder of a :class:`Tally`, or nothing.
    """

    conversion: Conversion
    inputs: Domain
    output_dir: str
    suffix: str
    tally: str = ""

    def build(self, pipeline: beam.Pipeline) -> None:
        """Names every result, then converts; the model is loaded once in each worker process."""
        made = (
            pipeline
            | beam.Create([self.inputs])
            | "Match" >> beam.FlatMap(_files_of)
            | "Name" >> beam.MapTuple(lambda domain, path: (self.result_of(path), path))
            | beam.GroupByKey()
            | "Settle" >> beam.FlatMapTuple(self.settled)
            | "Spread" >> beam.Reshuffle()
            | beam.BatchElements(min_batch_size=8, max_batch_size=32)
            | "Convert" >> beam.ParDo(_Convert(self, Shared())).with_outputs("failures", main="translations")
        )
        for name, found in (("translations", made.translations), ("failures", made.failures)):
            _write_rows(found, self.output_dir, name)

    def result_of(self, path: str) -> str:
        """Where the result of a file goes, below the output folder."""
        return posixpath.splitext(path.removeprefix(self.inputs.root))[0] + self.suffix

    def settled(self, result: str, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(path, result) for files that would give one name: whose own it is keeps it, others keep their ending too."""
        for number, path in enumerate(sorted(paths, key=lambda path: (not path.endswith(result), path))):
            yield path, result if not number else path.removeprefix(self.inputs.root) + self.suffix


class _Convert(beam.DoFn):
    """Converts batches of files with a model that all threads of a process share."""

    def __init__(self, job: Translate, shared: Shared):
        self.job, self.shared = job, shared

    def setup(self):
        from pipelines.conversion import Converter  # TensorFlow: for these workers only

        self.converter = self.shared.acquire(lambda: Converter(self.job.conversion))

    def process(self, batch):
        from pipelines.conversion import Item

        with contextlib.ExitStack() as stack:
            items, ready = [], []
            for path, result in batch:
                try:
                    source = stack.enter_context(open_file(path))
                except OSError as error:
                    yield beam.pvalue.TaggedOutput("failures", sources.failure(self.job.inputs.name, path, error))
                    continue
                target = posixpath.join(self.job.output_dir, result)
                items.append(Item(source, functools.partial(new_file, target)))
                ready.append((path, result))
            for (path, result), outcome in zip(ready, self.converter.convert(items), strict=True):
                if isinstance(outcome, Exception):
                    yield beam.pvalue.TaggedOutput("failures", sources.failure(self.job.inputs.name, path, outcome))
                else:
                    ways = {"source": self.job.inputs.name, "target": self.job.conversion.target}
                    yield {"path": path, "output": result, **ways, **outcome}
                Tally.add(self.job.tally)
