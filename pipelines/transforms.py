"""All Beam code: the two jobs, what they run on, and the file systems that Beam reaches.

Workers import this module by name, so nothing here may depend on flags: a job is a frozen
dataclass that travels with each DoFn. TensorFlow is imported by translation workers only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import posixpath
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from models.features import audio, image, stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import config, records

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

    logging.disable(logging.NOTSET)

if TYPE_CHECKING:
    pass

SHARD_BYTES = 128 << 20
PROCESSES_FROM_BYTES = 64 << 20  # below, starting worker processes costs more than it saves

# ------------------------------------------------------------------ files, wherever Beam reaches


def match(pattern: str) -> list[str]:
    """Paths that a glob names, sorted; ``**/`` stands for any folders, none included."""
    patterns = sorted({pattern, pattern.replace("**/", "")})
    found = FileSystems.match(patterns)
    return sorted({meta.path for result in found for meta in result.metadata_list})


def total_bytes(paths: Iterable[str]) -> int:
    """Size of files that exist."""
    return sum(meta.size_in_bytes for result in FileSystems.match(list(paths)) for meta in result.metadata_list)


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
    folder = posixpath.dirname(path)
    if folder and not FileSystems.exists(folder):
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
    """Removes files or folders."""
    if paths:
        FileSystems.delete(paths)


# ------------------------------------------------------------------ running


def options(arguments: list[str]) -> PipelineOptions:
    """Beam's options, of what follows the bare ``--``.

    Raises:
      ValueError: one that Beam does not know.
    """
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    made = PipelineOptions(arguments)
    known = made.get_all_options()
    unknown = sorted(set(made.get_all_options(retain_unknown_options=True)) - set(known))
    logging.disable(logging.NOTSET)
    if unknown:
        raise ValueError(f"Beam has no option --{unknown[0]}; {config.nearest(unknown[0], known)}")
    return made


def is_local(made: PipelineOptions) -> bool:
    """Whether the job runs in this process and its children."""
    return made.view_as(StandardOptions).runner is None


def is_dry_run(made: PipelineOptions) -> bool:
    """Whether the job is only to be built."""
    return str(made.get_all_options().get("dry_run")).lower() == "true"


def run(build: Callable[[beam.Pipeline], None], made: PipelineOptions, *, work_bytes: int = 0) -> None:
    """Runs a job where the options say; here, if they name no runner.

    The local runner is chosen by hand. `DirectRunner` would first try to download another one, and
    a bare `FnApiRunner` starts processes that know no options.

    Args:
      build: applies the transforms.
      made: from :func:`options`.
      work_bytes: bytes to go through; from `PROCESSES_FROM_BYTES` on, one process a core.
    """
    if not is_local(made):
        with beam.Pipeline(options=made) as pipeline:
            build(pipeline)
        return
    direct = made.view_as(DirectOptions)
    if work_bytes >= PROCESSES_FROM_BYTES and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode, direct.direct_num_workers = "multi_processing", os.cpu_count() or 1
    values = {**made.get_all_options(), "default_sdk_harness_log_level": "ERROR"}
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=JobServiceHandle.encode_pipeline_options(values))
    runner = fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))
    with beam.Pipeline(runner=runner, options=made) as pipeline:
        build(pipeline)


# ------------------------------------------------------------------ folders to records


@dataclasses.dataclass(frozen=True)
class Domain:
    """Where a domain's files are.

    Attributes:
      name: as the user calls it.
      paths: globs.
      root: the folder that ids are relative to, with a final slash.
    """

    name: str
    paths: tuple[str, ...]
    root: str


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The job of `preprocess`; travels to the workers.

    Attributes:
      kind: "audio" or "image".
      spec: the front end.
      domains: what to read.
      data_dir: where shards go.
      val_fraction: of the sources.
      test_fraction: of the sources.
      split_by: "file", or "parent": files of one folder stay together.
      seed: another gives another split.
      tally: folder of a :class:`Tally`, or nothing.
    """

    kind: str
    spec: AudioSpec | ImageSpec
    domains: tuple[Domain, ...]
    data_dir: str
    val_fraction: float
    test_fraction: float
    split_by: str
    seed: int = 0
    tally: str = ""

    def build(self, pipeline: beam.Pipeline) -> None:
        """Pass one reads every file for its split and statistics; pass two writes the shards."""
        surveyed = (
            pipeline
            | beam.Create(self.domains)
            | "Match" >> beam.FlatMap(_files_of)
            | "Spread" >> beam.Reshuffle()
            | "Survey" >> beam.ParDo(_Survey(self)).with_outputs("moments", "failures", main="sources")
        )
        sizes = surveyed.sources | beam.Map(lambda s: ((s.domain, s.split), s.examples)) | beam.CombinePerKey(sum)
        written = (
            surveyed.sources
            | "Shard" >> beam.Map(_to_shard, beam.pvalue.AsDict(sizes), self.spec)
            | beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteShard(self)).with_outputs("shards", "failures", main="sources")
        )
        moments = surveyed.moments | "Statistics" >> beam.CombinePerKey(_MomentsFn())
        failures = (surveyed.failures, written.failures) | "Failures" >> beam.Flatten()
        outcomes = {
            "sources": written.sources | beam.Map(dataclasses.asdict),
            "shards": written.shards,
            "failures": failures,
            "statistics": moments | beam.MapTuple(_moments_row),
        }
        for name, rows in outcomes.items():
            place = posixpath.join(self.data_dir, WORK_FOLDER, name)
            _ = rows | f"{name} rows" >> beam.Map(json.dumps) | f"{name} out" >> beam.io.WriteToText(place)


WORK_FOLDER = "incomplete"  # what a job leaves for the launcher to finish


def rows(data_dir: str, name: str) -> list[dict]:
    """What the finished job wrote of that name."""
    paths = match(posixpath.join(data_dir, WORK_FOLDER, f"{name}-*"))
    return [json.loads(line) for path in paths for line in read_text(path).splitlines()]


def _files_of(domain: Domain) -> Iterator[tuple[Domain, str]]:
    for path in sorted({path for pattern in domain.paths for path in match(pattern)}):
        yield domain, path


def _to_shard(source: records.Source, sizes: dict, spec: AudioSpec | ImageSpec) -> tuple[tuple, records.Source]:
    shards = shard_count(sizes[source.domain, source.split], spec)
    shard = int(records.stable_fraction(f"shard:{source.id}") * shards)
    return (source.domain, source.split, shard, shards), source


def shard_count(examples: int, spec: AudioSpec | ImageSpec) -> int:
    """Shards of about `SHARD_BYTES` for so many examples, at their largest."""
    if isinstance(spec, AudioSpec):
        each = 2 * records.SEGMENT_FRAMES * spec.n_mels
    else:
        each = spec.height * spec.width * spec.channels
    return max(1, round(examples * each / SHARD_BYTES))


def _moments_row(key: tuple[str, str], moments: stats.Moments) -> dict:
    return {"domain": key[0], "split": key[1], **moments.to_row()}


class _MomentsFn(beam.CombineFn):
    """Merges :class:`stats.Moments`."""

    def create_accumulator(self):
        return None

    def add_input(self, accumulator, moments):
        return moments if accumulator is None else stats.merge(accumulator, moments)

    def merge_accumulators(self, accumulators):
        merged = None
        for each in accumulators:
            if each is not None:
                merged = self.add_input(merged, each)
        return merged

    def extract_output(self, accumulator):
        return accumulator


class _Survey(beam.DoFn):
    """Reads a file: what the manifest says of it, its moments, or why it could not be read."""

    def __init__(self, job: Preprocess):
        self.job = job

    def process(self, element):
        domain, path = element
        try:
            source, moments = self.survey(domain, path)
            yield source
            yield beam.pvalue.TaggedOutput("moments", ((source.domain, source.split), moments))
        except Exception as error:  # one bad file must not end the job, whatever is wrong with it
            yield beam.pvalue.TaggedOutput("failures", failure(domain.name, path, error))
        Tally.add(self.job.tally)

    def survey(self, domain: Domain, path: str) -> tuple[records.Source, stats.Moments]:
        job, relative = self.job, path.removeprefix(domain.root)
        with open_file(path) as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
            file.seek(0)
            if job.kind == "audio":
                samples, gain = audio.survey(file, job.spec)
                file.seek(0)
                length, frames, count, moments = samples / job.spec.sample_rate_hz, 0, 0, None
                for part in audio.segments(file, job.spec, gain, records.SEGMENT_FRAMES):
                    frames, count = frames + len(part), count + 1
                    active = stats.Moments.of(part[audio.active_frames(part, job.spec)])
                    moments = active if moments is None else stats.merge(moments, active)
            else:
                pixels = image.read(file, job.spec)
                gain, length, frames, count = 1.0, float(pixels.size), len(pixels), 1
                moments = stats.Moments.of(image.to_unit(pixels))
        key = posixpath.splitext(relative)[0] if job.split_by == "file" else posixpath.dirname(path)
        split = records.split_of(f"{job.seed}:{key}", val_fraction=job.val_fraction, test_fraction=job.test_fraction)
        place = {"id": f"{domain.name}/{relative}", "path": path, "domain": domain.name, "split": split}
        found = {"hash": digest, "length": length, "gain": gain, "frames": frames, "examples": count}
        return records.Source(**place, **found), moments


class _WriteShard(beam.DoFn):
    """Reads the files of a shard again, in the order of their ids, and writes it."""

    def __init__(self, job: Preprocess):
        self.job = job

    def process(self, element):
        (domain, split, shard, shards), sources = element
        name = records.shard_name(domain, split, shard, shards)
        lengths = []
        with new_file(posixpath.join(self.job.data_dir, name)) as out:
            for source in sorted(sources, key=lambda s: s.id):
                try:
                    encoded = [records.framed(r) for r in self.examples(source)]
                except Exception as error:  # read once, gone or changed since
                    yield beam.pvalue.TaggedOutput("failures", failure(domain, source.path, error))
                    continue
                out.write(b"".join(encoded))
                lengths.append((len(encoded), sum(map(len, encoded))))
                yield dataclasses.replace(source, shard=shard)
                Tally.add(self.job.tally)
        examples, size = (sum(column) for column in zip(*lengths, strict=True)) if lengths else (0, 0)
        row = {"domain": domain, "split": split, "shard": shard, "shards": shards, "examples": examples}
        yield beam.pvalue.TaggedOutput("shards", row | {"bytes": size})

    def examples(self, source: records.Source) -> Iterator[bytes]:
        label = posixpath.basename(posixpath.dirname(source.path))
        texts = {"id": source.id, "domain": source.domain, "label": label}
        with open_file(source.path) as file:
            if self.job.kind == "audio":
                parts = audio.segments(file, self.job.spec, source.gain, records.SEGMENT_FRAMES)
            else:
                parts = iter([image.read(file, self.job.spec)])
            for segment, part in enumerate(parts):
                yield records.encode(self.job.kind, part, texts, segment)


def failure(domain: str, path: str, error: Exception) -> dict:
    """A line of `failures.jsonl`."""
    reason = str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
    return {"domain": domain, "path": path, "reason": " ".join(reason.split())}


class Tally:
    """Counts what local workers have done, through files to which they add a byte each time."""

    def __init__(self, folder: str):
        self.folder = folder

    @staticmethod
    def add(folder: str) -> None:
        """One more, from any process of this machine; nothing where there is no such folder."""
        if folder and os.path.isdir(folder):
            with open(os.path.join(folder, str(os.getpid())), "ab") as file:
                file.write(b".")

    def count(self) -> int:
        """How many so far."""
        return sum(entry.stat().st_size for entry in os.scandir(self.folder)) if self.folder else 0


@contextlib.contextmanager
def tally(made: PipelineOptions) -> Iterator[Tally]:
    """A tally for a job that runs here; one that counts nothing for others."""
    if not is_local(made):
        yield Tally("")
        return
    with tempfile.TemporaryDirectory(prefix="crossfade-tally-") as folder:
        yield Tally(folder)
