"""Description of a preprocessed data set: front end, domains and statistics."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal

from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from models.features.stats import Moments, merge

MIN_PHOTOGRAPH_SIZE = 48  # pixels of the shorter side


@dataclasses.dataclass(frozen=True)
class Spec:
    """Description of the data that a plugin receives.

    Attributes:
      features: the front end; `AudioSpec` for speech, `ImageSpec` for images.
      domains: names, in the order of the records; `a` is the first, `b` the second.
      moments: moments of each domain's training examples over the last axis.
      pitch: moments of each domain's log-F0 over voiced frames, F0 in Hz; empty if F0 was not tracked.
    """

    features: AudioSpec | ImageSpec
    domains: tuple[str, ...]
    moments: Mapping[str, Moments]
    pitch: Mapping[str, Moments] = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> Literal["audio", "image"]:
        """Kind of the data: "audio" (speech) or "image" (images)."""
        return "audio" if isinstance(self.features, AudioSpec) else "image"

    @property
    def preset_kind(self) -> Literal["audio", "image", "photograph"]:
        """Kind by which presets differ: images of at least 48 pixels in colour are "photograph"."""
        if self.kind == "image" and self.features.channels == 3:
            shorter = min(self.features.height, self.features.width)
            return "photograph" if shorter >= MIN_PHOTOGRAPH_SIZE else "image"
        return self.kind

    @property
    def bins(self) -> int:
        """Length of the last axis: number of mel bands or channels."""
        return self.features.n_mels if self.kind == "audio" else self.features.channels

    @functools.cached_property
    def overall(self) -> Moments:
        """Moments of all domains combined."""
        return functools.reduce(merge, (self.moments[name] for name in self.domains))

    def feature_shape(self, frames: int | None = None) -> tuple[int | None, ...]:
        """Shape of one example: `(frames, mels)` or `(height, width, channels)`."""
        if self.kind == "audio":
            return (frames, self.features.n_mels)
        return (self.features.height, self.features.width, self.features.channels)
