"""What the benches share: the scripts, run as a user would, and what they took."""

import itertools
import pathlib
import resource
import subprocess
import sys
import time


def script(name: str, *arguments: str) -> tuple[float, float]:
    """Runs one of the scripts; its seconds, and those of all cores it used.

    Raises:
      subprocess.CalledProcessError: it failed; what it said is on the error stream.
    """
    began, used = time.monotonic(), used_seconds()
    subprocess.run([sys.executable, "-m", f"pipelines.{name}", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began, used_seconds() - used


def all_pairs(folder: pathlib.Path, chosen: list[str] | None) -> list[tuple[str, ...]]:
    """The pairs of `--pair=A,B` flags; without any, all pairs of the names of subfolders."""
    if chosen:
        return [tuple(pair.split(",")) for pair in chosen]
    return list(itertools.combinations(sorted(path.name for path in folder.iterdir()), 2))


def used_seconds() -> float:
    """Seconds of all cores that ended child processes took."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime
