"""Work in a child process, so that an item that crashes or hangs the process fails without the other items.

A decoder that crashes (a segmentation fault) or the kernel's out-of-memory killer ends a whole process. Here that is a
child process, which is started again, and the items of which it has returned no result are handled again one by one: an
item fails only if it was the only one in the process each time that it died. A child that returns no result within a
time limit is killed, as if it had crashed.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from models.errors import UserError

T, R = TypeVar("T"), TypeVar("R")
TRIES_ALONE = 2  # deaths of the process while an item was alone in it, after which the item fails
JOIN_S = 10.0  # timeout for the end of a process that was killed or whose connection is closed
TIMEOUT_S = 3600.0  # default time limit for a file, long enough to translate a recording of several hours
MAX_TIMEOUT_S = 1e6  # which the system call that waits for a result accepts
TIMEOUT_FLAG = (  # arguments of `absl.flags.DEFINE_float` in the scripts of jobs
    "file_timeout_s",
    TIMEOUT_S,
    "Longest time for a file in seconds, after which it is a failure; 0 for no limit. It applies where files are read "
    "in child processes: after a worker process died, and in a job that takes up an unfinished one.",
    0.0,
    MAX_TIMEOUT_S,
)


class Crash(UserError):
    """The process died, or was killed at the time limit, whenever it handled an item."""


class _Death(Exception):
    """The child process ended before it replied; the message says how."""


class _Hang(_Death):
    """The child process did not reply within the time limit, and was killed."""


class Isolated(Generic[T, R]):
    """A function that is called in a child process, which starts at the first call and again after a crash.

    Calls from several threads are made one after the other.

    Args:
      factory: called in the child without arguments; returns a function from a list of items to their results, in the
        same order, each returned as soon as it is known. The factory, items and results are pickled.
      timeout_s: longest time in seconds without a new result, after which the child is killed; 0 for no limit.
    """

    def __init__(self, factory: Callable[[], Callable[[list[T]], Iterable[R]]], timeout_s: float = 0.0):
        self._factory, self._timeout_s, self._lock = factory, timeout_s, threading.Lock()
        self._process: Any = None
        self._connection: Any = None

    def __call__(self, items: list[T]) -> list[R | Crash]:
        """Return for each item its result, or a `Crash` if the item ends the process or exceeds the time limit.

        Raises:
          UserError: the function raised it, or the process ends before it handles any item.
          RuntimeError: the function raised another error, whose traceback is the message.
        """
        with self._lock:
            results: list[R | Crash] = []
            try:
                for result in self._results(items):
                    results.append(result)
            except _Death:
                results += [self._result_alone(item) for item in items[len(results) :]]
            return results

    def _result_alone(self, item: T) -> R | Crash:
        reason = ""
        for _ in range(TRIES_ALONE):
            try:
                (result,) = self._results([item])
                return result
            except _Hang as hang:  # a second try would take as long
                return Crash(str(hang))
            except _Death as death:
                reason = str(death)
        return Crash(f"the worker process died while reading this file ({reason})")

    def _results(self, items: list[T]) -> Iterator[R]:
        """Yield the result of each item as it arrives."""
        if self._process is None:
            self._start()
        self._send(items)
        for _ in items:
            yield self._receive(self._timeout_s)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end,), daemon=True)
        self._process.start()
        other_end.close()
        try:
            self._send(self._factory)
            self._receive()
        except _Death as death:
            raise UserError(f"a worker process died before it read any file ({death}), perhaps out of memory") from None

    def _send(self, request) -> None:
        try:
            self._connection.send(request)
        except OSError:
            raise self._death() from None

    def _receive(self, timeout_s: float = 0.0) -> Any:
        """Return the next result.

        Raises:
          _Death: the process ended, or there is no result within `timeout_s` seconds; 0 for no limit.
        """
        try:
            if not self._connection.poll(timeout_s or None):
                self._process.kill()
                self._death()
                limit = f"no result within {timeout_s:g} s, the limit of --file_timeout_s"
                raise _Hang(f"{limit}: the worker process that read this file was killed")
            result, error = self._connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if error:
            raise error
        return result

    def _death(self) -> _Death:
        """Forget the process, which has closed its end of the connection; return how it ended."""
        process, self._process = self._process, None
        self._connection.close()
        process.join(JOIN_S)
        code = process.exitcode
        return _Death(f"signal {-code}" if code is not None and code < 0 else f"exit code {code}")


def _serve(connection) -> None:
    """Receive the factory and then lists of items; reply with `(result, None)` for each item, or `(None, error)`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the user is the parent's
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    functions = []
    with warnings.catch_warnings():  # of imports, as in the parent
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        connection.send(_outcome(lambda: functions.append(connection.recv()())))
        logging.disable(logging.NOTSET)
    with contextlib.suppress(EOFError):  # the parent needs this process no longer
        while True:
            _send_results(connection, functions[0], connection.recv())


def _send_results(connection, function: Callable, items: list) -> None:
    """Send the result of each item as soon as it is known, up to the first error."""

    def send() -> None:
        results = iter(function(items))
        for _ in items:
            connection.send((next(results), None))

    _, error = _outcome(send)
    if error:
        connection.send((None, error))


def _exit_with_parent() -> None:
    """End this process when its parent ends, even if it was killed."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _outcome(function: Callable, *arguments) -> tuple[Any, Exception | None]:
    try:
        return function(*arguments), None
    except UserError as error:
        return None, UserError(str(error))
    except Exception as error:  # not every exception can be pickled
        return None, RuntimeError("".join(traceback.format_exception(error)))


def start(factory: Callable[..., Callable[[list[T]], Iterable[R]]], *arguments, isolated: bool, timeout_s: float = 0.0):
    """Return the function that `factory` returns, or one that calls it in a child process.

    Args:
      factory: as of :class:`Isolated`, except that it takes `arguments`.
      arguments: of the factory.
      isolated: whether the function is called in a child process.
      timeout_s: as of :class:`Isolated`; without effect in this process.
    """
    return Isolated(functools.partial(factory, *arguments), timeout_s) if isolated else factory(*arguments)
