"""A list of files in a report, each with its versions side by side, to be sorted and filtered by scores."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a file: its source, its conversion, its target.

    Attributes:
      label: what it is.
      picture: data URI of an image or of a spectrogram.
      sound: data URI of an audio file; empty for images.
      note: remark below the label; may be empty.
    """

    label: str
    picture: str
    sound: str = ""
    note: str = ""

    @property
    def size(self) -> int:
        """Number of bytes that it adds to the page."""
        return len(self.picture) + len(self.sound)


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a list.

    Attributes:
      name: its id.
      versions: side by side.
      scores: of the file by key; without those that are not finite.
    """

    name: str
    versions: Sequence[Version]
    scores: Mapping[str, float]

    def scores_json(self) -> str:
        """Return the scores as a JSON object, for the scripts of the page."""
        return json.dumps({key: float(f"{value:.6g}") for key, value in self.scores.items() if math.isfinite(value)})


@dataclasses.dataclass(frozen=True)
class Score:
    """A score by which files are sorted and filtered.

    Attributes:
      key: name in `File.scores`.
      heading: displayed name.
      higher_is_better: whether files with low values are the worst.
    """

    key: str
    heading: str
    higher_is_better: bool


@dataclasses.dataclass(frozen=True)
class FileList:
    """Files of a section of a report.

    Attributes:
      files: in the order in which they are displayed first.
      scores: by which they can be sorted.
      selection: sentence that says which files these are.
      ticks: height (0 to 1) and label of frequencies in the spectrograms; empty for images.
    """

    files: Sequence[File]
    scores: Sequence[Score]
    selection: str
    ticks: Sequence[tuple[float, str]] = ()

    @property
    def size(self) -> int:
        """Number of bytes that pictures and sounds add to the page."""
        return sum(version.size for file in self.files for version in file.versions)

    @property
    def has_sound(self) -> bool:
        """Whether the versions are played, not only seen."""
        return any(version.sound for file in self.files for version in file.versions)
