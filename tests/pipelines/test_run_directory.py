"""The run directory: its configuration, recorded versions and lock."""

import errno
import importlib.metadata
import os
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from pipelines import run_directory


def test_an_invalid_configuration_file_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not a run's configuration"):
        run_directory.read_run(str(tmp_path))


def test_versions_are_those_of_the_imported_packages(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: pytest.fail("tensorflow-cpu is TensorFlow too"))
    assert run_directory.versions()["tensorflow"] == tf.__version__


def test_a_second_process_on_a_run_is_refused(tmp_path):
    code = """if True:
        import fcntl, sys, time
        file = open(sys.argv[1], "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        print(123, file=file, flush=True)
        time.sleep(60)
    """
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / ".lock"])
    for _ in range(1000):
        if (tmp_path / ".lock").exists() and (tmp_path / ".lock").read_text():
            break
        time.sleep(0.01)
    with (
        pytest.raises(ValueError, match="is being trained by process 123; wait"),
        run_directory.lock_run(str(tmp_path)),
    ):
        pass
    other.kill()  # however it ends
    other.wait()
    with run_directory.lock_run(str(tmp_path)):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_file_system_without_locks_causes_only_a_warning(tmp_path, monkeypatch, capsys):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_directory.fcntl, "flock", flock)
    with run_directory.lock_run(str(tmp_path)):
        assert "no lock ([Errno 37] No locks available); do not train" in capsys.readouterr().err
