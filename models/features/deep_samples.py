"""Pictures with more than 8 bits per sample, or signed samples: decoded at full depth and scaled to 8 bits."""

from __future__ import annotations

import dataclasses
import sys
from typing import BinaryIO

import numpy as np
import PIL.Image

from models.features import image_file
from models.features.white_level import WHITES, Depth, bright_level, select_white

BLOCK_SAMPLES = 1 << 22  # samples scaled at a time


@dataclasses.dataclass(frozen=True, eq=False)
class DeepImage:
    """A decoded image of more than 8 bits.

    Attributes:
      samples: `[height, width]` or `[height, width, 3]`; integers or floats.
      alpha: opacity `[height, width]`, from 0 to white or to 65535; None if all pixels are opaque.
      inverted: whether 0 is white.
      depth: depth of the samples.
    """

    samples: np.ndarray
    alpha: np.ndarray | None
    inverted: bool
    depth: Depth


def is_deep(picture: PIL.Image.Image) -> bool:
    """Whether an opened image has more than 8 bits per sample, or signed samples, which need scaling by white."""
    return _kind(picture) is not None


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether a deep image has one channel, before it is decoded."""
    return not _is_colour(picture) or _raw_mode(picture).startswith("LA")


def _raw_mode(picture: PIL.Image.Image) -> str:
    args = picture.tile[0][3] if getattr(picture, "tile", None) else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _tag(picture: PIL.Image.Image, number: int, default):
    """Number in a TIFF tag; the default for other formats, and for tags that are missing or not numbers."""
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


def read(picture: PIL.Image.Image, file: str | BinaryIO) -> DeepImage:
    """Decode a deep image.

    Args:
      picture: from `image_file.open_image`, not yet decoded.
      file: the file it was opened from; read again for the lower byte of colours, which Pillow discards.

    Raises:
      UserError: the image is damaged or truncated.
    """
    kind, colour, raw = _kind(picture), _is_colour(picture), _raw_mode(picture)
    inverted = _tag(picture, 262, 1) == 0 and picture.mode != "L"  # Pillow inverts 8-bit images only
    unsigned = picture.format == "TIFF" and _tag(picture, 339, 1) == 1
    max_sample = _tag(picture, 281, _tag(picture, 341, 0))
    stated, bits = _white_by_format(picture, kind), _significant_bits(picture, file)
    image_file.decode(picture)
    samples = _upper_and_lower(picture, file, raw) if colour else np.asarray(picture)
    if kind == "8-bit signed":
        samples = samples.view(np.int8)
    elif kind == "32-bit" and unsigned:
        samples = samples.view(np.uint32)  # Pillow decodes them as signed
    samples, alpha = _split_alpha(samples, picture.info.get("transparency"))
    level = bright_level(samples)
    white = stated or _white_by_max_sample(max_sample, kind) or _white_by_bits(bits, samples, level)
    return DeepImage(samples, alpha, inverted, Depth(kind, white, level))


def _split_alpha(samples: np.ndarray, transparent_colour) -> tuple[np.ndarray, np.ndarray | None]:
    """Split samples into colours and opacity: the last channel, or 0 for the transparent colour."""
    if samples.ndim == 3 and samples.shape[-1] in (2, 4):
        colours = samples[..., 0] if samples.shape[-1] == 2 else samples[..., :-1]
        return colours, samples[..., -1]
    if not isinstance(transparent_colour, (int, tuple)):
        return samples, None
    equal = samples == np.asarray(transparent_colour)
    return samples, np.uint16(~(equal.all(axis=-1) if samples.ndim == 3 else equal)) * np.uint16(65535)


def _upper_and_lower(picture: PIL.Image.Image, file: str | BinaryIO, raw: str) -> np.ndarray:
    """Samples uint16 `[height, width, channels]` of a 16-bit colour image, of which Pillow decodes 8 bits.

    Pillow returns the upper byte of each sample. Decoded with the other byte order, it returns the lower byte.
    """
    native = "L" if sys.byteorder == "little" else "B"
    order = native if raw[-1] == "N" else raw[-1]
    with image_file.open_image(file) as reopened:
        if raw.startswith("LA"):  # Pillow has one byte order only; two 16-bit samples are decoded as four bytes
            reopened._mode, other = "RGBA", "RGBA"
        else:
            other = raw[:-1] + ("B" if order == "L" else "L")
        reopened.tile = [
            getattr(type(tile), "_make", tuple)([*tile[:3], _with_raw_mode(tile[3], other)]) for tile in reopened.tile
        ]
        image_file.decode(reopened)
        decoded = np.asarray(reopened).astype(np.uint16)
    if raw.startswith("LA"):
        return decoded[..., ::2] << 8 | decoded[..., 1::2]
    return np.asarray(picture).astype(np.uint16) << 8 | decoded


def _with_raw_mode(args, raw: str):
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


# ------------------------------------------------------------------ white by the metadata of a file


def _white_by_format(picture: PIL.Image.Image, kind: str) -> float:
    """White by the format; 0 if unknown. Pillow scales some formats to 16 bits, and unpacks 12-bit TIFFs unscaled."""
    if kind == "8-bit signed":
        return WHITES[kind][0]
    if picture.format in ("PPM", "JPEG2000") and not picture.mode.startswith("F"):
        return 65535.0
    bits = _tag(picture, 258, 16)
    return 2.0**bits - 1 if 8 < bits < 16 else 0.0


def _white_by_max_sample(max_sample: float, kind: str) -> float:
    """White by a TIFF's tag of the largest sample, if it is one of the usual values of white; else 0.

    Many programs write the brightest sample of the image instead, or the limit of the type.
    """
    return float(max_sample) if max_sample in WHITES[kind][:-1] else 0.0


def _significant_bits(picture: PIL.Image.Image, file: str | BinaryIO) -> int:
    """Significant bits by a PNG's sBIT chunk; 0 if there is none."""
    if picture.format != "PNG":
        return 0
    depths = image_file.png_chunks(file).get(b"sBIT", b"")
    return max(depths[: 1 if len(depths) < 3 else 3], default=0)  # the remaining depth is that of alpha


def _white_by_bits(bits: int, samples: np.ndarray, level: float) -> float:
    """White of a PNG by its significant bits: PNG requires samples scaled to 16 bits, but not all writers scale them.

    Scaled dark samples have zeros in the lower bits; unscaled samples use them.
    """
    if not 8 <= bits < 16:
        return 0.0
    unscaled = level <= 2**bits - 1 and (samples & ((1 << 16 - bits) - 1)).any()
    return 2.0**bits - 1 if unscaled else 65535.0


# ------------------------------------------------------------------ 8 bits


def to_eight_bits(deep: DeepImage, requested_white: float) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """Convert a deep image to mode "L" or "RGB", or "LA" or "RGBA" with opacity; clip values to black and white.

    Args:
      deep: the image.
      requested_white: as in :func:`models.features.white_level.select_white`.

    Returns:
      The image, and notes for users.
    """
    white, notes = select_white(deep.depth, requested_white)
    flat = deep.samples.reshape(-1)
    eight_bits, non_finite, above, below = np.empty(flat.size, np.uint8), 0, 0, 0
    for start in range(0, flat.size, BLOCK_SAMPLES):
        x = flat[start : start + BLOCK_SAMPLES].astype(np.float64) / white
        invalid = ~np.isfinite(x)
        x[invalid] = 0
        non_finite += invalid.sum()
        above, below = above + (x > 1 + 0.5 / 255).sum(), below + (x < -0.5 / 255).sum()
        x = np.clip(x, 0, 1)
        x = np.where(invalid, 0, 1 - x if deep.inverted else x)
        eight_bits[start : start + BLOCK_SAMPLES] = np.uint8(x * 255 + 0.5)
    total = flat.size
    if non_finite:
        notes += (f"{non_finite} of {total} samples are not a number or infinite: read as black",)
    if above:
        notes += (f"brighter than white={white:g}: {100 * above / total:.2g} % of the samples are clipped",)
    if below:
        notes += (f"below 0: {100 * below / total:.2g} % of the samples are clipped",)
    picture = PIL.Image.fromarray(eight_bits.reshape(deep.samples.shape))
    if deep.alpha is not None:
        opaque = white if 0 < deep.alpha.max() <= white else 65535.0
        picture.putalpha(PIL.Image.fromarray(np.uint8(np.clip(deep.alpha / opaque, 0, 1) * 255 + 0.5)))
    return picture, notes
