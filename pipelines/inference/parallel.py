"""Work in threads: as many as the process may use cores, results in order, memory bounded.

TensorFlow's operations use one thread each, so that results do not depend on the number of cores. Files, and the chunks
of a long recording, are computed beside each other instead, which is faster than parallel operations.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import tensorflow as tf

T, R = TypeVar("T"), TypeVar("R")


def use_one_thread_per_operation() -> None:
    """Let every operation of TensorFlow use one thread, if TensorFlow has not started yet in this process."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    executor: concurrent.futures.Executor, function: Callable[[T], R], values: Iterable[T], *, ahead: int | None = None
) -> Iterator[R]:
    """Yield the function's results in the order of the values, of which at most `ahead` are computed before their turn.

    Args:
      executor: runs the function.
      function: of one value.
      values: read as they are needed.
      ahead: by default the number of cores.
    """
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    try:
        for value in values:
            waiting.append(executor.submit(function, value))
            if len(waiting) > (core_count() if ahead is None else ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
