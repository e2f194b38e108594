"""Worker processes of a job on this machine: capture of their stderr, and detection of a process that died."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import grpc

LOST = "Channel closed prematurely"  # Beam's message when a worker process ends before its work is done
EXITED = "Worker subprocess exited"  # raised by Beam's thread that waits for the process
GRACE_S = 15.0  # after which a job that lost a worker and does not end is given up: some losses Beam does not notice


def is_lost(error: Exception) -> bool:
    """Whether a job failed because a worker process was killed or crashed."""
    return LOST in str(error)


class Watch:
    """Detects the end of worker processes, and suppresses tracebacks of the threads of Beam that fail because of it."""

    def __init__(self):
        self.lost_at: float | None = None
        self.print_exception = threading.excepthook

    def failure(self) -> RuntimeError | None:
        """Return an error if a worker process ended and the job did not within `GRACE_S` seconds."""
        lost = self.lost_at is not None and time.monotonic() - self.lost_at > GRACE_S
        return RuntimeError(LOST) if lost else None

    def on_thread_exception(self, raised) -> None:
        """Handle an uncaught exception of a thread, in place of `threading.excepthook`."""
        if EXITED in str(raised.exc_value):
            self.lost_at = time.monotonic()
        elif not isinstance(raised.exc_value, grpc.RpcError):
            self.print_exception(raised)


@contextlib.contextmanager
def captured_stderr(is_expected: Callable[[Exception], bool]) -> Iterator[Watch]:
    """Capture the stderr of worker processes; print it if the job fails with an internal error.

    They print Python version warnings when they start, and every traceback that is also raised here. This process still
    prints to the real stderr, except that threads of Beam are silent that fail with a worker process.

    Args:
      is_expected: whether an error is reported to the user in one line, without what the workers printed.
    """
    sys.stderr.flush()
    watch = Watch()
    threading.excepthook = watch.on_thread_exception
    with tempfile.TemporaryFile() as captured, os.fdopen(os.dup(2), "w", buffering=1) as real:
        previous, sys.stderr = sys.stderr, real
        os.dup2(captured.fileno(), 2)
        try:
            yield watch
        except Exception as error:
            if not is_expected(error):
                captured.seek(0)
                real.write(captured.read().decode(errors="replace"))
            raise
        finally:
            threading.excepthook = watch.print_exception
            real.flush()
            os.dup2(real.fileno(), 2)
            sys.stderr = previous
