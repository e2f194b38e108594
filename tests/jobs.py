"""What the benches share: the scripts, run as a user would, and what they took."""

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


def used_seconds() -> float:
    """Seconds of all cores that ended child processes took."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime
