"""The format of files of features: those of one source, or of several, one after the other.

The features of a source are a JSON line with the parts of the source and the shapes of their segments, then the bytes
of the segments as records store them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import posixpath
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.errors import UserError
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines.beam import filesystem
from pipelines.data import full_disk, tfrecord

MAX_IN_MEMORY_BYTES = 8 << 20  # of the features of a source; more is kept on disk
OFFSET_SEPARATOR = "@"

Segment = tuple[np.ndarray, np.ndarray | None]  # features, and samples of speech if they are stored


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A source, or one part of a recording that is divided among the splits.

    Attributes:
      facts: entries for the manifest, see `source_files.Source`; also `name`, what is appended to the id of the file.
      segments: features `[frames, mels]` or `[height, width, channels]` in the type of the records, each with samples
        `[frames * hop_length]` or None.
    """

    facts: dict
    segments: Iterable[Segment]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Types and sizes of segments.

    Attributes:
      spec: the front end.
      waveforms: whether samples of speech are stored, too.
    """

    spec: AudioSpec | ImageSpec
    waveforms: bool

    @property
    def dtype(self) -> np.dtype:
        """Type of features and samples."""
        return np.dtype(tfrecord.DTYPE["audio" if isinstance(self.spec, AudioSpec) else "image"])

    def samples(self, shape: list[int]) -> int:
        """Return the number of samples that are stored with features of this shape."""
        return shape[0] * self.spec.hop_length if self.waveforms else 0

    def size_bytes(self, shape: list[int]) -> int:
        """Return the size of a segment with features of this shape."""
        return self.dtype.itemsize * (math.prod(shape) + self.samples(shape))

    def segment(self, content: bytes, shape: list[int]) -> Segment:
        """Return a segment from its bytes."""
        values, size = np.frombuffer(content, self.dtype), math.prod(shape)
        return values[:size].reshape(shape), values[size:] if self.waveforms else None


class Features:
    """Features of a source in memory, or in a temporary file if there are many. Use as a context manager.

    Args:
      parts: their segments are read at once.
      layout: types and sizes of the segments.

    Raises:
      WriteError: there is no space for temporary files.
    """

    def __init__(self, parts: Iterable[Part], layout: Layout):
        self._layout, self._file = layout, tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES)
        try:
            self._headers = [_write_part(self._file, part) for part in parts]
        except BaseException as error:
            self._file.close()
            full_disk.raise_if_full(error)
            raise

    def __enter__(self) -> Features:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def parts(self) -> list[Part]:
        """Return the parts; their segments are read one after the other."""
        return _parts(self._file, self._headers, 0, self._layout, "temporary file")

    def copy_to(self, file: BinaryIO) -> int:
        """Append the features to a file; return the number of bytes."""
        line = f"{json.dumps(self._headers)}\n".encode()
        file.write(line)
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, MAX_IN_MEMORY_BYTES)
        return len(line) + self._file.tell()


def _write_part(body: BinaryIO, part: Part) -> dict:
    """Write the segments of a part; return its entry of the JSON line."""
    shapes = []
    for array, samples in part.segments:
        body.write(array.tobytes())
        if samples is not None:
            body.write(samples.tobytes())
        shapes.append(array.shape)
    return {"facts": part.facts, "shapes": shapes}


def _parts(file: BinaryIO, headers: list[dict], offset: int, layout: Layout, path: str) -> list[Part]:
    parts = []
    for header in headers:
        parts.append(Part(header["facts"], _read_segments(file, offset, header["shapes"], layout, path)))
        offset += sum(map(layout.size_bytes, header["shapes"]))
    return parts


def _read_segments(
    file: BinaryIO, offset: int, shapes: list[list[int]], layout: Layout, path: str
) -> Iterator[Segment]:
    for shape in shapes:
        file.seek(offset)
        content = file.read(layout.size_bytes(shape))
        if len(content) < layout.size_bytes(shape):
            raise UserError(f"{path} is cut short; delete it")
        offset += len(content)
        yield layout.segment(content, shape)


class Reader:
    """Reads features; the last file stays open, because neighbouring sources are in the same. Use as a context manager.

    Args:
      folder: of the files, local or remote.
      layout: types and sizes of the segments.
    """

    def __init__(self, folder: str, layout: Layout):
        self._folder, self._layout = folder, layout
        self._path, self._file = "", contextlib.ExitStack()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def parts(self, place: str) -> list[Part]:
        """Return the parts of a source; their segments are read one after the other, before the next source.

        Args:
          place: name of a file, and the offset of the source in it after an `OFFSET_SEPARATOR`; without one, 0.

        Raises:
          OSError: the file cannot be opened.
          UserError: there are no features, or they are cut short.
        """
        name, _, offset = place.partition(OFFSET_SEPARATOR)
        path = posixpath.join(self._folder, name)
        if path != self._path:
            self._file.close()
            self._path, self._opened = "", self._file.enter_context(filesystem.open_seekable(path))
            self._path = path
        self._opened.seek(int(offset or 0))
        try:
            headers = json.loads(self._opened.readline())
        except ValueError:
            raise UserError(f"{path} is broken; delete it") from None
        return _parts(self._opened, headers, self._opened.tell(), self._layout, path)
