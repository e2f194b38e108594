"""Picture files to pixels of one size, and pixels to and from the range [-1, 1] of networks."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import PIL.Image

from models.config_fields import option
from models.errors import UserError
from models.features import colour, deep_samples, image_file, white_level
from models.features.white_level import Depth

SUFFIXES = image_file.SUFFIXES  # readable file name extensions, lower case

SIZE_MULTIPLE = 4  # networks downsample by two twice


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What every image is brought to."""

    height: int = option(64, "height in pixels; a multiple of 4")
    width: int = option(64, "width in pixels; a multiple of 4")
    channels: int = option(3, "colour channels: 1 (grey) or 3 (RGB)")
    white: float = option(
        0.0,
        "white level of images with more than 8 bits or real-valued samples that do not state it, such as 4095 for "
        "12 bits in 16; 0: 65535 for 16 bits, otherwise from the brightest samples of each file",
    )

    def __post_init__(self):
        for name in ("height", "width"):
            size = getattr(self, name)
            if size < 8 or size % SIZE_MULTIPLE:
                nearest = _round_size(size)
                raise UserError(f"{name}={size}; wanted a multiple of {SIZE_MULTIPLE}, at least 8; near it: {nearest}")
        if self.channels not in (1, 3):
            raise UserError(f"channels={self.channels}; wanted 1 (grey) or 3 (RGB)")
        if not 0 <= self.white < math.inf:
            raise UserError(f"white={self.white}; wanted the value of white, such as 4095, or 0 to estimate it")


def _round_size(size: float) -> int:
    return max(8, SIZE_MULTIPLE * round(size / SIZE_MULTIPLE))


@dataclasses.dataclass(frozen=True)
class Probe:
    """Properties of an image file.

    Attributes:
      height: height of the upright image in pixels.
      width: width of the upright image in pixels.
      channels: 1 or 3.
      depth: depth of the samples; None for 8 bits.
    """

    height: int
    width: int
    channels: int
    depth: Depth | None = None


def probe(file: str | BinaryIO) -> Probe:
    """Read size, channels and depth of an image file; only deep images are decoded.

    Raises:
      UserError: the file is not an image.
    """
    with _memory_errors(), image_file.open_image(file) as picture:
        height, width = image_file.upright_size(picture, file)
        if deep_samples.is_deep(picture):
            grey = deep_samples.is_grey(picture)
            return Probe(height, width, 1 if grey else 3, deep_samples.read(picture, file).depth)
        return Probe(height, width, 1 if colour.is_grey(picture) else 3)


def suggested_spec(probes: Iterable[Probe], *, ceiling: int = 256) -> ImageSpec:
    """Return the spec for a set of images: their most common size, limited to `ceiling`, and their common white.

    >>> suggested_spec([Probe(28, 28, 1), Probe(28, 28, 1), Probe(600, 300, 3)])
    ImageSpec(height=28, width=28, channels=3, white=0.0)
    """
    probes = list(probes)
    height, width = collections.Counter((p.height, p.width) for p in probes).most_common(1)[0][0]
    scale = min(1.0, ceiling / max(height, width))
    return ImageSpec(
        height=_round_size(height * scale),
        width=_round_size(width * scale),
        channels=max(p.channels for p in probes),
        white=white_level.common_white(p.depth for p in probes if p.depth),
    )


def read(file: str | BinaryIO, spec: ImageSpec) -> np.ndarray:
    """Read an image file as uint8 `[height, width, channels]`; see :func:`read_with_notes`."""
    return read_with_notes(file, spec)[0]


def read_with_notes(file: str | BinaryIO, spec: ImageSpec) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image file as uint8 `[height, width, channels]`, with notes; see :func:`read_upright`.

    It is resized with an antialiasing filter (Lanczos).
    """
    picture, notes = read_upright(file, spec)
    return resize(picture, spec), notes


def read_upright(file: str | BinaryIO, spec: ImageSpec) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """Read an image file at its own size, in mode L or RGB.

    Applies the EXIF orientation, converts an embedded colour profile to sRGB, composites transparency over white,
    scales deeper samples to 8 bits by the value of white, and takes the first frame of an animation.

    Args:
      file: a path or a seekable binary file in any format of `SUFFIXES`.
      spec: the channels, and the value of white.

    Returns:
      The image, and notes for users: what is unusual about the file and how it is handled.

    Raises:
      UserError: the file is not an image, is too large, damaged or truncated.
    """
    with _memory_errors(), image_file.open_image(file) as picture:
        if deep_samples.is_deep(picture):
            eight_bits, notes = deep_samples.to_eight_bits(deep_samples.read(picture, file), spec.white)
            colour_keys = ("icc_profile", "gamma", "srgb")
            eight_bits.info |= {name: picture.info[name] for name in colour_keys if name in picture.info}
        else:
            image_file.decode(picture)
            eight_bits, notes = picture, ()
        flat, colour_notes = colour.flatten(eight_bits)
        flat, orientation_notes = _upright(flat.convert("L" if spec.channels == 1 else "RGB"), picture, file)
        notes += colour_notes + orientation_notes
        if (frames := image_file.count_frames(picture, file)) > 1:
            notes += (f"the first of {frames} frames is taken",)
        flat.load()
        return flat, notes


def resize(picture: PIL.Image.Image, spec: ImageSpec) -> np.ndarray:
    """Resize an image of mode L or RGB (Lanczos); return uint8 `[height, width, channels]` of the spec."""
    with _memory_errors():
        return pixels(picture.resize((spec.width, spec.height), PIL.Image.Resampling.LANCZOS))


def pixels(picture: PIL.Image.Image) -> np.ndarray:
    """Return the pixels of an image of mode L or RGB, uint8 `[height, width, channels]`."""
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, -1)


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    """Convert a MemoryError to a UserError."""
    try:
        yield
    except MemoryError:
        raise UserError("not readable as an image: it does not fit into memory; make it smaller") from None


def _upright(
    flat: PIL.Image.Image, picture: PIL.Image.Image, file: str | BinaryIO
) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """Transpose pixels by the orientation of their file; if it cannot be read, leave them and return a note."""
    try:
        transpose = image_file.UPRIGHT_TRANSPOSE.get(image_file.orientation(picture, file))
    except UserError:
        return flat, ("its EXIF block cannot be read: it is taken to be upright",)
    return flat if transpose is None else flat.transpose(transpose), ()


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 pixels to float32 in [-1, 1].

    >>> to_unit(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_pixels(unit: np.ndarray) -> np.ndarray:
    """Inverse of :func:`to_unit`: clip to [-1, 1] and round to uint8."""
    return np.uint8(np.clip(np.rint((np.asarray(unit, np.float32) + 1) * 127.5), 0, 255))


def write(file: str | BinaryIO, pixels: np.ndarray) -> None:
    """Write uint8 `[height, width, channels]` as PNG."""
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, format="PNG")
