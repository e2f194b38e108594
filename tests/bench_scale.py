"""Time and memory of the launcher for a corpus of many files, with synthetic rows in place of what workers leave.

    python -m tests.bench_scale [--sources=1000000]

Prints a row for each step: the listing, with synthetic files in place of a walk of a tree; the rows written for the
workers; the finished directory; the plan of `translate`, without its model. Then the keys by which Beam groups the
sources, simulated: the shards of log-normal lengths of recordings (median 5 s, sigma 0.8), of which one speaker has
half and one lasts 5 hours.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np

from pipelines.data import domains, split_fractions, work_rows

LONGEST_S = 5 * 3600


def rows_of_workers(folder: str, count: int) -> None:
    """What workers leave of `count` recordings: eight files of rows, each sorted by id."""
    from models.features import stats
    from pipelines.beam import rows

    work = pathlib.Path(rows.work_folder(folder))
    work.mkdir(parents=True)
    fields = {"domain": "a", "length": 3.2, "gain": 1.0, "frames": 200, "active": [150], "channel": -1, "part": []}
    for number in range(rows.NUM_ROW_FILES):
        with open(work / f"sources-{number:05d}", "w") as file:
            for n in range(number, count, rows.NUM_ROW_FILES):
                split = "train" if n % 20 > 1 else ("val", "test")[n % 20]
                path = f"recordings/speaker{n // 100:05d}/{n:08d}.wav"
                row = {"id": f"a/{path}", "path": path, "split": split, "hash": f"{n:016x}", "notes": []}
                file.write(json.dumps(fields | row | {"shard": n % 97}) + "\n")
    shards = [
        {"domain": "a", "split": split, "shard": n, "shards": 97, "examples": 100, "bytes": 1 << 20}
        for split in ("train", "val", "test")
        for n in range(97)
    ]
    moments = stats.Moments.of(np.random.default_rng(0).normal(size=(1000, 80)).astype(np.float32), lags=stats.LAGS)
    statistics = [{"domain": "a", "split": "train", "of": "features", **moments.to_json("<f8")}]
    for name, found in (("shards", shards), ("statistics", statistics)):
        (work / f"{name}-00000").write_text("".join(f"{json.dumps(row)}\n" for row in found))


def finish(folder: str, count: int) -> None:
    from models.features.audio import AudioSpec
    from pipelines.beam import rows
    from pipelines.jobs import dataset_writer, preprocess_job

    rows_of_workers(folder, count)
    size = os.path.getsize(os.path.join(rows.work_folder(folder), "sources-00000"))
    print(
        f"one of {rows.NUM_ROW_FILES} files of rows: {count // rows.NUM_ROW_FILES:,} rows, {size / 1e6:.0f} MB",
        flush=True,
    )
    job = preprocess_job.PreprocessJob(
        "audio", AudioSpec(), (domains.Domain("a", "recordings/"),), folder, (0.05, 0.05), "file"
    )
    began = time.monotonic()
    numbers = dataset_writer.finish_dataset(job)
    _report(f"finish {numbers['sources']:,} sources", began)


def list_store(count: int) -> None:
    from apache_beam.io.filesystem import FileMetadata

    from tests import store

    names = (f"store://bucket/recordings/speaker{n // 100:05d}/{n:08d}.wav" for n in range(count))
    store.Store._list = lambda self, prefix: (FileMetadata(name, 50_000 + len(name), 0.0) for name in names)
    began = time.monotonic()
    (domain,) = domains.read_domains(["a=store://bucket/recordings/**.wav"])
    _report(f"list {len(domain.files):,} objects of a store", began)


def work(folder: str, count: int) -> None:
    from models.features.audio import AudioSpec
    from pipelines.beam import rows
    from pipelines.data import local_walk

    AudioSpec()  # loads the packages of the front end, as `preprocess` does
    list_store(count)
    names = (f"recordings/speaker{n * 7919 % count // 100:05d}/{n * 7919 % count:08d}.wav" for n in range(count))
    local_walk.walk_files = lambda *_: ((name, 50_000) for name in names)
    began = time.monotonic()
    (domain,) = domains.read_domains(["a=recordings/**.wav"])
    _report(f"list {len(domain.files):,} files", began)
    began = time.monotonic()
    asked = {"split_by": "file", "seed": 0}
    shares = split_fractions.adjust_fractions([domain], (0.05, 0.05), **asked)
    rows.write_work(folder, "listing", work_rows.work_rows([domain], "audio", shares, **asked))
    _report(f"split and hand out {count:,} files", began)


def plan(folder: str, count: int) -> None:
    from pipelines.beam import rows
    from pipelines.data.file_table import FileEntry
    from pipelines.jobs import translate_job
    from pipelines.jobs.translation_plan import TranslationPlan

    began = time.monotonic()
    files = (FileEntry(f"recordings/speaker{n // 100:05d}/{n:08d}.wav", 50_000 + n % 7919) for n in range(count))
    outputs = TranslationPlan(files, "recordings/", ".wav", folder)
    assert outputs.overwritten_input() is None
    rows.write_work(folder, "plan", translate_job.make_batches(outputs.rows_by_size()))
    _report(f"plan {len(outputs):,} translations", began)


def keys(folder: str, count: int) -> None:
    from models.features.audio import AudioSpec
    from pipelines.data import source_files, splits, tfrecord

    spec = AudioSpec()
    seconds = np.random.default_rng(0).lognormal(np.log(5), 0.8, count)
    seconds[0] = LONGEST_S
    frames = np.array([spec.frames(round(length * spec.sample_rate_hz)) for length in seconds])
    examples = -(-frames // tfrecord.SEGMENT_FRAMES)
    record = tfrecord.encode_example("audio", np.zeros((0, 80)), {"id": "a/" + "x" * 40, "domain": "a", "label": "s1"})
    sizes = frames * spec.n_mels * 2 + examples * len(tfrecord.frame_record(record))
    print("\n| split by | split | sources | shards | sources a shard | examples a shard | MB a shard |")
    print("|---|---|---|---|---|---|---|")
    for split_by in ("file", "speaker"):
        sources = []
        for n in range(count):
            speaker = "most" if n % 2 else f"s{n // 200:05d}"
            key = f"0:{speaker}" if split_by == "speaker" else source_files.split_key(f"{n}.wav", "", "file", 0)
            split = splits.split_of(key, val_fraction=0.05, test_fraction=0.05)
            fields = {"path": "", "hash": "", "length": 0.0, "gain": 1.0, "frames": 0, "active": ()}
            sources.append(source_files.Source(id=f"a/{speaker}/{n}.wav", domain="a", split=split, **fields))
        _print_shards(split_by, sources, examples, sizes, source_files.example_shape(spec, waveforms=False))


def _print_shards(split_by: str, sources: list, examples: np.ndarray, sizes: np.ndarray, shape: tuple) -> None:
    from pipelines.data import source_files

    totals = collections.Counter()
    for source, number in zip(sources, examples, strict=True):
        totals[source.domain, source.split] += int(number)
    keys = [source_files.assign_shard(source, totals, shape)[0] for source in sources]
    for split in ("train", "val", "test"):
        members = np.array([key[1] == split for key in keys])
        if not members.any():
            continue
        shards = np.array([key[2] for key, member in zip(keys, members, strict=True) if member])
        number = keys[int(np.argmax(members))][3]
        columns = [np.bincount(shards, weights, number) for weights in (None, examples[members], sizes[members] / 1e6)]
        texts = [f"{np.min(x):,.0f} / {np.median(x):,.0f} / {np.max(x):,.0f}" for x in columns]
        print("|", " | ".join([split_by, split, f"{members.sum():,}", str(number), *texts]), "|", flush=True)


def _report(what: str, began: float) -> None:
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:40} {time.monotonic() - began:6.1f} s   {megabytes:6.0f} MB resident at the peak", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=1_000_000)
    count = parser.parse_args().sources
    spawn = multiprocessing.get_context("spawn")
    for step in (work, finish, plan, keys):
        with tempfile.TemporaryDirectory(prefix="crossfade-scale-") as folder:
            process = spawn.Process(target=step, args=(os.path.join(folder, "records"), count))
            process.start()
            process.join()
            if process.exitcode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
