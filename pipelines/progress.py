"""Progress of a long task: a line on stderr with the rate and an estimate of the remaining time."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

POLL_S, STALLED_S = 0.5, 600.0


class Progress:
    """A progress line on stderr: units done, units per second, remaining time.

    Args:
      task: name of the task.
      total: number of units; None if unknown.
      unit: name of the units.
      start: units done before, which do not count for the rate.
      interval_s: seconds between lines if stderr is not a terminal.
    """

    def __init__(self, task: str, total: int | None, unit: str, *, start: int = 0, interval_s: float = 15.0):
        self.task, self.total, self.unit, self.interval_s = task, total, unit, interval_s
        self.start, self.started_at, self.shown_at = start, time.monotonic(), 0.0
        self.done: int | None = start
        self.is_terminal = sys.stderr.isatty()

    def show(self, done: int | None, note: str = "") -> None:
        """Print that `done` units are done, or the elapsed time if None, unless the last line is too recent."""
        self.done = done
        now = time.monotonic()
        if now - self.shown_at >= (0.2 if self.is_terminal else self.interval_s):
            self.shown_at = now
            self._write(note, end="\r" if self.is_terminal else "\n")

    def warn_stalled(self) -> None:
        """Print that nothing was done for `STALLED_S` seconds, and what to do if that is an error."""
        print(
            f"warning: {self.task}: no {self.unit} done for {format_duration(STALLED_S)}. If workers were killed, the "
            "job may wait for them for ever: interrupt it, and the same command goes on from what is done",
            file=sys.stderr,
            flush=True,
        )

    def close(self, note: str = "") -> None:
        """Print the last line."""
        self._write(note, end="\n")

    def _write(self, note: str, end: str) -> None:
        line = f"{self.task}: {self._state()}{'  ' + note if note else ''}"
        print(line.ljust(100) if self.is_terminal else line, end=end, file=sys.stderr, flush=True)

    def _state(self) -> str:
        elapsed_s = time.monotonic() - self.started_at
        if self.done is None:
            return f"{format_duration(elapsed_s)} elapsed"
        rate = (self.done - self.start) / max(1e-9, elapsed_s)
        total = "" if self.total is None else f"/{self.total}"
        has_estimate = rate and self.total is not None
        remaining = f", {format_duration(max(0, self.total - self.done) / rate)} left" if has_estimate else ""
        return f"{self.done}{total} {self.unit}, {rate:.3g}/s{remaining}"


def format_duration(seconds: float) -> str:
    """Format seconds in minutes or hours.

    >>> format_duration(75), format_duration(7300)
    ('1 min 15 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def poll_progress(progress: Progress, count: Callable[[], int | None]) -> Iterator[None]:
    """Show what `count` returns, every `POLL_S` seconds while the block runs: units done, or None if that is unknown.

    A known number that stays the same for `STALLED_S` seconds gets a warning, each time: a job service may wait for
    ever for a worker that was killed.
    """
    finished = threading.Event()

    def poll() -> None:
        last, changed_at = progress.done, time.monotonic()
        while not finished.wait(POLL_S):
            progress.show(done := count())
            now = time.monotonic()
            if done is None or done != last:
                last, changed_at = done, now
            elif now - changed_at >= STALLED_S:
                changed_at = now
                progress.warn_stalled()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
    progress.show(count())
    progress.close()
