"""Features of source files between the passes of `preprocess`, and from one `preprocess` to the next.

Every source has one file, named by the hash of its bytes and of all settings on which its features depend: a JSON line
with the parts of the source and the sizes of their segments, then the bytes of the segments as records store them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import importlib.metadata
import json
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from models.errors import UserError
from models.features.audio import AudioSpec
from models.features.conditioning import Conditioning
from models.features.image import ImageSpec
from pipelines import stable_hash
from pipelines.beam import filesystem
from pipelines.data import tfrecord

FORMAT = 3  # of the files, and of the features in them
MAX_IN_MEMORY_BYTES = 8 << 20

Segment = tuple[np.ndarray, np.ndarray | None]  # features, and samples of speech if they are stored


class WriteError(UserError):
    """A file of features cannot be written, which is no fault of its source: the job has to end."""


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
class FeatureStore:
    """Files of features in a folder.

    Attributes:
      folder: local or remote.
      spec: the front end.
      waveforms: whether samples of speech are stored, too.
      fractions: of a divided recording for validation and test.
      conditioning: how recordings are trimmed and cut.
    """

    folder: str
    spec: AudioSpec | ImageSpec
    waveforms: bool = False
    fractions: tuple[float, float] = (0.0, 0.0)
    conditioning: Conditioning = Conditioning()

    def name(self, digest: str, *, may_cut: bool) -> str:
        """Return the name of the file of a source.

        Args:
          digest: hash of its bytes.
          may_cut: whether it may be divided among the splits.
        """
        settings = {
            "format": FORMAT,
            "crossfade": _version(),
            "front_end": [type(self.spec).__name__, dataclasses.asdict(self.spec)],
            "segment_frames": tfrecord.SEGMENT_FRAMES,
            "waveforms": self.waveforms,
            "fractions": self.fractions if may_cut else None,
            "conditioning": [self.conditioning.trim, self.conditioning.cut_s],
        }
        text = json.dumps(settings, sort_keys=True).encode()
        return posixpath.join(digest[:2], f"{digest}-{stable_hash.digest(text)}")

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return filesystem.exists(posixpath.join(self.folder, name))

    def write(self, name: str, parts: Callable[[], Iterable[Part]]) -> None:
        """Write a file, complete or not at all.

        Raises:
          WriteError: it cannot be written, or there is no space for temporary files.
        """
        with tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES) as body:
            try:
                header = json.dumps([_write_part(body, part) for part in parts()])
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise WriteError(f"{tempfile.gettempdir()}: {error.strerror}") from None
                raise
            body.seek(0)
            try:
                with filesystem.new_file(posixpath.join(self.folder, name)) as file:
                    file.write(f"{header}\n".encode())
                    shutil.copyfileobj(body, file)
            except OSError as error:
                raise WriteError(f"{posixpath.join(self.folder, name)} cannot be written: {error}") from None

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[list[Part]]:
        """Open a file; its segments are read one after the other, those of each part once.

        Raises:
          UserError: it is not such a file, or was cut short.
        """
        path = posixpath.join(self.folder, name)
        with filesystem.open_file(path) as file:
            try:
                headers = json.loads(file.readline())
            except ValueError:
                raise UserError(f"{path} is broken; delete it") from None
            offset, parts = file.tell(), []
            for header in headers:
                parts.append(Part(header["facts"], self._read_segments(file, path, offset, header["shapes"])))
                offset += sum(map(self._segment_bytes, header["shapes"]))
            yield parts

    def delete_all(self) -> None:
        """Delete the folder with all files."""
        if filesystem.is_remote(self.folder):
            filesystem.delete([path for path, _ in filesystem.list_prefix(f"{self.folder}/")])
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype(tfrecord.DTYPE["audio" if isinstance(self.spec, AudioSpec) else "image"])

    def _samples(self, shape: list[int]) -> int:
        return shape[0] * self.spec.hop_length if self.waveforms else 0

    def _segment_bytes(self, shape: list[int]) -> int:
        return self._dtype.itemsize * (int(np.prod(shape)) + self._samples(shape))

    def _read_segments(self, file: BinaryIO, path: str, offset: int, shapes: list[list[int]]) -> Iterator[Segment]:
        for shape in shapes:
            file.seek(offset)
            content = file.read(self._segment_bytes(shape))
            if len(content) < self._segment_bytes(shape):
                raise UserError(f"{path} is cut short; delete it")
            offset += len(content)
            values, size = np.frombuffer(content, self._dtype), int(np.prod(shape))
            yield values[:size].reshape(shape), values[size:] if self.waveforms else None


@functools.cache
def _version() -> str:
    """Version of this package; read once, because every call reads the metadata of the installation."""
    return importlib.metadata.version("crossfade")


def _write_part(body: BinaryIO, part: Part) -> dict:
    """Write the segments of a part; return its entry of the header."""
    shapes = []
    for array, samples in part.segments:
        body.write(array.tobytes())
        if samples is not None:
            body.write(samples.tobytes())
        shapes.append(array.shape)
    return {"facts": part.facts, "shapes": shapes}
