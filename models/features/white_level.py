"""Estimates the value of white in images of more than 8 bits per sample.

A 16-bit file often contains 10 or 12 bits, a floating-point file values of 0 to 1 or 0 to 255, and few files state
the range. The value of white is therefore set for a whole data set: :func:`common_white` estimates it from many files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

LEVEL_QUANTILE, FLOAT_LEVEL_QUANTILE = 0.999, 0.99  # of the brightest samples, robust to single outliers
MAX_SAMPLES = 1 << 20  # samples that a level is computed from
DARK_SHARE = 1 / 16  # of white: an image whose level is lower gets a note that it is dark
OVERSHOOT = 1.05  # floats slightly above white, as resizing produces them
HEADROOM = 4.0  # floats up to this value are read as light with white 1 and brighter highlights

WHITES = {
    "8-bit signed": (127.0,),
    "16-bit": (255.0, 1023.0, 4095.0, 16383.0, 65535.0),
    "16-bit signed": (255.0, 1023.0, 4095.0, 16383.0, 32767.0),
    "32-bit": (255.0, 1023.0, 4095.0, 16383.0, 65535.0, 2.0**24 - 1, 2.0**31 - 1, 2.0**32 - 1),
    "float": (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0, 2.0**32 - 1),
}
DEFAULT_WHITES = {"16-bit": 65535.0, "float": 1.0}  # by kind; reported without a note


@dataclasses.dataclass(frozen=True)
class Depth:
    """Sample depth of a file of more than 8 bits.

    Attributes:
      kind: a key of `WHITES`.
      stated: the value of white that the file states; 0 if it states none.
      level: the level of the brightest samples, see :func:`bright_level`.
    """

    kind: str
    stated: float
    level: float


def bright_level(samples: np.ndarray) -> float:
    """Level of the brightest samples, of large images by a subset; 0 if no sample is positive.

    A high quantile of the finite positive samples, so that neither outliers nor a large black background matter. The
    quantile is lower for floats, whose values of white are further apart.

    >>> bright_level(np.array([0.5] * 1999 + [np.inf]))
    0.5
    """
    flat = samples.reshape(-1)
    flat = flat[:: max(1, flat.size // MAX_SAMPLES)]
    is_float = flat.dtype.kind == "f"
    positive = flat[(flat > 0) & np.isfinite(flat)] if is_float else flat[flat > 0]
    quantile = FLOAT_LEVEL_QUANTILE if is_float else LEVEL_QUANTILE
    return float(np.quantile(positive, quantile, method="lower")) if positive.size else 0.0


def guess_white(kind: str, level: float) -> float:
    """Guess white from the level of the brightest samples: the smallest usual value that is not exceeded.

    >>> guess_white("16-bit", 4000.0), guess_white("float", 1.004), guess_white("float", 250.0)
    (4095.0, 1.0, 255.0)
    """
    whites = WHITES[kind]
    if kind == "float" and level <= HEADROOM:
        return whites[0]
    tolerance = OVERSHOOT if kind == "float" else 1.0
    return next((white for white in whites if level <= tolerance * white), whites[-1])


def common_white(depths: Iterable[Depth]) -> float:
    """Common white of the files of a data set that state none; 0 if white differs by file.

    Uses the level that one file in twenty exceeds, so that a few damaged files do not darken the others. Files of
    several kinds have no common white.

    >>> common_white([Depth("16-bit", 0.0, 900.0), Depth("16-bit", 0.0, 4000.0)])
    4095.0
    """
    depths = list(depths)
    unstated = [depth for depth in depths if not depth.stated and depth.level > 0]
    if unstated:
        kinds = {depth.kind for depth in unstated}
        levels = sorted(depth.level for depth in unstated)
        return guess_white(kinds.pop(), levels[len(levels) - 1 - len(levels) // 20]) if len(kinds) == 1 else 0.0
    stated = {depth.stated for depth in depths}
    return stated.pop() if len(stated) == 1 else 0.0


def select_white(depth: Depth, requested: float) -> tuple[float, tuple[str, ...]]:
    """Select the white to read an image with: as stated by the file, else as requested, else guessed.

    Args:
      depth: depth of the image.
      requested: `ImageSpec.white`; 0 for none.

    Returns:
      White, and notes for users if another value is plausible.
    """
    kind, level = depth.kind, depth.level
    if depth.stated:
        differs = requested not in (0.0, depth.stated)
        return depth.stated, (f"its file says that white is {depth.stated:g}: not {requested:g}",) if differs else ()
    white = requested or (65535.0 if kind == "16-bit" else guess_white(kind, level))
    reach = f"{kind} samples reach {level:g}"
    if 0 < level <= DARK_SHARE * white:
        return white, (f"{reach} of white={white:g}: read as dark; if another is meant, set white",)
    return white, () if white == DEFAULT_WHITES.get(kind) else (f"{reach}: white is {white:g}",)
