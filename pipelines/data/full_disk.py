"""Which errors are no fault of a source file: that a job cannot write, such as on a full disk, so that it must end."""

from __future__ import annotations

import errno
import tempfile

from models.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)  # no space left, disk quota exceeded


class WriteError(UserError):
    """A job cannot write, which is no fault of the file that it reads: the job has to end."""


def raise_if_full(error: BaseException) -> None:
    """Raise the error if it is no fault of the file on whose way through a job it occurred.

    Args:
      error: that ends the work on a file; one without a file name is of a temporary file.

    Raises:
      WriteError: it is one, or a disk or quota is full.
    """
    if isinstance(error, WriteError):
        raise error
    if isinstance(error, OSError) and error.errno in FULL:
        raise WriteError(f"{error.filename or tempfile.gettempdir()}: {error.strerror}") from None
