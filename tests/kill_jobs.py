"""Kills `preprocess` and `translate` at random moments; the same command afterwards ends with the same bytes.

    python -m tests.kill_jobs [--kills=10] [--files=500] [--seed=0]

Recordings are synthesised, a model is trained for two steps, and both jobs run undisturbed once. Then each is started
into a folder of its own that also holds a user's files, killed with all its processes by SIGKILL, at a moment that is
drawn uniformly from the time of the undisturbed run, and started again. Exit code 1 where a byte differs, a temporary
file is left, or a user's file is gone or changed.
"""

import argparse
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

import numpy as np
import soundfile

RATE_HZ = 8000
ROOT = pathlib.Path(__file__).parents[1]
USERS = {"notes.txt": b"mine", "incomplete/film.part": b"mine", "x.part-1": b"mine"}  # beside the results


def write_recordings(folder: pathlib.Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for name, f0_hz in (("low", 110.0), ("high", 220.0)):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            t = np.arange(int(rng.uniform(0.3, 1.2) * RATE_HZ)) / RATE_HZ
            y = sum(np.sin(2 * np.pi * f0_hz * k * t + n) / k for k in range(1, 12)) * np.abs(np.sin(9 * t))
            soundfile.write(folder / name / f"{n:04}.wav", np.float32(0.1 * y), RATE_HZ)


def command(name: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", f"pipelines.{name}", *flags]


def contents(folder: pathlib.Path) -> dict[str, str]:
    """Relative paths and hashes of all files in a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def run(arguments: list[str]) -> float:
    """Runs a command to its end; the seconds it took."""
    began = time.monotonic()
    subprocess.run(arguments, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def kill(arguments: list[str], after_s: float) -> bool:
    """Starts a command and kills it and its children; whether it was still running."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(arguments, cwd=ROOT, start_new_session=True, **quiet)
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def write_users(folder: pathlib.Path) -> None:
    for name, data in USERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def disturbed(job: str, arguments, work: pathlib.Path, kills: int, rng: random.Random) -> int:
    """Kills a job again and again; the number of times that the rerun differs.

    Args:
      job: its name.
      arguments: function of the folder of results to the command.
      work: where results go.
      kills: how often.
      rng: draws the moments.
    """
    whole = work / f"{job}-whole"
    write_users(whole)
    seconds = run(arguments(whole))
    wanted, failures = contents(whole), 0
    for number in range(kills):
        out, running = work / f"{job}-{number}", False
        while not running:  # a run that had ended by then is no test
            shutil.rmtree(out, ignore_errors=True)
            write_users(out)
            after_s = rng.uniform(0, seconds)
            running = kill(arguments(out), after_s)
            seconds = seconds if running else after_s
        left = len(contents(out)) - len(USERS)
        run(arguments(out))
        found = contents(out)
        same = found == wanted
        failures += not same
        apart = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))[:3]
        state = f"killed after {after_s:5.1f} of {seconds:.1f} s" if running else "had ended"
        outcome = "same" if same else f"DIFFERS {apart}"
        print(
            f"{job} {number + 1}: {state}, {left} files left; rerun {outcome}",
            flush=True,
        )
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each job")
    parser.add_argument("--files", type=int, default=500, help="to translate; as many of each domain to preprocess")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="crossfade-kill-") as folder:
        work = pathlib.Path(folder)
        write_recordings(work / "in", asked.files)
        before = contents(work / "in")
        domains = [f"--domain={name}={work}/in/{name}" for name in ("low", "high")]
        failures = disturbed(
            "preprocess", lambda out: command("preprocess", *domains, f"--data_dir={out}"), work, asked.kills, rng
        )
        model = [f"--data_dir={work}/preprocess-whole", "--plugin=cyclegan", f"--run_dir={work}/run", "--steps=2"]
        run(command("train", *model))
        flags = [f"--run_dir={work}/run", f"--input={work}/in/low", "--target=high"]
        failures += disturbed(
            "translate", lambda out: command("translate", *flags, f"--output_dir={out}"), work, asked.kills, rng
        )
        failures += contents(work / "in") != before
    print(f"{2 * asked.kills} kills, {failures} failures")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
