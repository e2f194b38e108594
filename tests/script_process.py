"""Scripts in processes that are forked from one that has loaded their libraries, which takes seconds each time.

Nothing of this project is loaded there: a script parses its flags, configures TensorFlow and starts threads as in a
process of its own. Tests of what a script loads, or prints while it loads, start a process instead.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile

LIBRARIES = ["absl.app", "apache_beam", "keras", "librosa", "matplotlib.pyplot", "scipy.signal", "soundfile"]
LIBRARIES += ["apache_beam.io.filesystems", "apache_beam.runners.portability.fn_api_runner", "tensorflow"]
FORKS = multiprocessing.get_context("forkserver")


def run(name: str, arguments: list[str], cwd: str, environment: dict[str, str], timeout_s: float):
    """Run `pipelines.NAME` as its own main module; return what `subprocess.run` would.

    With another `PYTHONPATH` than here it runs in a new process, because Python reads that when it starts.
    """
    if environment.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
        command = [sys.executable, "-m", f"pipelines.{name}", *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, timeout=timeout_s, capture_output=True, text=True)
    FORKS.set_forkserver_preload(LIBRARIES)
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        process = FORKS.Process(target=_main, args=(name, arguments, cwd, environment, out.name, err.name))
        process.start()
        process.join(timeout_s)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired([name, *arguments], timeout_s)
        texts = (file.read().decode() for file in (out, err))
        return subprocess.CompletedProcess([name, *arguments], process.exitcode, *texts)


def _main(name: str, arguments: list[str], cwd: str, environment: dict[str, str], out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    sys.argv = [name, *arguments]
    multiprocessing.current_process().name = "MainProcess"
    try:
        runpy.run_module(f"pipelines.{name}", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
