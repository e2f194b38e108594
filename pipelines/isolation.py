"""Work in a child process, so that an item that crashes the process fails without the other items.

A decoder that crashes (a segmentation fault) or the kernel's out-of-memory killer ends a whole process. Here that is a
child process, which is started again, and the items that it had are handled again one by one: an item fails only if it
was the only one in the process each time that it died.
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
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from models.errors import UserError

T, R = TypeVar("T"), TypeVar("R")
TRIES_ALONE = 2  # deaths of the process while an item was alone in it, after which the item fails
JOIN_S = 10.0  # timeout for the end of a process whose connection is closed


class Crash(UserError):
    """The process died whenever it handled an item."""


class _Death(Exception):
    """The child process ended before it replied; the message says how."""


class Isolated(Generic[T, R]):
    """A function that is called in a child process, which starts at the first call and again after a crash.

    Calls from several threads are made one after the other.

    Args:
      factory: called in the child without arguments; returns a function from a list of items to their results. The
        factory, items and results are pickled.
    """

    def __init__(self, factory: Callable[[], Callable[[list[T]], Iterable[R]]]):
        self._factory, self._lock = factory, threading.Lock()
        self._process: Any = None
        self._connection: Any = None

    def __call__(self, items: list[T]) -> list[R | Crash]:
        """Return for each item its result, or a `Crash` if the item ends the process.

        Raises:
          UserError: the function raised it, or the process ends before it handles any item.
          RuntimeError: the function raised another error, whose traceback is the message.
        """
        with self._lock:
            try:
                return self._results(items)
            except _Death:
                return [self._result_alone(item) for item in items]

    def _result_alone(self, item: T) -> R | Crash:
        reason = ""
        for _ in range(TRIES_ALONE):
            try:
                return self._results([item])[0]
            except _Death as death:
                reason = str(death)
        return Crash(f"the worker process died while reading this file ({reason})")

    def _results(self, items: list[T]) -> list[R]:
        if self._process is None:
            self._start()
        return self._reply(items)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end,), daemon=True)
        self._process.start()
        other_end.close()
        try:
            self._reply(self._factory)
        except _Death as death:
            raise UserError(f"a worker process died before it read any file ({death}), perhaps out of memory") from None

    def _reply(self, request) -> Any:
        try:
            self._connection.send(request)
            results, error = self._connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if error:
            raise error
        return results

    def _death(self) -> _Death:
        """Forget the process, which has closed its end of the connection; return how it ended."""
        process, self._process = self._process, None
        self._connection.close()
        process.join(JOIN_S)
        code = process.exitcode
        return _Death(f"signal {-code}" if code is not None and code < 0 else f"exit code {code}")


def _serve(connection) -> None:
    """Receive the factory and then lists of items; reply to each with `(results, None)` or `(None, error)`."""
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
            connection.send(_outcome(lambda batch: list(functions[0](batch)), connection.recv()))


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


def start(factory: Callable[..., Callable[[list[T]], Iterable[R]]], *arguments, isolated: bool):
    """Return the function that `factory` returns, or one that calls it in a child process.

    Args:
      factory: as of :class:`Isolated`, except that it takes `arguments`.
      arguments: of the factory.
      isolated: whether the function is called in a child process.
    """
    return Isolated(functools.partial(factory, *arguments)) if isolated else factory(*arguments)
