"""Heartbeats: files by which the workers of a job on a job service show the launcher that they are alive.

Beam's job service does not notice every loss of a worker, and then waits for it for ever. So each worker process that
works writes a file with a new name at a fixed interval, and the launcher cancels a job when it sees no new name for a
long time. Names are compared, not times of two hosts, and one listing shows the names of all workers.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import posixpath
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterator

from pipelines.beam import filesystem
from pipelines.progress import format_duration

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients warn of Python versions that they will not support
    logging.disable(logging.WARNING)
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineResult, PipelineState

    logging.disable(logging.NOTSET)
TIMEOUT_S = 600.0  # longer than the start of a container and than any transform that is not ours
MAX_INTERVAL_S = 30.0  # of the heartbeats of a worker, and of the launcher's listings
INTERVALS = 10  # minimum number of intervals in the timeout


class WorkerOptions(PipelineOptions):
    """Pipeline options about the workers of a job, beside Beam's own."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--worker_timeout_s",
            type=_seconds,
            default=TIMEOUT_S,
            help="Time without a heartbeat of any worker in seconds, after which a job on a job service is cancelled; "
            "0 for no limit.",
        )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; wanted seconds, 0 for no limit")
    return seconds


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    """Where the workers of a job write their heartbeats; Beam sends it to them.

    Attributes:
      prefix: beginning of the paths of the files, up to a part of the name.
      token_path: token file of the job; nothing is written when it is missing, see `rows.begin_job`.
      timeout_s: time without a heartbeat in seconds, after which the job is cancelled; 0 if there are no heartbeats.
    """

    prefix: str = ""
    token_path: str = ""
    timeout_s: float = 0.0

    @property
    def interval_s(self) -> float:
        """Time between two heartbeats of a worker in seconds."""
        return min(MAX_INTERVAL_S, self.timeout_s / INTERVALS)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Let this process write heartbeats while the block runs, at once and then at each interval."""
        if not self.timeout_s:
            yield
            return
        writer = _writer(self)
        writer.begin()
        try:
            yield
        finally:
            writer.end()

    def paths(self) -> set[str]:
        """Return the paths of the files of all workers; one listing."""
        if filesystem.is_remote(self.prefix):
            return {path for path, _ in filesystem.list_prefix(self.prefix)}
        return {path for path in filesystem.list_folder(posixpath.dirname(self.prefix)) if path.startswith(self.prefix)}


NO_HEARTBEAT = Heartbeat()  # of a job on this machine
_WRITERS: dict[Heartbeat, _Writer] = {}  # of this process
_WRITERS_LOCK = threading.Lock()


def _writer(heartbeat: Heartbeat) -> _Writer:
    with _WRITERS_LOCK:
        if heartbeat not in _WRITERS:
            _WRITERS[heartbeat] = _Writer(heartbeat)
            threading.Thread(target=_WRITERS[heartbeat].run, name="heartbeat", daemon=True).start()
        return _WRITERS[heartbeat]


class _Writer:
    """Writes the heartbeats of this process."""

    def __init__(self, heartbeat: Heartbeat):
        self._heartbeat, self._path = heartbeat, ""
        self._blocks, self._lock, self._due = 0, threading.Lock(), threading.Event()

    def begin(self) -> None:
        """Write heartbeats from now on; the first one even if :meth:`end` follows at once."""
        with self._lock:
            self._blocks += 1
            self._due.set()

    def end(self) -> None:
        """Write no more heartbeats for this call of :meth:`begin`."""
        with self._lock:
            self._blocks -= 1

    def run(self) -> None:
        """Write heartbeats until the process ends."""
        while True:
            self._due.wait()
            with self._lock:
                if not self._blocks:
                    self._due.clear()
            with contextlib.suppress(Exception):  # of file systems, of many types; the next one may be written
                self.write()
            time.sleep(self._heartbeat.interval_s)

    def write(self) -> None:
        """Replace the file of this process by one with a new name, if the job is current."""
        if not filesystem.exists(self._heartbeat.token_path):
            return
        path = f"{self._heartbeat.prefix}{secrets.token_hex(8)}"
        filesystem.write_text(path, "")
        earlier, self._path = self._path, path
        if earlier:
            filesystem.delete([earlier])
        if not filesystem.exists(self._heartbeat.token_path):  # the job ended in the meantime
            filesystem.delete([path])
            filesystem.delete_if_empty(posixpath.dirname(self._path))


class WorkersSilent(Exception):
    """No worker of a job has written a heartbeat for too long."""


class HeartbeatWatch:
    """Detects in the launcher that the workers of a job write no more heartbeats.

    Only the time between two listings counts: not the time for which the launcher was suspended or a listing took long,
    when workers may have been waiting for the same file system.

    Args:
      heartbeat: of the job.
      clock: returns the time in seconds.
    """

    def __init__(self, heartbeat: Heartbeat, clock: Callable[[], float] = time.monotonic):
        self._heartbeat, self._clock = heartbeat, clock
        self._result: PipelineResult | None = None
        self._listed_at = self._silent_s = 0.0
        self._paths: set[str] = set()

    def begin(self, result: PipelineResult) -> None:
        """Watch a job from now on, by the result of its submission."""
        self._listed_at = self._clock()
        self._result = result

    def failure(self) -> WorkersSilent | None:
        """Cancel the job and return an error, if it is running without a heartbeat for longer than the timeout."""
        heartbeat, now = self._heartbeat, self._clock()
        elapsed_s = now - self._listed_at
        if not heartbeat.timeout_s or self._result is None or elapsed_s < heartbeat.interval_s:
            return None
        self._listed_at = now
        try:
            paths, is_running = heartbeat.paths(), self._result.state == PipelineState.RUNNING
        except Exception:  # of file systems and job services, of many types: nothing is known about the workers
            return None
        if paths != self._paths or not is_running:
            self._paths, self._silent_s = paths, 0.0
            return None
        self._silent_s += min(elapsed_s, 2 * heartbeat.interval_s)
        if self._silent_s < heartbeat.timeout_s:
            return None
        with contextlib.suppress(Exception):  # the job is given up anyway
            self._result.cancel()
        limit = f"{format_duration(heartbeat.timeout_s)}, the limit of --worker_timeout_s"
        return WorkersSilent(f"its workers have not responded for {limit}, and it was cancelled")
