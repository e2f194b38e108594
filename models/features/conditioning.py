"""Speech conditioning: silence trimmed, long recordings cut at pauses, and recordings left out by length or quality.

All functions work on the mean squares of 20 ms blocks, see :func:`models.features.level.block_powers`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from models.errors import UserError
from models.features.level import loud_power

PAUSE_RANGE_DB = 40.0  # blocks further below the loud ones are pauses
MARGIN_BLOCKS = 5  # 0.1 s kept before the first and after the last block that is no pause
MIN_PAUSE_BLOCKS = 10  # 0.2 s; shorter ones are also within words


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditioning:
    """What is done with recordings before they become records; by default nothing.

    Attributes:
      trim: whether silence at both ends is cut off.
      cut_s: longer recordings are cut into pieces of at most so many seconds; None for no cuts.
      min_s: shorter recordings or pieces are left out.
      max_s: longer recordings or pieces are left out; None for no limit.
      min_level_db: recordings whose active level is lower, in dB re full scale, are left out; None for no limit.
      max_clipped: recordings of which a larger share of samples is clipped are left out; None for no limit.

    Raises:
      UserError: a value is out of range.
    """

    trim: bool = False
    cut_s: float | None = None
    min_s: float = 0.0
    max_s: float | None = None
    min_level_db: float | None = None
    max_clipped: float | None = None

    def __post_init__(self):
        if self.cut_s is not None and self.cut_s < 1:
            raise UserError(f"pieces of at most {self.cut_s:g} s; wanted 1 s or more")
        if self.max_s is not None and self.max_s <= self.min_s:
            raise UserError(f"a duration of at most {self.max_s:g} s and at least {self.min_s:g} s; wanted a range")

    @property
    def selects(self) -> bool:
        """Whether recordings can be left out."""
        return bool(self.min_s) or any(x is not None for x in (self.max_s, self.min_level_db, self.max_clipped))

    def spans(self, powers: np.ndarray, span: tuple[int, int], blocks_per_s: float) -> list[tuple[int, int]]:
        """Return the spans of a recording that are kept, in blocks.

        Args:
          powers: mean squares of all blocks of the recording.
          span: first block, and block after the last, of the part of the recording to divide.
          blocks_per_s: blocks per second.

        Returns:
          First block and block after the last of each piece. A piece without any sound is left out, unless the whole
          recording is silent or nothing is trimmed.
        """
        if not powers.any():
            return [span]
        is_pause = powers < loud_power(powers) * 10 ** (-PAUSE_RANGE_DB / 10)
        pieces = [_trimmed(is_pause, *span)] if self.trim else [span]
        if self.cut_s is not None:
            longest = int(self.cut_s * blocks_per_s)
            pieces = [piece for outer in pieces for piece in _cut(powers, is_pause, outer, longest)]
            pieces = [_trimmed(is_pause, *piece) for piece in pieces] if self.trim else pieces
        return [(start, end) for start, end in pieces if end > start]

    def reason(self, *, length: float, level_db: float | None, clipped: float) -> str:
        """Return why a recording or piece is left out, the same text for all of one kind; empty if it is kept.

        Args:
          length: duration in seconds.
          level_db: active level in dB re full scale; None for silence.
          clipped: share of clipped samples.
        """
        if self.min_level_db is not None and (level_db is None or level_db < self.min_level_db):
            return f"quieter than {self.min_level_db:g} dB re full scale"
        if self.max_clipped is not None and clipped > self.max_clipped:
            return f"more than {self.max_clipped:g} of the samples clipped"
        if length < self.min_s:
            return f"shorter than {self.min_s:g} s"
        if self.max_s is not None and length > self.max_s:
            return f"longer than {self.max_s:g} s"
        return ""


def _trimmed(is_pause: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Span between the first and the last block that is no pause, with a margin; empty if all are pauses."""
    (active,) = np.nonzero(~is_pause[start:end])
    if not len(active):
        return start, start
    return (
        max(start, start + int(active[0]) - MARGIN_BLOCKS),
        min(end, start + int(active[-1]) + 1 + MARGIN_BLOCKS),
    )


def _cut(powers: np.ndarray, is_pause: np.ndarray, span: tuple[int, int], longest: int) -> list[tuple[int, int]]:
    """Divide a span into pieces of at most `longest` blocks.

    Each cut is in the middle of the longest pause, or where it is quietest if there is no pause, in the second half of
    a piece; the last two pieces have at least a quarter of `longest`.
    """
    (start, end), pieces = span, []
    while end - start > longest:
        rest = end - start - longest
        low = start + min(longest // 2, max(longest // 4, rest))
        high = min(start + longest, end - longest // 4)
        middle = low + _quietest(powers[low:high], is_pause[low:high])
        pieces.append((start, middle))
        start = middle
    return [*pieces, (start, end)]


def _quietest(powers: np.ndarray, is_pause: np.ndarray) -> int:
    """Index of the middle of the longest pause; without one, of the quietest 0.2 s."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_pause, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) and (ends - starts).max() >= MIN_PAUSE_BLOCKS:
        longest = int(np.argmax(ends - starts))
        return int(starts[longest] + ends[longest]) // 2
    size = min(MIN_PAUSE_BLOCKS, len(powers))
    return int(np.argmin(np.convolve(powers, np.ones(size), "valid"))) + size // 2
