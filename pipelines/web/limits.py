"""Limits of what the page accepts. They are checked from headers, before a file is decoded as a whole."""

from __future__ import annotations

import dataclasses
from typing import BinaryIO

from models.errors import UserError
from models.features import containers, image_file, recording
from pipelines.archives.members import LimitError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one conversion.

    Attributes:
      max_megabytes: all files of a conversion together, as they are uploaded and unpacked; 1 MB is 10^6 bytes.
      max_seconds: duration of a recording.
      max_megapixels: size of a picture; 1 megapixel is 10^6 pixels.
      max_files: number of files of a batch.
    """

    max_megabytes: float = 200.0
    max_seconds: float = 600.0
    max_megapixels: float = 50.0
    max_files: int = 1000

    @property
    def max_bytes(self) -> int:
        """`max_megabytes` in bytes."""
        return int(self.max_megabytes * 1e6)

    def check_bytes(self, count: int, what: str) -> None:
        """Raise LimitError if `what` has too many bytes.

        >>> Limits().check_bytes(2_147_483_648, "its files")
        Traceback (most recent call last):
        pipelines.archives.members.LimitError: its files have 2147.5 MB; at most 200 MB are accepted (--max_megabytes)
        """
        if count > self.max_bytes:
            raise LimitError(
                f"{what} have {count / 1e6:.1f} MB; at most {self.max_megabytes:g} MB are accepted (--max_megabytes)"
            )

    def check_count(self, count: int, what: str) -> None:
        """Raise LimitError if `what` has too many files."""
        if count > self.max_files:
            raise LimitError(f"{what}: more than {self.max_files} files, the most that are accepted (--max_files)")

    def check_content(self, file: BinaryIO, kind: str) -> None:
        """Check the duration of a recording or the size of a picture.

        The header is checked first. A recording is then decoded until it is longer than the limit, because it can hold
        more than its header states. A picture is not decoded; its decoder allocates what the header states.

        Args:
          file: seekable.
          kind: "audio" or "image".

        Raises:
          UserError: the file is above a limit, or not readable as a file of this kind.
        """
        if kind == "image":
            self._check_pixels(file)
            return
        self.check_bytes(containers.stated_bytes(file), "its samples, by the header,")
        for seconds in recording.durations(file):
            if seconds > self.max_seconds:
                raise UserError(
                    f"the recording is {seconds:.1f} s long or longer; at most {self.max_seconds:g} s are accepted "
                    "(--max_seconds)"
                )

    def _check_pixels(self, file: BinaryIO) -> None:
        with image_file.open_image(file) as picture:
            megapixels = picture.width * picture.height / 1e6
        if megapixels > self.max_megapixels:
            raise UserError(
                f"the picture has {picture.width} x {picture.height} pixels, {megapixels:.1f} megapixels; "
                f"at most {self.max_megapixels:g} are accepted (--max_megapixels)"
            )
