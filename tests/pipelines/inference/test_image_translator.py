"""Translation of images at their own size."""

import io

import numpy as np
import PIL.Image
import pytest

from models.features.image import ImageSpec
from pipelines.inference.image_translator import SIZES, ImageTranslator

SPEC = ImageSpec(height=16, width=24)


def picture(height, width):
    x = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    PIL.Image.fromarray(x).save(file := io.BytesIO(), format="PNG")
    return file, x


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(16, 24), (7, 9), (40, 100), (33, 24)])
def test_a_model_that_changes_nothing_gives_the_source(size, shape):
    shapes = []

    def unchanged(x):
        shapes.append(x.shape)
        return x

    file, x = picture(*shape)
    made = []
    facts = ImageTranslator(SPEC, unchanged, size).translate(file, lambda pixels, facts: made.append(pixels))
    assert set(shapes) == {(1, 16, 24, 3)}
    assert (facts["height"], facts["width"]) == made[0].shape[:2] == ((16, 24) if size == "records" else shape)
    if size != "records":
        np.testing.assert_allclose(np.float32(made[0]), x, atol=1)


def test_tiles_fade_into_each_other():
    levels = iter(np.linspace(-0.5, 0.5, 100))
    file, _ = picture(16, 240)
    made = []
    translator = ImageTranslator(SPEC, lambda x: np.zeros_like(x) + np.float32(next(levels)), "tiles")
    translator.translate(file, lambda pixels, facts: made.append(pixels))
    row = np.float32(made[0][8, :, 0])
    assert np.ptp(row) > 10 and np.abs(np.diff(row)).max() <= 1
