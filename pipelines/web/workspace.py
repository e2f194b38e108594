"""Temporary files of the server: uploads, conversions in progress, and results that the page has not fetched yet.

All of them are below one folder, which is deleted when the server ends. An upload is deleted with the conversion that
uses it, a result when the page has fetched it. What is never used or fetched is deleted after `MAX_AGE_S`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator

from models.errors import UserError

MAX_AGE_S = 900.0  # of files that are not used
SWEEP_INTERVAL_S = 60.0
DELETION_ATTEMPTS = 100
RESULTS_PATH = "results"  # first part of the addresses of results


class Workspace:
    """The folder of temporary files; a context manager that deletes it at its end.

    Attributes:
      root: the folder.
      uploads: folder of uploads.
    """

    def __init__(self):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="crossfade-listen-"))
        names = ("uploads", "conversions", "results", "sent")
        folders = [os.path.join(self.root, name) for name in names]
        self.uploads, self.conversions, self.results, self.sent = folders
        for folder in folders:
            os.mkdir(folder)
        self.closed = threading.Event()

    def __enter__(self) -> Workspace:
        threading.Thread(target=self._sweep_regularly, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.closed.set()
        for _ in range(DELETION_ATTEMPTS):  # a conversion that is still running writes files meanwhile
            shutil.rmtree(self.root, ignore_errors=True)
            if not os.path.exists(self.root):
                return

    @contextlib.contextmanager
    def conversion(self) -> Iterator[str]:
        """Create a folder for a conversion, which is deleted at the end of the block."""
        with tempfile.TemporaryDirectory(dir=self.conversions, ignore_cleanup_errors=True) as folder:
            yield folder

    def take_upload(self, path: str, destination: str) -> None:
        """Move an upload out of the folder of uploads.

        Args:
          path: the upload, as the page names it.
          destination: path of the file that it becomes.

        Raises:
          UserError: there is no such upload.
        """
        resolved = os.path.realpath(path)
        if os.path.commonpath([resolved, self.uploads]) != self.uploads or not os.path.isfile(resolved):
            raise UserError("the upload is no longer on the server; choose the file again")
        os.rename(resolved, destination)
        with contextlib.suppress(OSError):  # the folder of the upload holds other files
            os.rmdir(os.path.dirname(resolved))

    def publish(self, path: str, name: str) -> str:
        """Move a result to where the page can fetch it once; return its address relative to the page.

        Args:
          path: the result.
          name: file name under which a browser saves it.
        """
        token = secrets.token_urlsafe(24)
        os.rename(path, os.path.join(self.results, token))
        return f"{RESULTS_PATH}/{token}/{urllib.parse.quote(name)}"

    def take_result(self, token: str) -> str | None:
        """Return the path of a published result, once, for the caller to send and delete it; afterwards None."""
        path = os.path.join(self.sent, token)
        try:
            if token not in os.listdir(self.results):
                return None
            os.rename(os.path.join(self.results, token), path)
        except FileNotFoundError:  # taken by another request
            return None
        return path

    def sweep(self, max_age_s: float = MAX_AGE_S) -> None:
        """Delete uploads and results that are older than `max_age_s` seconds, and folders that are empty by then."""
        oldest = time.time() - max_age_s
        for top in (self.uploads, self.results, self.sent):
            for folder, _, names in os.walk(top, topdown=False):
                for path in (os.path.join(folder, name) for name in names):
                    with contextlib.suppress(OSError):
                        if os.stat(path).st_mtime < oldest:
                            os.unlink(path)
                with contextlib.suppress(OSError):  # it is not empty
                    if folder != top and os.stat(folder).st_mtime < oldest:
                        os.rmdir(folder)

    def _sweep_regularly(self) -> None:
        while not self.closed.wait(SWEEP_INTERVAL_S):
            self.sweep()
