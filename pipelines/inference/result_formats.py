"""Formats of results, and the provenance that is stored in each of them.

Every result states its input, model and options, in a text field of its format: the comment of a WAV,
FLAC or Ogg file (INFO chunk or Vorbis comment), the text chunk `Comment` of a PNG file, the comment of a JPEG file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import soundfile

from models.errors import UserError
from models.features import ogg

SOUND_FORMATS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS")}  # of libsndfile
IMAGE_FORMATS = {"png": "PNG", "jpg": "JPEG"}  # of Pillow
PROVENANCE_KEYS = {"crossfade", "hash", "model", "options"}  # of every result; other programs write JSON comments, too
JPEG_QUALITY = 95
OGG_SERIAL = 1  # libsndfile draws a random number, so that two files of the same samples would differ


def choose(kind: str, name: str) -> str:
    """Return the format of results.

    Args:
      kind: "audio" or "image".
      name: value of `--format`; empty for WAV or PNG.

    Raises:
      UserError: it is no format of this kind.
    """
    formats = SOUND_FORMATS if kind == "audio" else IMAGE_FORMATS
    if name and name not in formats:
        raise UserError(f"--format={name}: the run was trained on {kind}; wanted one of {', '.join(formats)}")
    return name or next(iter(formats))


def write_sound(
    out: BinaryIO, name: str, parts: Iterable[np.ndarray], shape: tuple[int, int], sample_rate_hz: int, provenance: dict
) -> None:
    """Write a recording.

    Args:
      out: seekable binary file.
      name: format, of `SOUND_FORMATS`.
      parts: arrays `[samples, channels]` in [-1, 1].
      shape: number of samples and of channels.
      sample_rate_hz: sample rate in Hz.
      provenance: see :func:`read_provenance`.

    Raises:
      UserError: the format does not have this rate or this number of channels.
      OSError: the file cannot be written, as on a full disk.
    """
    (container, subtype), (samples, channels) = SOUND_FORMATS[name], shape
    with _write_errors(out) as target:
        try:
            file = soundfile.SoundFile(target, "w", sample_rate_hz, channels, subtype, format=container)
        except soundfile.LibsndfileError as error:
            raise UserError(f"not writable as {name}: {channels} channels at {sample_rate_hz} Hz ({error})") from None
        with file:
            file.comment = _encode({**provenance, "samples": samples})
            for part in parts:
                file.write(part)
    if container == "OGG":
        ogg.set_serial_number(out, OGG_SERIAL)


class _Target:
    """A file that libsndfile writes: its callbacks cannot pass on an exception, so that the first one is stored."""

    def __init__(self, file: BinaryIO):
        self._file, self.error = file, None

    def write(self, content: bytes) -> int:
        return self._call(self._file.write, content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._call(self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._call(self._file.tell)

    def _call(self, function: Callable, *arguments) -> int:
        try:
            return function(*arguments)
        except OSError as error:
            self.error = self.error or error
            return 0


@contextlib.contextmanager
def _write_errors(file: BinaryIO) -> Iterator[_Target]:
    """Yield a file for libsndfile; an error of writing to it is raised instead of the error of libsndfile."""
    target = _Target(file)
    try:
        yield target
    finally:
        if target.error:
            raise target.error from None


def write_image(out: BinaryIO, name: str, pixels: np.ndarray, provenance: dict) -> None:
    """Write uint8 pixels `[height, width, channels]` in a format of `IMAGE_FORMATS`."""
    picture = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    comment = _encode(provenance)
    if name == "png":
        text = PIL.PngImagePlugin.PngInfo()
        text.add_text("Comment", comment)
        picture.save(out, format="PNG", pnginfo=text)
    else:
        picture.save(out, format=IMAGE_FORMATS[name], quality=JPEG_QUALITY, subsampling=0, comment=comment.encode())


def read_provenance(file: BinaryIO, kind: str) -> dict:
    """Return the provenance that a result states; empty if it states none, is no result, or is cut short.

    Args:
      file: seekable binary file.
      kind: "audio" or "image".
    """
    file.seek(0)
    with contextlib.suppress(Exception):  # decoders raise errors of many types
        if kind == "audio":
            with soundfile.SoundFile(file) as opened:
                provenance = json.loads(opened.comment)
                opened.seek(opened.frames - 1)
                whole = len(opened.read(1)) and opened.frames == provenance["samples"]
        else:
            with PIL.Image.open(file) as picture:
                provenance = json.loads(picture.info.get("Comment") or picture.info["comment"])
                whole = picture.load()  # fails if it is not
        return provenance if whole and isinstance(provenance, dict) else {}
    return {}


def is_result(file: BinaryIO, kind: str) -> bool:
    """Whether a file states the provenance of a result; arguments as of :func:`read_provenance`."""
    return PROVENANCE_KEYS <= read_provenance(file, kind).keys()


def _encode(provenance: dict) -> str:
    return json.dumps(provenance, sort_keys=True, separators=(",", ":"))
