"""Linear algebra of the workers in one thread."""

from __future__ import annotations

import threadpoolctl


def use_one_thread() -> None:
    """Let the BLAS of this process use one thread from now on.

    With several, the rounding of log-mels and statistics depends on the number of cores, so that the same recordings
    would give other bytes on another machine. Workers and requests run in parallel anyway.
    """
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
