"""Translation of images, at the size of the records or at their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import PIL.Image

from models.features import image, inversion
from models.features.image import ImageSpec

SIZES = ("records", "residual", "tiles")


class ImageTranslator:
    """Translates images.

    Args:
      spec: of the records that the model was trained on.
      translate_fn: function from pixels `[1, height, width, channels]` in [-1, 1] to translated pixels.
      size: of the results. "records": that of the records. The others have the size of their source. "residual": what
        the model changes in the image of the records' size is enlarged and added to the source. "tiles": the source is
        cut into overlapping tiles of the records' size, whose translations are cross-faded; only that is of any use for
        a model that was trained on parts of such images.
    """

    def __init__(self, spec: ImageSpec, translate_fn: Callable[[np.ndarray], np.ndarray], size: str = "records"):
        self.spec, self.translate_fn = spec, translate_fn
        self._translate = {"records": self._resized, "residual": self._residual, "tiles": self._tiles}[size]

    def translate(self, source: BinaryIO, write: Callable) -> dict:
        """Translate an image.

        Args:
          source: binary file, open and seekable.
          write: receives uint8 pixels `[height, width, channels]`, and the entries for `translations.jsonl`.

        Returns:
          The entries.

        Raises:
          UserError: the file cannot be read.
        """
        picture, notes = image.read_upright(source, self.spec)
        pixels = image.to_pixels(self._translate(picture))
        facts = {"height": pixels.shape[0], "width": pixels.shape[1]}
        if notes:
            facts["notes"] = list(notes)
        write(pixels, facts)
        return facts

    def _resized(self, picture: PIL.Image.Image) -> np.ndarray:
        return self.translate_fn(image.to_unit(image.resize(picture, self.spec))[None])[0]

    def _residual(self, picture: PIL.Image.Image) -> np.ndarray:
        small = image.to_unit(image.resize(picture, self.spec))
        change = np.moveaxis(self.translate_fn(small[None])[0] - small, -1, 0)
        bicubic = PIL.Image.Resampling.BICUBIC
        enlarged = [np.asarray(PIL.Image.fromarray(plane).resize(picture.size, bicubic)) for plane in change]
        return image.to_unit(image.pixels(picture)) + np.stack(enlarged, axis=-1)

    def _tiles(self, picture: PIL.Image.Image) -> np.ndarray:
        x, tile = image.to_unit(image.pixels(picture)), (self.spec.height, self.spec.width)
        size = x.shape[:2]
        missing = [(0, max(0, side - length)) for side, length in zip(tile, size, strict=True)]
        x = np.pad(x, [*missing, (0, 0)], mode="edge")
        rows, columns = (_tile_starts(length, side) for side, length in zip(tile, x.shape[:2], strict=True))
        fades = (inversion.fade_in(length // 2) for length in tile)
        weight = np.outer(*(np.concatenate([fade, fade[::-1]]) for fade in fades))[..., None] + np.float32(1e-6)
        total, weights = np.zeros_like(x), np.zeros((*x.shape[:2], 1), np.float32)
        for row in rows:
            for column in columns:
                place = np.s_[row : row + tile[0], column : column + tile[1]]
                total[place] += weight * self.translate_fn(x[place][None])[0]
                weights[place] += weight
        return (total / weights)[: size[0], : size[1]]


def _tile_starts(length: int, tile: int) -> list[int]:
    """First pixels of tiles that overlap by half at least and cover the length.

    >>> _tile_starts(64, 64), _tile_starts(150, 64)
    ([0], [0, 29, 57, 86])
    """
    count = 1 + -(-(length - tile) // (tile // 2))
    return [round(n) for n in np.linspace(0, length - tile, count)]
