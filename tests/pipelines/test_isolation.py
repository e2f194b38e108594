"""Functions in a child process that some items crash."""

import functools
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from models.errors import UserError
from pipelines import isolation

TIMEOUT_S = 60.0


class Handler:
    """Doubles numbers; other items end the process, or raise."""

    def __init__(self, folder=""):
        self.folder = folder

    def __call__(self, items):
        if "abort in company" in items and len(items) > 1:
            os.abort()
        if "hang in company" in items and len(items) > 1:
            time.sleep(TIMEOUT_S)
        return map(self._result, items)

    def _result(self, item):
        if item == "abort":
            os.abort()
        if item == "abort twice" and len(os.listdir(self.folder)) < 2:
            open(os.path.join(self.folder, str(len(os.listdir(self.folder)))), "w").close()
            os.abort()
        if item == "hang":
            open(os.path.join(self.folder, str(len(os.listdir(self.folder)))), "w").close()
            time.sleep(TIMEOUT_S)
        if item == "slow":
            time.sleep(0.6)
        if item == "user error":
            raise UserError("a full disk")
        if item == "lambda":
            raise KeyError(lambda: "cannot be pickled")
        return os.getpid() if item == "pid" else 2 * item


@pytest.fixture(scope="module")
def handle():
    return isolation.Isolated(Handler)


def test_an_item_that_crashes_the_process_fails_alone(handle):
    first, crash, last = handle([1, "abort", 3])
    assert (first, last) == (2, 6)
    assert isinstance(crash, isolation.Crash)
    assert str(crash) == "the worker process died while reading this file (signal 6)"


def test_items_that_do_not_crash_it_alone_do_not_fail(handle, tmp_path):
    assert handle([1, "abort in company"]) == [2, 2 * "abort in company"]
    assert isolation.Isolated(functools.partial(Handler, str(tmp_path)))(["abort twice"]) == [2 * "abort twice"]


def test_one_process_handles_all_calls_until_it_dies(handle):
    (pid,) = handle(["pid"])
    assert pid != os.getpid() and handle(["pid", "pid"]) == [pid, pid]
    handle(["abort"])
    assert handle(["pid"]) != [pid]


def test_errors_are_raised_and_the_process_goes_on(handle):
    (pid,) = handle(["pid"])
    with pytest.raises(UserError, match="a full disk"):
        handle([1, "user error"])
    with pytest.raises(RuntimeError, match="in _result(.|\n)*KeyError"):
        handle(["lambda"])
    assert handle(["pid"]) == [pid]


def test_an_item_that_hangs_is_killed_at_the_time_limit_and_fails_alone(tmp_path):
    handle = isolation.Isolated(functools.partial(Handler, str(tmp_path)), 1.0)
    before, hang, after = handle(["pid", "hang", 3])
    assert isinstance(hang, isolation.Crash) and after == 6
    assert str(hang) == (
        "no result within 1 s, the limit of --file_timeout_s: the worker process that read this file was killed"
    )
    assert not psutil.pid_exists(before), "the result before the hang counts, and its process was killed"
    assert len(os.listdir(tmp_path)) == 2, "once after another item, once alone"
    assert handle([1, "hang in company"]) == [2, 2 * "hang in company"]


def test_the_limit_is_that_of_one_item_and_zero_is_none():
    assert isolation.Isolated(Handler, 1.0)(4 * ["slow"]) == 4 * [2 * "slow"]
    assert isolation.Isolated(Handler, 0.0)(["slow"]) == [2 * "slow"]


class TooFew:
    def __call__(self, items):
        return items[1:]


def test_a_missing_result_is_an_error_and_no_hang():
    with pytest.raises(RuntimeError, match="StopIteration"):
        isolation.Isolated(TooFew)([1, 2])


def _crashing_factory():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_cannot_start_is_no_failure_of_a_file():
    with pytest.raises(UserError, match=r"died before it read any file \(signal 9\)"):
        isolation.Isolated(_crashing_factory)([1])


def test_without_isolation_the_function_is_called_here():
    assert list(isolation.start(Handler, isolated=False)(["pid"])) == [os.getpid()]
    assert list(isolation.start(Handler, isolated=True)(["pid"])) != [os.getpid()]


def test_a_process_ends_with_a_parent_that_is_killed():
    code = f"import {__name__} as t; print(*t.isolation.Isolated(t.Handler)(['pid']), flush=True); input()"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **paths}
    ) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(TIMEOUT_S)
