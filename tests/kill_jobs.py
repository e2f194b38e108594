"""Disturbs `preprocess` and `translate` at random moments; the same command afterwards ends with the same bytes.

    python -m tests.kill_jobs [--kills=10] [--files=500] [--seed=0] [--two_hosts]

Recordings are synthesised, a model is trained for two steps, and both jobs run undisturbed once. Then each is started
into a folder of its own that also holds a user's files, and disturbed at a moment that is drawn uniformly from the time
of the undisturbed run: all processes of the job are killed by SIGKILL. With `--two_hosts` (as root), the job runs on a
job service of one host and a pool of workers on another (tests/two_hosts.py), and either the launcher or a process of
the pool is killed; in one more run of each job, the cable between the hosts is pulled for 20 seconds. Unless the job
ends well all the same, the same command is run again. Exit code 1 where a byte differs, a temporary file is left, or a
user's file is gone or changed. Files that were complete before the rerun and are written again are counted, and jobs
that neither go on nor end: without workers, a job ends after WORKER_TIMEOUT_S.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import soundfile

from tests import two_hosts

RATE_HZ = 8000
ROOT = pathlib.Path(__file__).parents[1]
USERS = {"notes.txt": b"mine", "incomplete/film.part": b"mine", "x.part-1": b"mine"}  # beside the results
CABLE_S = 20.0
STALLED = "stood still"
TIMEOUT_S = 600.0  # of one run
WORKER_TIMEOUT_S = 60.0  # after which a job without workers is to end by itself
STALL_S = 120.0  # after which a disturbed run that does not end is killed
QUIET = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where jobs run.

    Attributes:
      command: a script's name and flags to the command line of its launcher.
      kills: by name, functions that disturb the job of a launcher; one of them is drawn for each run.
      outages: the same, for one more run.
    """

    command: Callable[..., list[str]]
    kills: dict[str, Callable[[subprocess.Popen], None]]
    outages: dict[str, Callable[[subprocess.Popen], None]]


def write_recordings(folder: pathlib.Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for name, f0_hz in (("low", 110.0), ("high", 220.0)):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            t = np.arange(int(rng.uniform(0.3, 1.2) * RATE_HZ)) / RATE_HZ
            y = sum(np.sin(2 * np.pi * f0_hz * k * t + n) / k for k in range(1, 12)) * np.abs(np.sin(9 * t))
            soundfile.write(folder / name / f"{n:04}.wav", np.float32(0.1 * y), RATE_HZ)


def local_command(name: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", f"pipelines.{name}", *flags]


def contents(folder: pathlib.Path) -> dict[str, str]:
    """Relative paths and hashes of all files in a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def versions(out: pathlib.Path, features: pathlib.Path) -> dict[str, tuple]:
    """Paths of translations and features that are complete, with what changes when they are written again."""
    stores = features, out / ".crossfade-work" / "features"
    paths = [*out.glob("*.wav"), *(path for store in stores for path in store.glob("??/[0-9a-f]*"))]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def run(arguments: list[str]) -> float:
    """Runs a command to its end; the seconds it took."""
    began = time.monotonic()
    subprocess.run(arguments, check=True, timeout=TIMEOUT_S, **QUIET)
    return time.monotonic() - began


def kill_group(launcher: subprocess.Popen) -> None:
    os.killpg(launcher.pid, signal.SIGKILL)


def disturb(arguments: list[str], after_s: float, disturbance: Callable) -> tuple[int | None, str]:
    """Starts a command and disturbs it; its exit code, None if it had ended before, and the last that it printed."""
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(arguments, start_new_session=True, **{**QUIET, "stderr": printed})
        code = None
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            disturbance(process)
            try:
                code = process.wait(STALL_S)
            except subprocess.TimeoutExpired:
                kill_group(process)
                return process.wait(), STALLED
        printed.seek(0)
        return code, (printed.read().splitlines() or [""])[-1]


def write_users(folder: pathlib.Path) -> None:
    for name, data in USERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


class Trial:
    """Disturbs one job again and again.

    Args:
      job: its name.
      arguments: function of the folders of results and of features to the command.
      work: where results go.
      rng: draws the moments and disturbances.
    """

    def __init__(self, job: str, arguments: Callable, work: pathlib.Path, rng: random.Random):
        self.job, self.arguments, self.work, self.rng = job, arguments, work, rng
        self.whole = work / f"{job}-whole"
        write_users(self.whole)
        self.seconds = run(arguments(self.whole, None))
        self.expected = contents(self.whole)
        self.runs = self.failures = self.again = self.stalls = 0

    def disturb(self, disturbances: dict[str, Callable]) -> None:
        """Disturbs the job once, runs it again if it did not end well, and compares."""
        self.runs += 1
        out, features = (self.work / f"{self.job}-{kind}-{self.runs}" for kind in ("results", "features"))
        arguments = self.arguments(out, features if self.runs % 2 else None)  # None: they are temporary
        code = None
        while code is None:  # a run that had ended by then is no test
            for folder in (out, features):
                shutil.rmtree(folder, ignore_errors=True)
            write_users(out)
            name, after_s = self.rng.choice(list(disturbances)), self.rng.uniform(0, self.seconds)
            code, message = disturb(arguments, after_s, disturbances[name])
            self.seconds = self.seconds if code is not None else after_s
        self.stalls += message == STALLED
        before = versions(out, features)
        if code:
            run(arguments)
        after, results = versions(out, features), contents(out)
        again = sum(before[path] != after[path] for path in before if path in after)
        differences = sorted({*results.items()} ^ {*self.expected.items()})
        self.failures, self.again = self.failures + bool(differences), self.again + again
        there = f"{len(before)} files were there, {again} of them written again"
        rerun = f"exit code {code} ({message[:200]}), rerun: {there}" if code else "ended well"
        outcome = f"DIFFERS {differences[:3]}" if differences else "same"
        print(f"{self.job}: {name} after {after_s:.1f} of {self.seconds:.1f} s; {rerun}; {outcome}", flush=True)


@contextlib.contextmanager
def local_place() -> Iterator[Place]:
    """Launcher and workers in one session of this machine."""
    yield Place(local_command, {"all processes killed": kill_group}, {})


@contextlib.contextmanager
def far_place() -> Iterator[Place]:
    """A job service on one host and a pool of workers on another."""
    with two_hosts.two_hosts() as hosts, hosts.engine() as pool:

        def command(name: str, *flags: str) -> list[str]:
            beam = ["--shared_paths", "--", *two_hosts.BEAM, f"--worker_timeout_s={WORKER_TIMEOUT_S}"]
            return hosts.command(two_hosts.HEAD, *local_command(name, *flags, *beam))

        def kill_worker(launcher: subprocess.Popen) -> None:
            while launcher.poll() is None:
                workers = [p for p in psutil.Process(pool.pid).children(recursive=True) if p.status() != "zombie"]
                if workers:
                    random.choice(workers).kill()
                    return
                time.sleep(0.1)

        def pull_cable(launcher: subprocess.Popen) -> None:
            hosts.set_cable("down")
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(CABLE_S)
            hosts.set_cable("up")

        kills = {"launcher killed": kill_group, "worker killed": kill_worker}
        yield Place(command, kills, {"cable pulled": pull_cable})


def trials(place: Place, work: pathlib.Path, rng: random.Random) -> Iterator[Trial]:
    """Both jobs; the model of `translate` is trained between them."""
    domains = [f"--domain={name}={work}/in/{name}" for name in ("low", "high")]

    def preprocess(out: pathlib.Path, features: pathlib.Path | None) -> list[str]:
        cache = [f"--cache_dir={features}"] if features else []
        return place.command("preprocess", *domains, f"--data_dir={out}", *cache)

    yield (prepared := Trial("preprocess", preprocess, work, rng))
    model = [f"--data_dir={prepared.whole}", "--plugin=cyclegan", f"--run_dir={work}/run", "--steps=2"]
    run(local_command("train", *model))
    flags = [f"--run_dir={work}/run", f"--input={work}/in/low", "--target=high"]
    yield Trial("translate", lambda out, _: place.command("translate", *flags, f"--output_dir={out}"), work, rng)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each job")
    parser.add_argument("--files", type=int, default=500, help="to translate; as many of each domain to preprocess")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--two_hosts", action="store_true", help="launcher and workers on different hosts")
    options = parser.parse_args()
    rng, done = random.Random(options.seed), []
    with tempfile.TemporaryDirectory(prefix="crossfade-kill-", dir="/var/tmp") as folder:
        work = pathlib.Path(folder)
        write_recordings(work / "in", options.files)
        before = contents(work / "in")
        with (far_place if options.two_hosts else local_place)() as place:
            for trial in trials(place, work, rng):
                for disturbances in [place.kills] * options.kills + ([place.outages] if place.outages else []):
                    trial.disturb(disturbances)
                done.append(trial)
        failures = sum(trial.failures for trial in done) + (contents(work / "in") != before)
    runs, again, stalls = (sum(getattr(trial, name) for trial in done) for name in ("runs", "again", "stalls"))
    print(f"{runs} disturbed runs, {failures} failures, {again} files written again, {stalls} stood still")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
