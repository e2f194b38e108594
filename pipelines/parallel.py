"""Work in threads: as many as the process may use cores, results in order, memory bounded."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T, R = TypeVar("T"), TypeVar("R")


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    executor: concurrent.futures.Executor, function: Callable[[T], R], values: Iterable[T], *, ahead: int | None = None
) -> Iterator[R]:
    """Yield the function's results in the order of the values, at most `ahead` of which are computed in advance.

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
