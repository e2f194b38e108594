"""Picture files to pixels of one size, and pixels to the [-1, 1] that networks see and back."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
import PIL.Image
import PIL.ImageOps

from models.errors import UserError

STEP = 4  # networks halve a picture twice


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What every picture is brought to.

    Attributes:
      height: pixels, a multiple of 4.
      width: pixels, a multiple of 4.
      channels: 1 (grey) or 3 (RGB).
    """

    height: int = 64
    width: int = 64
    channels: int = 3

    def __post_init__(self):
        for name in ("height", "width"):
            size = getattr(self, name)
            if size < 8 or size % STEP:
                raise UserError(f"{name}={size}; wanted a multiple of {STEP}, at least 8; near it: {_step(size)}")
        if self.channels not in (1, 3):
            raise UserError(f"channels={self.channels}; wanted 1 (grey) or 3 (RGB)")


def _step(size: float) -> int:
    return max(8, STEP * round(size / STEP))


def probe(file: str | BinaryIO) -> tuple[int, int, int]:
    """Height, width and channels (1 or 3) of a picture file, without decoding its pixels.

    Raises:
      UserError: not a picture.
    """
    with _open(file) as picture:
        return picture.height, picture.width, 1 if picture.mode in ("1", "L", "LA") or _deep(picture) else 3


def suggested_spec(sizes: Iterable[tuple[int, int, int]], *, ceiling: int = 256) -> ImageSpec:
    """The spec for pictures of these (height, width, channels): their commonest size, within reason.

    >>> suggested_spec([(28, 28, 1), (28, 28, 1), (600, 300, 3)])
    ImageSpec(height=28, width=28, channels=3)
    """
    sizes = list(sizes)
    height, width = collections.Counter((h, w) for h, w, _ in sizes).most_common(1)[0][0]
    shrink = min(1.0, ceiling / max(height, width))
    return ImageSpec(height=_step(height * shrink), width=_step(width * shrink), channels=max(c for *_, c in sizes))


def _open(file: str | BinaryIO) -> PIL.Image.Image:
    try:
        return PIL.Image.open(file)
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"not readable as a picture: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return "its format is not known" if isinstance(error, PIL.UnidentifiedImageError) else str(error)


def read(file: str | BinaryIO, spec: ImageSpec) -> np.ndarray:
    """A picture file as uint8 `[height, width, channels]`.

    Honours the camera's orientation, lays transparency over white, brings 16 bits to 8, takes the
    first frame of a film, and resizes with an antialiasing filter (Lanczos).

    Args:
      file: a path or a seekable binary file in any format that Pillow reads.
      spec: the wanted size and channels.

    Raises:
      UserError: not a picture, or cut short.
    """
    with _open(file) as picture:
        try:
            upright = PIL.ImageOps.exif_transpose(picture)
            flat = _flatten(upright).convert("L" if spec.channels == 1 else "RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"not readable as a picture: {error}") from None
    resized = flat.resize((spec.width, spec.height), PIL.Image.Resampling.LANCZOS)
    return np.asarray(resized, np.uint8).reshape(spec.height, spec.width, spec.channels)


def _deep(picture: PIL.Image.Image) -> bool:
    return picture.mode.startswith(("I", "F"))  # grey of 16 bits in either order of bytes, 32, or real


def _flatten(picture: PIL.Image.Image) -> PIL.Image.Image:
    if _deep(picture):
        x = np.asarray(picture, np.float64)
        top = 65535.0 if picture.mode.startswith("I;16") or x.max() > 255 else 255.0
        if picture.mode.startswith("F") and x.max() <= 1:  # as programs that work in real numbers write them
            top = 1.0
        return PIL.Image.fromarray(np.uint8(np.clip(x / top, 0, 1) * 255 + 0.5))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
    return picture


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels to float32 in [-1, 1].

    >>> to_unit(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_pixels(unit: np.ndarray) -> np.ndarray:
    """The inverse of :func:`to_unit`: clips to [-1, 1], rounds to uint8."""
    return np.uint8(np.clip(np.rint((np.asarray(unit, np.float32) + 1) * 127.5), 0, 255))


def write(file: str | BinaryIO, pixels: np.ndarray) -> None:
    """Writes uint8 `[height, width, channels]` as PNG."""
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, format="PNG")
