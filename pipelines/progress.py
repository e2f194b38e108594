"""Progress of long work, as a line on stderr with a rate and an estimate of the time left."""

from __future__ import annotations

import contextlib
import sys
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
        self.start, self.began, self.shown_at = start, time.monotonic(), 0.0
        self.done: int | None = start
        self.terminal = sys.stderr.isatty()

    def show(self, done: int | None, note: str = "") -> None:
        """Print that `done` units are done, unless a line was printed only just now; the elapsed time where None."""
        self.done = done
        now = time.monotonic()
        if now - self.shown_at >= (0.2 if self.terminal else self.every_s):
            self.shown_at = now
            self._write(note, end="\r" if self.terminal else "\n")

    def close(self, note: str = "") -> None:
        """The last line."""
        self._write(note, end="\n")

    def _write(self, note: str, end: str) -> None:
        line = f"{self.what}: {self._state()}{'  ' + note if note else ''}"
        print(line.ljust(100) if self.terminal else line, end=end, file=sys.stderr, flush=True)

    def _state(self) -> str:
        elapsed_s = time.monotonic() - self.began
        if self.done is None:
            return f"{duration(elapsed_s)} elapsed"
        rate = (self.done - self.start) / max(1e-9, elapsed_s)
        of = "" if self.total is None else f"/{self.total}"
        left = "" if not rate or self.total is None else f", {duration(max(0, self.total - self.done) / rate)} left"
        return f"{self.done}{of} {self.unit}, {rate:.3g}/s{left}"


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
def watched(progress: Progress, count: Callable[[], int | None]) -> Iterator[None]:
    """Show, while the block runs, what `count` returns: units done, or None as long as that is unknown."""
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
