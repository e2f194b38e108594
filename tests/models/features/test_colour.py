"""Colour profiles, colour spaces, palettes and transparency: the same colours, however a file keeps them."""

import io

import handmade
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from models.features import colour, image
from models.features.image import ImageSpec

RGB, GREY = ImageSpec(height=16, width=24), ImageSpec(height=16, width=24, channels=1)
COLOURS = [(200, 60, 40), (20, 180, 90), (90, 90, 90), (250, 240, 200), (30, 40, 160), (0, 0, 0), (255, 255, 255)]


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    file.seek(0)
    return file


def plain(value, mode="RGB"):
    return PIL.Image.new(mode, (24, 16), value)


def centre(file, spec=RGB):
    return image.read(file, spec)[8, 12]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("primaries", [handmade.ADOBE_RGB, handmade.DISPLAY_P3], ids=["adobe", "p3"])
@pytest.mark.parametrize("rgb", COLOURS, ids=str)
def test_colours_of_other_primaries_are_brought_to_srgb(rgb, primaries, kind):
    profile = handmade.rgb_profile(primaries, 2.2)
    xyz = primaries @ (np.array(rgb) / 255) ** 2.2
    wanted = handmade.linear_to_srgb(np.linalg.solve(handmade.SRGB, xyz))
    file = encoded(plain(rgb), kind, icc_profile=profile, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_allclose(centre(file), wanted, atol=6 if kind == "JPEG" else 3)


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("value", [0, 40, 128, 220, 255])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_greys_of_another_gamma_are_brought_to_srgb(mode, value, spec):
    profile = handmade.grey_profile(1.0)
    picture = PIL.Image.fromarray(np.full((16, 24), 257 * value, np.uint16)) if mode == "I;16" else plain(value, "L")
    picture = picture.convert("LA") if mode == "LA" else picture
    file = encoded(picture, icc_profile=profile)
    assert image.probe(file).channels == 1
    wanted = handmade.linear_to_srgb(np.array(value / 255))
    np.testing.assert_allclose(centre(file, spec), np.full(spec.channels, wanted), atol=2)


def test_an_srgb_profile_changes_nothing(rng):
    pixels = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    file = encoded(PIL.Image.fromarray(pixels), icc_profile=profile)
    np.testing.assert_array_equal(image.read(file, RGB), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_read_by_their_profile(kind):
    profile = handmade.cmyk_profile(lambda c, m, y, k: 0 if k else 60 if c else 100)  # yellow is none
    for inks, lightness in (((0, 0, 0, 0), 100), ((0, 0, 255, 0), 100), ((255, 0, 255, 0), 60), ((0, 0, 0, 255), 0)):
        file = encoded(plain(inks, "CMYK"), kind, icc_profile=profile)
        assert image.probe(file).channels == 3
        y = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3  # CIE 1976
        np.testing.assert_allclose(centre(file), np.full(3, handmade.linear_to_srgb(np.array(y))), atol=4)


@pytest.mark.parametrize(
    "profile",
    [b"no profile", handmade.grey_profile(1.8), handmade.rgb_profile(handmade.ADOBE_RGB, 2.2)[:200]],
    ids=["junk", "of greys", "cut short"],
)
def test_a_profile_that_cannot_be_used_is_ignored_and_said(profile, rng):
    pixels = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    found, notes = image.read_with_notes(encoded(PIL.Image.fromarray(pixels), icc_profile=profile), RGB)
    np.testing.assert_array_equal(found, pixels)
    assert len(notes) == 1 and "colour profile cannot be used" in notes[0]


@pytest.mark.parametrize(("gamma", "changed"), [(1.0, True), (1 / 1.8, True), (0.45455, False), (1 / 2.2, False)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_gamma_of_a_png_is_followed_where_it_has_no_profile(channels, gamma, changed):
    pixels = np.full((16, 24, channels), 128 * 257, np.uint16)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    block = handmade.chunk(b"gAMA", round(gamma * 100000).to_bytes(4, "big"))
    wanted = handmade.linear_to_srgb(np.array((128 / 255) ** (1 / gamma))) if changed else 128
    np.testing.assert_allclose(centre(handmade.png(pixels, block)), np.full(3, wanted), atol=1)
    said = block + handmade.chunk(b"sRGB", b"\0")
    np.testing.assert_allclose(centre(handmade.png(pixels, said)), [128] * 3, atol=1)


def test_a_gamma_that_cannot_be_meant_is_ignored_and_said():
    file = handmade.png(np.full((16, 24, 3), 128 * 257, np.uint16), handmade.chunk(b"gAMA", b"\0\0\0\1"))
    found, notes = image.read_with_notes(file, RGB)
    assert (found == 128).all() and "gamma of 1e-05 cannot be meant" in notes[0]


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]


@pytest.mark.parametrize("mode", MODES)
def test_all_modes_of_pillow_become_grey_or_rgb(mode):
    picture = PIL.Image.new("RGB", (24, 16), "white")
    if mode == "LAB":
        picture = PIL.Image.frombytes("LAB", (24, 16), bytes([255, 0, 0]) * 24 * 16)
    for step in {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"], "LAB": []}.get(mode, [mode]):
        picture = picture.convert(step)
    assert picture.mode == mode
    flat, notes = colour.flatten(picture)
    assert flat.mode == ("L" if mode in ("1", "L", "LA", "La") else "RGB") and not notes
    assert np.asarray(flat).min() >= 254


@pytest.mark.parametrize("rgb", COLOURS, ids=str)
def test_lab_pictures_keep_their_colours(rgb):
    lab, srgb = PIL.ImageCms.createProfile("LAB"), PIL.ImageCms.createProfile("sRGB")
    picture = PIL.ImageCms.profileToProfile(plain(rgb), srgb, lab, outputMode="LAB")
    np.testing.assert_allclose(centre(encoded(picture, "TIFF")), rgb, atol=6)


def test_transparency_keeps_its_place_under_a_profile():
    picture = plain((200, 60, 40, 255), "RGBA")
    picture.paste((0, 0, 0, 0), (12, 0, 24, 16))
    found = image.read(encoded(picture, icc_profile=handmade.rgb_profile(handmade.ADOBE_RGB, 2.2)), RGB)
    assert (found[:, 14:] == 255).all() and (found[8, 4] != 255).any()
