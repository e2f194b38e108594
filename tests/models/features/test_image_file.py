"""Picture files: which can be read, which way up they are, and what is refused before it does harm."""

import gc
import io
import time
import tracemalloc
import warnings

import handmade
import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from models.errors import UserError
from models.features import image, image_file
from models.features.image import ImageSpec

RGB = ImageSpec(height=16, width=24)


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    file.seek(0)
    return file


# ------------------------------------------------------------------ endings


@pytest.mark.parametrize(
    "suffix", ".png .jpg .jpeg .jfif .jpe .tif .tiff .webp .gif .bmp .ppm .pgm .jp2 .tga .ico .mpo .avif .psd".split()
)
def test_endings_of_what_pillow_opens_are_known(suffix):
    assert suffix in image.SUFFIXES


@pytest.mark.parametrize("suffix", ".pdf .eps .ps .mpg .mpeg .h5 .hdf .grib .bufr .wmf .emf .iim .palm".split())
def test_endings_of_what_is_no_raster_picture_are_not(suffix):
    assert suffix not in image.SUFFIXES


def test_endings_are_small_letters_once_each():
    assert list(image.SUFFIXES) == sorted({suffix.lower() for suffix in image.SUFFIXES})


def test_postscript_is_not_run_whatever_its_name(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match="unknown file format"):
        image.read(str(path), RGB)


# ------------------------------------------------------------------ which way up

FORMS = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF, LZW": {"compression": "tiff_lzw"},
    "JPEG": {"quality": 95, "subsampling": 0},
    "MPO": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def upright_picture():
    """40 high, 24 wide; every corner another colour."""
    x = np.full((40, 24, 3), 128, np.uint8)
    x[:20, :12], x[:20, 12:], x[20:, :12] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return x


@pytest.mark.parametrize("orientation", handmade.ORIENTATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_probe_and_read_see_the_picture_upright(form, orientation):
    upright = upright_picture()
    stored = PIL.Image.fromarray(np.ascontiguousarray(handmade.ORIENTATIONS[orientation](upright)))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = encoded(stored, form.partition(",")[0], exif=exif, **FORMS[form])
    found = image.probe(file)
    assert (found.height, found.width) == (40, 24)
    pixels = image.read(file, ImageSpec(height=40, width=24))
    np.testing.assert_allclose(pixels[5::10, 4::8], upright[5::10, 4::8], atol=20)


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_exif_block_of_a_png_counts_before_and_after_the_pixels(place):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    block = handmade.chunk(b"eXIf", exif.tobytes()[6:])
    file = handmade.png(np.zeros((24, 40, 3), np.uint16), **{place: block})
    found = image.probe(file)
    assert (found.height, found.width) == (40, 24)


def test_pictures_of_sixteen_bits_are_turned_too():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    upright = np.linspace(0, 65535, 40 * 24).reshape(40, 24).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        file = encoded(PIL.Image.fromarray(np.ascontiguousarray(np.rot90(upright))), kind, exif=exif)
        found = image.read(file, ImageSpec(height=40, width=24, channels=1))
        np.testing.assert_allclose(found[..., 0], upright / 257, atol=1)


def test_a_broken_exif_block_is_said_and_the_picture_kept():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    content = encoded(PIL.Image.fromarray(upright_picture()), "JPEG", exif=exif).getvalue()
    broken = content.replace(b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0XX\0*\0\0\0\x08")
    assert broken != content
    pixels, notes = image.read_with_notes(io.BytesIO(broken), RGB)
    assert pixels.shape == (16, 24, 3) and notes == ("its EXIF block cannot be read: it is taken to be upright",)
    assert image.probe(io.BytesIO(broken)).height == 40


# ------------------------------------------------------------------ frames


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_is_taken_and_the_others_are_said(kind):
    frames = [PIL.Image.new("RGB", (24, 16), (value, 0, 0)) for value in (90, 200, 250)]
    file = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    pixels, notes = image.read_with_notes(file, RGB)
    np.testing.assert_allclose(pixels[8, 12], [90, 0, 0], atol=4)
    assert notes == ("the first of 3 frames is taken",)


def test_an_ordinary_picture_has_no_notes():
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        assert image.read_with_notes(encoded(PIL.Image.new("RGB", (24, 16))), RGB)[1] == (), kind


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("look", [image.probe, lambda file: image.read(file, RGB)], ids=["probe", "read"])
@pytest.mark.parametrize("size", [(16000, 16000), (50000, 50000)], ids=str)
def test_a_small_file_of_a_vast_picture_is_refused_before_memory_is_taken(look, size):
    file = io.BytesIO(handmade.bomb(size[0], 10).getvalue())
    content = bytearray(file.getvalue())
    content[20:24] = size[1].to_bytes(4, "big")  # and the checksum of the header, which is looked at
    header = handmade.chunk(b"IHDR", bytes(content[16:29]))
    content[8 : 8 + len(header)] = header
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="more than 178956970 pixels; make it smaller"):
            look(io.BytesIO(bytes(content)))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_warnings_of_pillow_are_no_errors(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)  # below: a warning; Pillow refuses twice as many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image.read(encoded(PIL.Image.new("RGB", (15, 10))), RGB).shape == (16, 24, 3)


@pytest.mark.parametrize(
    "error",
    [SyntaxError, OSError, IndexError, TypeError, AttributeError, OverflowError, KeyError, EOFError, MemoryError],
)
def test_whatever_a_decoder_raises_is_a_refusal_with_a_reason(monkeypatch, error):
    def fails(picture):
        raise error("what is wrong")

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", fails)
    with pytest.raises(UserError, match="not readable as an image: .*(what is wrong|does not fit into memory)"):
        image.read(encoded(PIL.Image.new("RGB", (24, 16)), "BMP"), RGB)


def test_faults_of_the_program_are_no_refusals(monkeypatch):
    monkeypatch.setattr(image.colour, "flatten", lambda picture: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        image.read(encoded(PIL.Image.new("RGB", (24, 16))), RGB)


CUT = ["JPEG2000", "TGA", "QOI", "PCX", "SGI", "ICO", "DDS", "AVIF", "IM", "PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]


@pytest.mark.parametrize("kind", CUT)
def test_pictures_cut_short_are_refused_in_every_format(kind, rng):
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(PIL.Image.fromarray(pixels), kind).getvalue()
    for part in (0.3, 0.6, 0.8, 0.95):
        with pytest.raises(UserError, match="not readable as an image"):
            image.read(io.BytesIO(content[: int(part * len(content))]), RGB)


def test_a_progressive_jpeg_cut_short_is_refused(rng):
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(PIL.Image.fromarray(pixels), "JPEG", progressive=True).getvalue()
    for part in (0.5, 0.8, 0.97):
        with pytest.raises(UserError, match="truncated"):
            image.read(io.BytesIO(content[: int(part * len(content))]), RGB)


def test_a_tiff_of_which_strips_are_missing_is_refused():
    file = handmade.tiff(np.zeros((16, 24), np.uint8), bits=8, tags={278: [8]})
    with pytest.raises(UserError, match="cut short: 192 of 384 pixels"):
        image.read(file, RGB)


def test_files_are_closed_again(tmp_path):
    path = tmp_path / "a.tif"
    PIL.Image.new("RGB", (24, 16)).save(path)
    image.read(str(path), RGB), image.probe(str(path))
    gc.collect()  # an unclosed file is a warning, and warnings are errors here
    path.unlink()


def test_probing_a_large_png_does_not_decode_it():
    file = handmade.bomb(10000, 10000)
    began = time.monotonic()
    assert image.probe(file) == image.Probe(10000, 10000, 1)
    assert time.monotonic() - began < 0.05
    assert image_file.png_chunks(file).keys() == {b"IHDR", b"IDAT", b"IEND"}
