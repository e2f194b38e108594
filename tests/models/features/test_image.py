"""Picture files of any kind to pixels of one size, and pixels to units and back."""

import io

import handmade
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.features import image
from models.features.image import ImageSpec, Probe

RGB, GREY = ImageSpec(height=16, width=24), ImageSpec(height=16, width=24, channels=1)


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    file.seek(0)
    return file


def plain(colour, mode="RGB", size=(24, 16)):
    return PIL.Image.new(mode, size, colour)


def halves(left, right, size=(24, 16)):
    """One colour on the left, another on the right."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2], pixels[:, size[0] // 2 :] = left, right
    return pixels


# ------------------------------------------------------------------ the specification


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 30}, "height=30.*near it: 32"),
        ({"width": 101}, "width=101.*near it: 100"),
        ({"height": 4}, "height=4.*near it: 8"),
        ({"width": 0}, "width=0.*near it: 8"),
        ({"channels": 2}, "channels=2.*wanted 1"),
        ({"channels": 4}, "channels=4.*wanted 1"),
        ({"white": -1.0}, "white=-1.*such as 4095"),
    ],
    ids=str,
)
def test_a_size_that_networks_cannot_halve_is_refused_with_the_nearest(changes, message):
    with pytest.raises(ValueError, match=message):
        ImageSpec(**changes)


sizes = st.builds(Probe, st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([1, 3]))


@laws
@given(sizes=st.lists(sizes, min_size=1, max_size=5), ceiling=st.sampled_from([64, 256]))
def test_the_suggested_spec_is_valid_and_no_larger_than_the_ceiling(sizes, ceiling):
    spec = image.suggested_spec(sizes, ceiling=ceiling)
    assert max(spec.height, spec.width) <= ceiling
    assert spec.channels == max(probe.channels for probe in sizes)


@laws
@given(height=st.integers(2, 64), width=st.integers(2, 64), others=st.lists(sizes, max_size=2, unique=True))
def test_the_commonest_size_is_suggested_where_networks_can_halve_it(height, width, others):
    common = Probe(4 * height, 4 * width, 3)
    spec = image.suggested_spec([*others, common, common])
    assert (spec.height, spec.width) == (common.height, common.width)


PROBED = {("L", "PNG"): 1, ("LA", "PNG"): 1, ("1", "PNG"): 1, ("I;16", "TIFF"): 1, ("I;16B", "TIFF"): 1}
PROBED |= {("RGB", "JPEG"): 3, ("RGBA", "PNG"): 3, ("P", "GIF"): 3, ("CMYK", "JPEG"): 3}


@pytest.mark.parametrize(("mode", "kind"), PROBED)
def test_size_and_channels_are_known_of_every_mode(mode, kind):
    file = encoded(plain(0, mode, size=(30, 17)), kind)
    found = image.probe(file)
    assert found == Probe(17, 30, PROBED[mode, kind], found.depth)
    assert (found.depth is not None) == mode.startswith("I")


# ------------------------------------------------------------------ units


def test_all_pixel_values_survive_the_way_to_units_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    unit = image.to_unit(pixels)
    assert unit.dtype == np.float32 and (unit[0], unit[-1]) == (-1, 1)
    np.testing.assert_allclose(np.diff(unit), 2 / 255, rtol=1e-4)
    np.testing.assert_array_equal(image.to_pixels(unit), pixels)


@laws
@given(unit=st.floats(-100, 100, width=32))
def test_units_become_the_nearest_pixel_and_are_clipped(unit):
    (found,) = image.to_unit(image.to_pixels(np.array([unit])))
    assert found == pytest.approx(np.clip(unit, -1, 1), abs=1 / 255 + 1e-6)


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
def test_what_is_written_is_read_back(spec, rng, tmp_path):
    pixels = rng.integers(0, 256, (spec.height, spec.width, spec.channels), dtype=np.uint8)
    image.write(str(tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(image.read(str(tmp_path / "a.png"), spec), pixels)


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (24, 16), (111, 90)], ids=str)
def test_every_format_and_size_is_brought_to_the_spec(kind, size, spec):
    found = image.read(encoded(plain((200, 100, 50), size=size), kind), spec)
    assert found.dtype == np.uint8 and found.shape == (spec.height, spec.width, spec.channels)
    wanted = (200, 100, 50) if spec.channels == 3 else 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=4)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (plain((250, 60, 10, 255), "RGBA"), "PNG"),
        (plain((250, 60, 10)).quantize(8), "PNG"),
        (plain((5, 195, 245, 0), "CMYK"), "TIFF"),
        (plain((5, 195, 245, 0), "CMYK"), "JPEG"),
        (plain((250, 60, 10)).convert("YCbCr"), "JPEG"),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
def test_colours_are_the_same_however_they_are_kept(picture, kind):
    found = image.read(encoded(picture, kind), RGB)
    np.testing.assert_allclose(found, np.broadcast_to([250, 60, 10], found.shape), atol=3)


GREYS = np.linspace(0, 255, 16 * 24).reshape(16, 24)


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize(
    ("mode", "kind", "scale"),
    [
        ("L", "PNG", 1),
        ("L", "JPEG", 1),
        ("I;16", "PNG", 257),
        ("I;16", "TIFF", 257),
        ("I;16", "PPM", 257),
        ("I;16B", "TIFF", 257),
        ("I", "TIFF", 257),
        ("F", "TIFF", 1),
        ("F", "TIFF", 1 / 255),
    ],
)
def test_greys_of_any_depth_become_the_same_eight_bits(mode, kind, scale, spec):
    dtype = {"L": np.uint8, "I;16": "<u2", "I;16B": ">u2", "I": np.int32, "F": np.float32}[mode]
    picture = PIL.Image.frombytes(
        mode, (24, 16), np.asarray(GREYS * scale if mode == "F" else np.rint(GREYS * scale), dtype).tobytes()
    )
    found = image.read(encoded(picture, kind), spec)
    np.testing.assert_allclose(found, np.broadcast_to(GREYS[..., None], found.shape), atol=4 if kind == "JPEG" else 1)


@pytest.mark.parametrize("brightest", [0, 100, 255, 256, 5000, 65535])
def test_a_dark_picture_of_sixteen_bits_stays_dark(brightest):
    deep = PIL.Image.fromarray(np.full((16, 24), brightest, np.uint16))
    found = image.read(encoded(deep), GREY)
    np.testing.assert_allclose(found, brightest / 257, atol=0.51)


KEPT = {"RGBA": lambda x: x, "LA": lambda x: x.convert("LA"), "P": lambda x: x.quantize(4)}


@pytest.mark.parametrize("mode", KEPT)
def test_transparency_is_laid_over_white(mode):
    picture = plain((0, 0, 0, 255), "RGBA")
    picture.paste((0, 0, 0, 0), (12, 0, 24, 16))
    picture = KEPT[mode](picture)
    assert picture.mode == mode
    found = image.read(encoded(picture), RGB)
    np.testing.assert_array_equal(found, halves(0, 255))


def test_half_transparent_black_over_white_is_grey():
    found = image.read(encoded(plain((0, 0, 0, 128), "RGBA")), RGB)
    np.testing.assert_allclose(found, 127, atol=1)


@pytest.mark.parametrize("orientation", handmade.ORIENTATIONS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pictures_are_turned_upright(orientation, kind, rng):
    upright = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    stored = PIL.Image.fromarray(np.ascontiguousarray(handmade.ORIENTATIONS[orientation](upright)))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(image.read(encoded(stored, kind, exif=exif), RGB), upright)


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
def test_a_checkerboard_too_fine_to_see_becomes_grey(spec):
    board = np.uint8(255 * (np.indices((16 * 16, 16 * 24)).sum(axis=0) % 2))
    found = image.read(encoded(PIL.Image.fromarray(board)), spec)
    np.testing.assert_allclose(found[1:-1, 1:-1], 127.5, atol=3)


def test_enlarging_and_shrinking_keep_things_in_their_place():
    left, right = (250, 10, 10), (10, 10, 250)
    for size in ((6, 4), (24, 16), (240, 160)):
        found = image.read(encoded(PIL.Image.fromarray(halves(left, right, size))), RGB)
        np.testing.assert_allclose(found[:, :7], halves(left, right)[:, :7], atol=12)
        np.testing.assert_allclose(found[:, -7:], halves(left, right)[:, -7:], atol=12)


def test_the_first_frame_of_a_film_is_taken():
    frames = [plain((n * 100, 0, 0)) for n in (1, 2)]
    film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(image.read(film, RGB)[0, 0], [100, 0, 0], atol=2)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("look", [image.probe, lambda path: image.read(path, RGB)], ids=["probe", "read"])
@pytest.mark.parametrize("content", [b"", b"this is no picture, whatever its name says", b"\x89PNG\r\n\x1a\n", None])
def test_what_is_no_picture_is_refused(look, content, tmp_path):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="not readable as an image"):
        look(str(path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_a_picture_cut_short_is_refused(kind, part, rng):
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(PIL.Image.fromarray(pixels), kind).getvalue()
    with pytest.raises(ValueError, match="not readable as an image"):
        image.read(io.BytesIO(content[: int(part * len(content))]), RGB)
