"""Picture files to pixels of one size, and pixels to the [-1, 1] that networks see and back."""

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
from models.features import colour, deep_samples, picture_file, white_level
from models.features.white_level import Depth

SUFFIXES = picture_file.SUFFIXES  # endings, in small letters, of the files that can be read

STEP = 4  # networks halve a picture twice


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What every picture is brought to."""

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
            if size < 8 or size % STEP:
                raise UserError(f"{name}={size}; wanted a multiple of {STEP}, at least 8; near it: {_step(size)}")
        if self.channels not in (1, 3):
            raise UserError(f"channels={self.channels}; wanted 1 (grey) or 3 (RGB)")
        if not 0 <= self.white < math.inf:
            raise UserError(f"white={self.white}; wanted the value of white, such as 4095, or 0 to find it by file")


def _step(size: float) -> int:
    return max(8, STEP * round(size / STEP))


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a picture file says of itself.

    Attributes:
      height: of the upright picture.
      width: of the upright picture.
      channels: 1 or 3.
      depth: of its samples, where they have more than 8 bits.
    """

    height: int
    width: int
    channels: int
    depth: Depth | None = None


def probe(file: str | BinaryIO) -> Probe:
    """Size, channels and depth of a picture file; pixels are decoded of deep pictures only.

    Raises:
      UserError: not a picture.
    """
    with _within_memory(), picture_file.opened(file) as picture:
        height, width = picture_file.upright_size(picture, file)
        if deep_samples.is_deep(picture):
            grey = deep_samples.is_grey(picture)
            return Probe(height, width, 1 if grey else 3, deep_samples.read(picture, file).depth)
        return Probe(height, width, 1 if colour.is_grey(picture) else 3)


def suggested_spec(probes: Iterable[Probe], *, ceiling: int = 256) -> ImageSpec:
    """The spec for pictures of these: their commonest size, within reason, and the white that they share.

    >>> suggested_spec([Probe(28, 28, 1), Probe(28, 28, 1), Probe(600, 300, 3)])
    ImageSpec(height=28, width=28, channels=3, white=0.0)
    """
    probes = list(probes)
    height, width = collections.Counter((p.height, p.width) for p in probes).most_common(1)[0][0]
    shrink = min(1.0, ceiling / max(height, width))
    return ImageSpec(
        height=_step(height * shrink),
        width=_step(width * shrink),
        channels=max(p.channels for p in probes),
        white=white_level.common_white(p.depth for p in probes if p.depth),
    )


def read(file: str | BinaryIO, spec: ImageSpec) -> np.ndarray:
    """A picture file as uint8 `[height, width, channels]`; see :func:`read_with_notes`."""
    return read_with_notes(file, spec)[0]


def read_with_notes(file: str | BinaryIO, spec: ImageSpec) -> tuple[np.ndarray, tuple[str, ...]]:
    """A picture file as uint8 `[height, width, channels]`, and what was unusual about it.

    Honours the camera's orientation, follows an embedded colour profile to sRGB, lays transparency over white, brings
    deeper samples to 8 bits by the value of white, takes the first frame of an animation, and resizes with an
    antialiasing filter (Lanczos).

    Args:
      file: a path or a seekable binary file in any format that `SUFFIXES` names.
      spec: the wanted size and channels, and the value of white.

    Returns:
      The pixels, and sentences for people: what was unusual and what was made of it.

    Raises:
      UserError: not a picture, too large, damaged, or cut short.
    """
    with _within_memory(), picture_file.opened(file) as picture:
        if deep_samples.is_deep(picture):
            eight_bits, notes = deep_samples.to_eight_bits(deep_samples.read(picture, file), spec.white)
            kept = ("icc_profile", "gamma", "srgb")
            eight_bits.info |= {name: picture.info[name] for name in kept if name in picture.info}
        else:
            picture_file.decode(picture)
            eight_bits, notes = picture, ()
        flat, colour_notes = colour.flatten(eight_bits)
        flat, turn_notes = _upright(flat.convert("L" if spec.channels == 1 else "RGB"), picture, file)
        notes += colour_notes + turn_notes
        if (frames := picture_file.frames(picture, file)) > 1:
            notes += (f"the first of {frames} frames is taken",)
        resized = flat.resize((spec.width, spec.height), PIL.Image.Resampling.LANCZOS)
        return np.asarray(resized, np.uint8).reshape(spec.height, spec.width, spec.channels), notes


@contextlib.contextmanager
def _within_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise UserError("not readable as a picture: it does not fit into memory; make it smaller") from None


def _upright(
    flat: PIL.Image.Image, picture: PIL.Image.Image, file: str | BinaryIO
) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """Pixels turned as the decoded file that they are of wants it, and a note where that cannot be known."""
    try:
        turn = picture_file.UPRIGHT.get(picture_file.orientation(picture, file))
    except UserError:
        return flat, ("its EXIF block cannot be read: it is taken to be upright",)
    return flat if turn is None else flat.transpose(turn), ()


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
