"""Pictures of more than 8 bits a sample, or signed ones: decoded with all their bits, and scaled to 8."""

from __future__ import annotations

import dataclasses
import sys
from typing import BinaryIO

import numpy as np
import PIL.Image

from models.features import picture_file
from models.features.white_level import WHITES, Depth, level_of, white_of

BLOCK = 1 << 22  # samples scaled at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Deep:
    """A decoded picture of more than 8 bits.

    Attributes:
      samples: `[height, width]`, or `[height, width, 3]`; integers or real numbers.
      alpha: how opaque it is, `[height, width]`, to white or to 65535; None where all is.
      inverted: whether 0 is white.
      depth: of the samples.
    """

    samples: np.ndarray
    alpha: np.ndarray | None
    inverted: bool
    depth: Depth


def is_deep(picture: PIL.Image.Image) -> bool:
    """Whether an opened picture has more than 8 bits a sample, or signed ones, that 8 bits of white do not suit."""
    return _kind(picture) is not None


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether a deep picture that is not yet decoded has one channel."""
    return not _is_colour(picture) or _raw_mode(picture).startswith("LA")


def _raw_mode(picture: PIL.Image.Image) -> str:
    args = picture.tile[0][3] if getattr(picture, "tile", None) else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _tag(picture: PIL.Image.Image, number: int, default):
    """A number from a TIFF's tags; the default where it has none, or more than one kind of them."""
    if picture.format != "TIFF":
        return default
    value = picture.tag_v2.get(number, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, (int, float)) else default


def _is_colour(picture: PIL.Image.Image) -> bool:
    return _raw_mode(picture)[:-1] in {f"{mode};16" for mode in ("RGB", "RGBX", "RGBA", "LA")}


def _kind(picture: PIL.Image.Image) -> str | None:
    bits, signed = _tag(picture, 258, 0), _tag(picture, 339, 1) == 2
    if picture.mode.startswith("F"):
        return "float"
    if picture.mode.startswith("I;16") or _is_colour(picture):
        return "16-bit"
    if picture.mode == "I":
        sixteen = picture.format in ("PPM", "PNG") or bits == 16
        return "32-bit" if not sixteen else "16-bit signed" if signed else "16-bit"
    return "8-bit signed" if picture.mode == "L" and signed else None


def read(picture: PIL.Image.Image, file: str | BinaryIO) -> Deep:
    """Decodes a deep picture.

    Args:
      picture: from `picture_file.opened`, not yet decoded.
      file: what it was opened from, which is read again for the lower half of colours: Pillow keeps the upper.

    Raises:
      UserError: damaged or cut short.
    """
    kind, colour, raw = _kind(picture), _is_colour(picture), _raw_mode(picture)
    inverted = _tag(picture, 262, 1) == 0 and picture.mode != "L"  # which Pillow leaves as it is above 8 bits
    unsigned = picture.format == "TIFF" and _tag(picture, 339, 1) == 1
    hint = _tag(picture, 281, _tag(picture, 341, 0))
    stated, bits = _stated(picture, kind), _significant_bits(picture, file)
    picture_file.decode(picture)
    samples = _upper_and_lower(picture, file, raw) if colour else np.asarray(picture)
    if kind == "8-bit signed":
        samples = samples.view(np.int8)
    elif kind == "32-bit" and unsigned:
        samples = samples.view(np.uint32)  # Pillow keeps them signed
    samples, alpha = _without_alpha(samples, picture.info.get("transparency"))
    level = level_of(samples)
    return Deep(
        samples, alpha, inverted, Depth(kind, stated or _hinted(hint, kind) or _by_bits(bits, samples, level), level)
    )


def _without_alpha(samples: np.ndarray, hole) -> tuple[np.ndarray, np.ndarray | None]:
    """The samples, and how opaque each pixel is: by their last channel, or all but the one colour that is a hole."""
    if samples.ndim == 3 and samples.shape[-1] in (2, 4):
        colours = samples[..., 0] if samples.shape[-1] == 2 else samples[..., :-1]
        return colours, samples[..., -1]
    if not isinstance(hole, (int, tuple)):
        return samples, None
    same = samples == np.asarray(hole)
    return samples, np.uint16(~(same.all(axis=-1) if samples.ndim == 3 else same)) * np.uint16(65535)


def _upper_and_lower(picture: PIL.Image.Image, file: str | BinaryIO, raw: str) -> np.ndarray:
    """All 16 bits, uint16 `[height, width, channels]`, of a colour picture of whose samples Pillow decodes 8.

    It takes the upper byte of each sample; told of the other order of bytes, it takes the lower.
    """
    native = "L" if sys.byteorder == "little" else "B"
    order = native if raw[-1] == "N" else raw[-1]
    with picture_file.opened(file) as again:
        if raw.startswith("LA"):  # of which it knows one order only; but two samples are four bytes
            again._mode, other = "RGBA", "RGBA"
        else:
            other = raw[:-1] + ("B" if order == "L" else "L")
        again.tile = [getattr(type(tile), "_make", tuple)([*tile[:3], _renamed(tile[3], other)]) for tile in again.tile]
        picture_file.decode(again)
        halves = np.asarray(again).astype(np.uint16)
    if raw.startswith("LA"):
        return halves[..., ::2] << 8 | halves[..., 1::2]
    return np.asarray(picture).astype(np.uint16) << 8 | halves


def _renamed(args, raw: str):
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


# ------------------------------------------------------------------ what a file says of its white


def _stated(picture: PIL.Image.Image, kind: str) -> float:
    """White by the format: Pillow scales some to all 16 bits, and unpacks TIFFs of 12 bits to as many."""
    if kind == "8-bit signed":
        return WHITES[kind][0]
    if picture.format in ("PPM", "JPEG2000") and not picture.mode.startswith("F"):
        return 65535.0
    bits = _tag(picture, 258, 16)
    return 2.0**bits - 1 if 8 < bits < 16 else 0.0


def _hinted(most: float, kind: str) -> float:
    """White by a TIFF's tag of the largest sample, where that is no count of the one picture's.

    Many programs write the brightest sample that there is, or all that the type can hold.
    """
    return float(most) if most in WHITES[kind][:-1] else 0.0


def _significant_bits(picture: PIL.Image.Image, file: str | BinaryIO) -> int:
    """Bits of the original by a PNG's chunk sBIT; 0 where it says none."""
    if picture.format != "PNG":
        return 0
    depths = picture_file.png_chunks(file).get(b"sBIT", b"")
    return max(depths[: 1 if len(depths) < 3 else 3], default=0)  # the others are of alpha


def _by_bits(bits: int, samples: np.ndarray, level: float) -> float:
    """White of a PNG that has so many significant bits: PNG wants them scaled to all 16, and not all writers do.

    Of scaled dark samples the lower bits are zero, unscaled ones use them.
    """
    if not 8 <= bits < 16:
        return 0.0
    unscaled = level <= 2**bits - 1 and (samples & ((1 << 16 - bits) - 1)).any()
    return 2.0**bits - 1 if unscaled else 65535.0


# ------------------------------------------------------------------ 8 bits


def to_eight_bits(deep: Deep, asked: float) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """A deep picture as "L" or "RGB", "LA" or "RGBA" where it has holes; of values beyond white or black the nearest.

    Args:
      deep: the picture.
      asked: as in :func:`models.features.white_level.white_of`.

    Returns:
      The picture, and notes for people.
    """
    white, notes = white_of(deep.depth, asked)
    flat = deep.samples.reshape(-1)
    eight_bits, bad, above, below = np.empty(flat.size, np.uint8), 0, 0, 0
    for start in range(0, flat.size, BLOCK):
        x = flat[start : start + BLOCK].astype(np.float64) / white
        odd = ~np.isfinite(x)
        x[odd] = 0
        bad, above, below = bad + odd.sum(), above + (x > 1 + 0.5 / 255).sum(), below + (x < -0.5 / 255).sum()
        x = np.clip(x, 0, 1)
        x = np.where(odd, 0, 1 - x if deep.inverted else x)
        eight_bits[start : start + BLOCK] = np.uint8(x * 255 + 0.5)
    total = flat.size
    if bad:
        notes += (f"{bad} of {total} samples are not a number or infinite: read as black",)
    if above:
        notes += (f"brighter than white={white:g}: {100 * above / total:.2g} % of the samples are clipped",)
    if below:
        notes += (f"below 0: {100 * below / total:.2g} % of the samples are clipped",)
    picture = PIL.Image.fromarray(eight_bits.reshape(deep.samples.shape))
    if deep.alpha is not None:
        opaque = white if 0 < deep.alpha.max() <= white else 65535.0
        picture.putalpha(PIL.Image.fromarray(np.uint8(np.clip(deep.alpha / opaque, 0, 1) * 255 + 0.5)))
    return picture, notes
