"""Features of source files between the passes of `preprocess`, and from one `preprocess` to the next."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import posixpath
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from models.features.audio import AudioSpec
from models.features.conditioning import Conditioning
from models.features.image import ImageSpec
from pipelines import stable_hash
from pipelines.beam import filesystem, stale_files
from pipelines.data import tfrecord
from pipelines.data.feature_file import OFFSET_SEPARATOR, Features, Layout, Reader
from pipelines.data.full_disk import WriteError

FORMAT = 3  # of the files, and of the features in them
PARTIAL_FOLDER = ".partial"  # in the folder of a cache: files that are being written
MIN_STALE_S = 86400.0  # age from which a partial file is one of a killed worker; writing one takes seconds


@dataclasses.dataclass(frozen=True)
class FeatureStore:
    """Files of features in a folder.

    Their names are hashes of the bytes of the source and of all settings on which its features depend. If they are kept
    for later jobs, every source has a file of this name. Otherwise the sources that a worker reads at a time share a
    file, beside an index: a file for each source would take longer to create than a small picture to decode, and
    several requests on a remote store.

    Attributes:
      folder: local or remote.
      spec: the front end.
      waveforms: whether samples of speech are stored, too.
      fractions: of a divided recording for validation and test.
      conditioning: how recordings are trimmed and cut.
      is_cache: whether the features are kept for later jobs.
    """

    folder: str
    spec: AudioSpec | ImageSpec
    waveforms: bool = False
    fractions: tuple[float, float] = (0.0, 0.0)
    conditioning: Conditioning = Conditioning()
    is_cache: bool = False

    @property
    def layout(self) -> Layout:
        """Types and sizes of the segments."""
        return Layout(self.spec, self.waveforms)

    def name(self, digest: str, *, may_cut: bool) -> str:
        """Return the name of the features of a source, under which they are found again.

        Args:
          digest: hash of its bytes.
          may_cut: whether it may be divided among the splits.
        """
        settings = _settings_hash(self, may_cut, tfrecord.SEGMENT_FRAMES)
        return posixpath.join(digest[:2], f"{digest}-{settings}")

    @contextlib.contextmanager
    def batch(self, paths: Iterable[str]) -> Iterator[CachedFiles | SharedFile]:
        """Open the store for the features of some sources, which threads may find and add.

        What was added to a shared file is complete when the block ends without an error; without one, nothing of it is
        there.

        Args:
          paths: of the sources; what an earlier job that was killed had added for the same paths is there.

        Raises:
          WriteError: the features cannot be written.
        """
        if self.is_cache:
            yield CachedFiles(self.folder)
            return
        index = posixpath.join(self.folder, f"{stable_hash.lines_digest(paths)}.json")
        with SharedFile(self.folder, _read_index(index)) as shared:
            yield shared
        shared.write_index(index)

    def reader(self) -> Reader:
        """Return a reader of the files of this folder."""
        return Reader(self.folder, self.layout)

    def delete_stale_files(self) -> None:
        """Delete the partial files of killed workers in a cache; those of another job that uses it now remain.

        Raises:
          UserError: the store of the cache refuses the listing.
        """
        stale_files.delete_partial_files(posixpath.join(self.folder, PARTIAL_FOLDER), MIN_STALE_S)

    def delete_all(self) -> None:
        """Delete the folder with all files."""
        if filesystem.is_remote(self.folder):
            filesystem.delete([path for path, _ in filesystem.list_prefix(f"{self.folder}/")])
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class CachedFiles:
    """Features of sources in a file of each, whose place is its name.

    Args:
      folder: of the files.
    """

    def __init__(self, folder: str):
        self._folder = folder

    def find(self, name: str) -> str:
        """Return the place of the features of this name, an empty text if there are none."""
        return name if filesystem.exists(posixpath.join(self._folder, name)) else ""

    def add(self, name: str, features: Features) -> str:
        """Write the features of a source, complete or not at all; return their place."""
        path = posixpath.join(self._folder, name)
        partial_folder = posixpath.join(self._folder, PARTIAL_FOLDER)
        with _write_errors(path), filesystem.new_file(path, partial_folder) as file:
            features.copy_to(file)
        return name


class SharedFile:
    """Features of several sources in one new file, which is created at the first. Use as a context manager.

    Args:
      folder: of the file.
      earlier: places of features by name, from earlier files.
    """

    def __init__(self, folder: str, earlier: dict[str, str]):
        self._earlier, self._added, self._size = earlier, {}, 0
        self._name, self._stack, self._file = secrets.token_hex(8), contextlib.ExitStack(), None
        self._path, self._lock, self._is_closed = posixpath.join(folder, self._name), threading.Lock(), False

    def __enter__(self) -> SharedFile:
        return self

    def __exit__(self, *exception) -> bool | None:
        with self._lock:  # other threads may go on after an error in one
            self._is_closed = True
            return self._stack.__exit__(*exception)

    def find(self, name: str) -> str:
        """Return the place of the features of this name in an earlier file, an empty text if there are none."""
        return self._earlier.get(name, "")

    def add(self, name: str, features: Features) -> str:
        """Append the features of a source, once for sources of the same bytes; return their place."""
        with self._lock, _write_errors(self._path):
            if self._is_closed:
                raise WriteError(f"{self._path} cannot be written: it is closed, after an error in its batch")
            self._file = self._file or self._stack.enter_context(_new_file(self._path))
            if name not in self._added:
                self._added[name] = f"{self._name}{OFFSET_SEPARATOR}{self._size}"
                self._size += features.copy_to(self._file)
            return self._added[name]

    def write_index(self, path: str) -> None:
        """Write the places of all features to a file, if any were added."""
        if self._added:
            with _write_errors(path):
                filesystem.write_text(path, json.dumps(self._earlier | self._added))


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[BinaryIO]:
    with _write_errors(path), filesystem.new_file(path) as file:
        yield file


@contextlib.contextmanager
def _write_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error}") from None


def _read_index(path: str) -> dict[str, str]:
    """Places by name that an earlier job has written; none if it did not."""
    return json.loads(filesystem.read_text(path)) if filesystem.exists(path) else {}


@functools.lru_cache(maxsize=16)
def _settings_hash(store: FeatureStore, may_cut: bool, segment_frames: int) -> str:
    """Hash of everything on which features depend except the bytes of their source."""
    settings = {
        "format": FORMAT,
        "crossfade": _version(),
        "front_end": [type(store.spec).__name__, dataclasses.asdict(store.spec)],
        "segment_frames": segment_frames,
        "waveforms": store.waveforms,
        "fractions": store.fractions if may_cut else None,
        "conditioning": [store.conditioning.trim, store.conditioning.cut_s],
    }
    return stable_hash.digest(json.dumps(settings, sort_keys=True).encode())


@functools.cache
def _version() -> str:
    """Version of this package; read once, because every call reads the metadata of the installation."""
    return importlib.metadata.version("crossfade")
