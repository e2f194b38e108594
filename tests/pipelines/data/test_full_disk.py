"""Errors that end a job, and errors of single files."""

import errno
import tempfile

import numpy as np
import pytest
import soundfile

from models.errors import UserError
from pipelines.beam import filesystem, runner
from pipelines.data import domains, front_end, full_disk, source_files
from pipelines.data.full_disk import WriteError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_failure_of_a_file(number):
    with pytest.raises(WriteError, match=f"{tempfile.gettempdir()}: full"):
        source_files.failure_row("a", "a.wav", OSError(number, "full"))
    with pytest.raises(WriteError, match="^out/a.wav: full$"):
        source_files.failure_row("a", "a.wav", OSError(number, "full", "out/a.wav"))
    with pytest.raises(WriteError, match="^features$"):
        source_files.failure_row("a", "a.wav", WriteError("features"))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "broken", "a.wav"), OSError("no number"), UserError("cut short"), ValueError()]
)
def test_other_errors_are_of_the_file(error):
    full_disk.raise_if_full(error)
    assert source_files.failure_row("a", "a.wav", error)["path"] == "a.wav"


@pytest.mark.parametrize("name", ["UserError", "WriteError"])
def test_a_job_ends_with_one_line_also_if_a_worker_process_ended_with_the_error(name):
    """Beam raises the text of its traceback."""
    text = f"RuntimeError: Traceback (most recent call last):\n  ...\nmodule.{name}: /tmp: full [while running 'S/P']\n"
    assert runner.USER_ERROR.findall(text) == ["/tmp: full"]


def test_a_full_disk_is_not_a_fault_of_the_files_whose_rate_is_inferred(monkeypatch, tmp_path):
    soundfile.write(tmp_path / "1.wav", np.zeros(800), 8000)
    domain = domains.read_domains([f"a={tmp_path}"])[0]

    def open_file(path):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(filesystem, "open_file", open_file)
    with pytest.raises(WriteError, match="full"):
        front_end.infer_spec("audio", [domain], [])
