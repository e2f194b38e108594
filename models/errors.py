"""`UserError`: the exception for errors that the user can correct."""

from __future__ import annotations


class UserError(ValueError):
    """What was given cannot be used: a flag, a key, a file, a directory, a model.

    Its message is one sentence for the user: what was given, what is wanted, the nearest valid. Scripts print it as
    one line and exit with 2; every other exception but an `OSError` is a fault of the program, and ends with a
    traceback and exit code 1.
    """
