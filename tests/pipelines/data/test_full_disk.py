"""Errors that end a job, and errors of single files."""

import errno
import tempfile

import pytest

from models.errors import UserError
from pipelines.data import full_disk, source_files
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
