"""`Part`: what the decoders `libsndfile` and `ffmpeg` yield of a recording.

Both modules have the same functions of an open file: `read_format`, `stated_seconds` and `parts`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A part of a recording with one sample rate and one number of channels, open for reading.

    Attributes:
      rate_hz: sample rate in Hz.
      channels: number of channels.
      blocks: float32 samples `[samples, channels]`, block by block, to be read before the next part. They end with a
        UserError if the part is damaged or shorter than stated.
      notes: notes for users on what is unusual about the file.
    """

    rate_hz: int
    channels: int
    blocks: Iterator[np.ndarray]
    notes: tuple[str, ...] = ()
