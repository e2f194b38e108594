"""Progress of long work, as a line on stderr with a rate and an estimate of the time left."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator


class Progress:
    """A line on stderr: how much is done, how fast, how long it will take.

    Args:
      what: what is being done.
      total: units in all; None where not known.
      unit: what is counted.
      start: units done before, which do not count for the rate.
      every_s: seconds between lines where stderr is no terminal.
    """

    def __init__(self, what: str, total: int | None, unit: str, *, start: int = 0, every_s: float = 15.0):
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.start, self.done, self.began, self.shown_at = start, start, time.monotonic(), 0.0
        self.terminal = sys.stderr.isatty()

    def show(self, done: int, note: str = "") -> None:
        """Says that `done` units are done, unless it spoke only just now."""
        self.done = done
        now = time.monotonic()
        if now - self.shown_at >= (0.2 if self.terminal else self.every_s):
            self.shown_at = now
            self._write(note, end="\r" if self.terminal else "\n")

    def close(self, note: str = "") -> None:
        """The last line."""
        self._write(note, end="\n")

    def _write(self, note: str, end: str) -> None:
        rate = (self.done - self.start) / max(1e-9, time.monotonic() - self.began)
        of = "" if self.total is None else f"/{self.total}"
        left = "" if not rate or self.total is None else f", {duration(max(0, self.total - self.done) / rate)} left"
        line = f"{self.what}: {self.done}{of} {self.unit}, {rate:.3g}/s{left}{'  ' + note if note else ''}"
        print(line.ljust(100) if self.terminal else line, end=end, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(75), duration(7300)
    ('1 min 15 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def watched(progress: Progress, count: Callable[[], int]) -> Iterator[None]:
    """Shows, while the block runs, what `count` returns."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            progress.show(count())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    progress.show(count())
    progress.close()


class Tally:
    """Counts what local workers have done, through files to which they add a byte each time."""

    def __init__(self, folder: str):
        self.folder = folder

    @staticmethod
    def add(folder: str) -> None:
        """One more, from any process of this machine; nothing where there is no such folder, or no room in it."""
        if folder and os.path.isdir(folder):
            with contextlib.suppress(OSError), open(os.path.join(folder, str(os.getpid())), "ab") as file:
                file.write(b".")  # a progress line is no reason to end a job

    def count(self) -> int:
        """How many so far."""
        return sum(entry.stat().st_size for entry in os.scandir(self.folder)) if self.folder else 0


@contextlib.contextmanager
def tally(local: bool) -> Iterator[Tally]:
    """A tally for a job that runs on this machine; one that counts nothing for others."""
    if not local:
        yield Tally("")
        return
    with tempfile.TemporaryDirectory(prefix="crossfade-tally-") as folder:
        yield Tally(folder)
