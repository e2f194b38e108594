"""Which value is white in pictures of more than 8 bits a sample.

A file of 16 bits often holds 10 or 12, a file of real numbers 0 to 1 or 0 to 255, and few say so. The value of white
therefore belongs to a corpus: :func:`common_white` finds it from what many files say and hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

LEVEL, FLOAT_LEVEL = 0.999, 0.99  # quantiles that count as the brightest: single odd pixels set no scale
SAMPLES = 1 << 20  # that a level is taken of
DARK = 1 / 16  # of white: a picture that reaches no further is said to be dark
OVERSHOOT = 1.05  # real numbers a little above white, as resizing leaves them
HEADROOM = 4.0  # real numbers up to here are taken for light where white is 1, with highlights brighter than white

WHITES = {
    "8-bit signed": (127.0,),
    "16-bit": (255.0, 1023.0, 4095.0, 16383.0, 65535.0),
    "16-bit signed": (255.0, 1023.0, 4095.0, 16383.0, 32767.0),
    "32-bit": (255.0, 1023.0, 4095.0, 16383.0, 65535.0, 2.0**24 - 1, 2.0**31 - 1, 2.0**32 - 1),
    "float": (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0, 2.0**32 - 1),
}
USUAL = {"16-bit": 65535.0, "float": 1.0}  # white of a kind that needs no mention


@dataclasses.dataclass(frozen=True)
class Depth:
    """What a file of more than 8 bits says and holds.

    Attributes:
      kind: a key of `WHITES`.
      stated: the value of white that the file itself gives; 0 where it gives none.
      level: the brightest of its samples but for a few, see :func:`level_of`.
    """

    kind: str
    stated: float
    level: float


def level_of(samples: np.ndarray) -> float:
    """The brightest of the samples but for a few, of large pictures by a part of them; 0 where none is above 0.

    A quantile of those that are finite and above 0, so that neither odd pixels nor a wide black ground matter. Whites
    of real numbers lie further apart than those of whole ones, so that more may be left out.

    >>> level_of(np.array([0.5] * 1999 + [np.inf]))
    0.5
    """
    flat = samples.reshape(-1)
    flat = flat[:: max(1, flat.size // SAMPLES)]
    real = flat.dtype.kind == "f"
    positive = flat[(flat > 0) & np.isfinite(flat)] if real else flat[flat > 0]
    return float(np.quantile(positive, FLOAT_LEVEL if real else LEVEL, method="lower")) if positive.size else 0.0


def guessed_white(kind: str, level: float) -> float:
    """The usual white of samples whose brightest are at a level.

    >>> guessed_white("16-bit", 4000.0), guessed_white("float", 1.004), guessed_white("float", 250.0)
    (4095.0, 1.0, 255.0)
    """
    whites = WHITES[kind]
    if kind == "float" and level <= HEADROOM:
        return whites[0]
    slack = OVERSHOOT if kind == "float" else 1.0
    return next((white for white in whites if level <= slack * white), whites[-1])


def common_white(depths: Iterable[Depth]) -> float:
    """The white of the files of a corpus that say none; 0 where every file has to decide for itself.

    A level that one file in twenty exceeds is still white: a few damaged files must not turn the others dark.
    Where files are of several kinds no one number suits them.

    >>> common_white([Depth("16-bit", 0.0, 900.0), Depth("16-bit", 0.0, 4000.0)])
    4095.0
    """
    depths = list(depths)
    silent = [depth for depth in depths if not depth.stated and depth.level > 0]
    if silent:
        kinds = {depth.kind for depth in silent}
        levels = sorted(depth.level for depth in silent)
        return guessed_white(kinds.pop(), levels[len(levels) - 1 - len(levels) // 20]) if len(kinds) == 1 else 0.0
    stated = {depth.stated for depth in depths}
    return stated.pop() if len(stated) == 1 else 0.0


def white_of(depth: Depth, asked: float) -> tuple[float, tuple[str, ...]]:
    """The white that a picture is read with: what its file states, else what is asked for, else a guess.

    Args:
      depth: of the picture.
      asked: `ImageSpec.white`, 0 where nothing is asked for.

    Returns:
      White, and notes for people where another could be meant.
    """
    kind, level = depth.kind, depth.level
    if depth.stated:
        other = asked not in (0.0, depth.stated)
        return depth.stated, (f"its file says that white is {depth.stated:g}: not {asked:g}",) if other else ()
    white = asked or (65535.0 if kind == "16-bit" else guessed_white(kind, level))
    reach = f"{kind} samples reach {level:g}"
    if 0 < level <= DARK * white:
        return white, (f"{reach} of white={white:g}: read as dark; if another is meant, set white",)
    return white, () if white == USUAL.get(kind) else (f"{reach}: white is {white:g}",)
