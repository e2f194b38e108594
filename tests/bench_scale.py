"""Time and memory of the launcher for a corpus of many files, with synthetic rows in place of what workers leave.

    python -m tests.bench_scale [--sources=1000000]

Prints a row for each step: listing rows written for the workers, and the finished directory.
"""

import argparse
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
    from pipelines.jobs import dataset_writer, preprocess_job

    rows_of_workers(folder, count)
    job = preprocess_job.PreprocessJob(
        "audio", AudioSpec(), (domains.Domain("a", "recordings/"),), folder, (0.05, 0.05), "file"
    )
    began = time.monotonic()
    numbers = dataset_writer.finish_dataset(job)
    _report(f"finish {numbers['sources']:,} sources", began)


def work(folder: str, count: int) -> None:
    from pipelines.beam import rows
    from pipelines.data import local_walk

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


def _report(what: str, began: float) -> None:
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:40} {time.monotonic() - began:6.1f} s   {megabytes:6.0f} MB resident at the peak", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=1_000_000)
    count = parser.parse_args().sources
    spawn = multiprocessing.get_context("spawn")
    for step in (work, finish):
        with tempfile.TemporaryDirectory(prefix="crossfade-scale-") as folder:
            process = spawn.Process(target=step, args=(os.path.join(folder, "records"), count))
            process.start()
            process.join()
            if process.exitcode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
