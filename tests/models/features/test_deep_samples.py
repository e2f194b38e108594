"""Pictures of more than 8 bits: which value is white, decided for a corpus, and nothing of it in silence."""

import io

import handmade
import numpy as np
import PIL.Image
import preprocessing
import pytest

from models.features import image, white_level
from models.features.image import ImageSpec
from models.features.white_level import Depth
from pipelines import config
from pipelines.data import domains, front_end, work_rows

RAMP = np.linspace(0, 1, 24 * 32).reshape(24, 32)
WANTED = np.uint8(RAMP * 255 + 0.5)[..., None]


def spec(white=0.0, channels=1):
    return ImageSpec(height=24, width=32, channels=channels, white=white)


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, format=kind, **options)
    file.seek(0)
    return file


def through(file):
    """What preprocessing makes of a corpus of one file."""
    found = image.suggested_spec([image.probe(file)])
    return image.read_with_notes(file, spec(found.white, found.channels))


# ------------------------------------------------------------------ which value is white


def colours(pixels, alpha=None):
    planes = [pixels] * 3 + ([] if alpha is None else [np.full_like(pixels, alpha)])
    return np.stack(planes, axis=-1)


WAYS = {
    "PNG": encoded,
    "TIFF": lambda pixels: encoded(pixels, "TIFF"),
    "TIFF, LZW": lambda pixels: encoded(pixels, "TIFF", compression="tiff_lzw"),
    "PNG, RGB": lambda pixels: handmade.png(colours(pixels)),
    "PNG, RGBA": lambda pixels: handmade.png(colours(pixels, 65535)),
    "PNG, grey and alpha": lambda pixels: handmade.png(np.stack([pixels, np.full_like(pixels, 65535)], -1)),
    "TIFF, RGB": lambda pixels: handmade.tiff(colours(pixels), bits=16, channels=3, photometric=2),
    "TIFF, RGBA": lambda pixels: handmade.tiff(
        colours(pixels, pixels.max()), bits=16, channels=4, photometric=2, tags={338: [2]}
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_bits_that_lie_in_sixteen_fill_the_range(bits, way):
    found, notes = through(WAYS[way](np.uint16(RAMP * (2**bits - 1))))
    np.testing.assert_allclose(found, np.broadcast_to(WANTED, found.shape), atol=2)
    assert bool(notes) == (bits < 16) and all(f"white is {2**bits - 1}" in note for note in notes)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1.004, 1e30, -3.0])
@pytest.mark.parametrize("scale", [1.0, 255.0, 65535.0])
@pytest.mark.parametrize("count", [1, 5])
def test_odd_pixels_of_real_numbers_set_no_scale_and_are_said(odd, scale, count):
    pixels = np.float32(RAMP * scale)
    pixels[5, 5 : 5 + count] = odd * scale
    found, notes = through(encoded(pixels, "TIFF"))
    good = np.ones(RAMP.shape, bool)
    good[5, 5 : 5 + count] = False
    np.testing.assert_allclose(found[good], WANTED[good], atol=1)
    assert any(("clipped" if np.isfinite(odd) else f"{count} of 768 samples are not a number") in n for n in notes)


@pytest.mark.parametrize("whole", ["<u2", ">u2", "<i4"])
def test_a_hot_pixel_of_whole_numbers_sets_no_scale(whole):
    pixels = np.uint16(RAMP * 4095)
    pixels[3, 3] = 65535
    if whole == "<i4":
        file = encoded(pixels.astype(np.int32), "TIFF")
    else:
        file = encoded(pixels.astype(whole), "TIFF")
    found, notes = through(file)
    np.testing.assert_allclose(np.delete(found, 99), np.delete(WANTED, 99), atol=1)
    assert any("clipped" in note for note in notes)


@pytest.mark.parametrize("white", [1000.0, 4095.0, 65535.0])
def test_a_white_that_is_asked_for_is_used(white):
    file = encoded(np.uint16(RAMP * 4095))
    found, notes = image.read_with_notes(file, spec(white))
    np.testing.assert_allclose(found, np.clip(RAMP * 4095 / white, 0, 1)[..., None] * 255, atol=1)
    assert any(note.startswith(f"brighter than white={white:g}: 76 %") for note in notes) == (white == 1000)


def test_a_model_reads_a_dark_file_as_dark_by_the_white_of_its_corpus():
    corpus = [image.probe(encoded(np.uint16(RAMP * top))) for top in (900, 4000, 2000)]
    found = image.suggested_spec(corpus)
    assert found.white == 4095
    dark = image.read(encoded(np.uint16(RAMP * 900)), spec(found.white))
    np.testing.assert_allclose(dark, RAMP[..., None] * 900 / 4095 * 255, atol=1)


@pytest.mark.parametrize(
    ("pixels", "white"), [(np.uint16(RAMP * 900), 0.0), (np.uint16(RAMP * 900), 65535.0), (np.float32(RAMP), 4095.0)]
)
def test_a_picture_far_below_white_is_said_to_be_dark(pixels, white):
    found, notes = image.read_with_notes(encoded(pixels, "TIFF"), spec(white))
    assert found.max() < 255 / 16 and len(notes) == 1 and "read as dark; if another is meant, set white" in notes[0]


def silent(kind, *levels):
    return [Depth(kind, 0.0, level) for level in levels]


@pytest.mark.parametrize(
    ("depths", "white"),
    [
        (silent("16-bit", 900, 4000), 4095),
        (silent("16-bit", 900, 40000), 65535),
        (silent("16-bit", *[4000] * 39, 60000), 4095),
        (silent("16-bit", *[4000] * 3, 60000), 65535),
        (silent("float", 0.2, 1.004, 0.9), 1),
        (silent("float", 0.2, 250.0), 255),
        (silent("float", 0.9) + silent("16-bit", 4000), 0),
        ([Depth("16-bit", 4095.0, 900.0), Depth("16-bit", 4095.0, 4000.0)], 4095),
        ([Depth("16-bit", 4095.0, 900.0)] + silent("16-bit", 60000), 65535),
        (silent("16-bit", 0.0), 0),
        ([], 0),
    ],
    ids=str,
)
def test_white_is_decided_by_all_files_that_do_not_say_it(depths, white):
    assert white_level.common_white(depths) == white


def test_a_corpus_is_read_by_one_white_and_its_manifest_says_what_was_odd(tmp_path):
    for name, top in (("a", 900), ("b", 4000)):
        (tmp_path / name).mkdir()
        PIL.Image.fromarray(np.uint16(RAMP * top)).save(tmp_path / name / "0.png")
    made = domains.read_domains([f"{name}={tmp_path}/{name}" for name in "ab"])
    found = front_end.infer_spec("image", made, [])
    assert found == spec(4095.0) and front_end.infer_spec("image", made, ["white=1000"]).white == 1000
    row = next(work_rows.work_rows(made, "image", (0.0, 0.0), split_by="file", seed=0))
    with open(row["path"], "rb") as file:
        ((source, *_),) = preprocessing.survey_file(file, row, found, (0.0, 0.0))
    assert source.notes == ("16-bit samples reach 898: white is 4095",)


def test_front_ends_written_before_there_was_a_white_still_load():
    old = {"height": 24, "width": 32, "channels": 1}
    assert config.from_json(ImageSpec, old) == spec(0.0)


def test_pictures_of_eight_bits_leave_white_open():
    assert image.suggested_spec([image.probe(encoded(WANTED[..., 0]))]).white == 0


# ------------------------------------------------------------------ what a file says itself


@pytest.mark.parametrize("asked", [0.0, 1.0, 4095.0, 65535.0])
@pytest.mark.parametrize("kind", ["JPEG2000", "PPM"])
def test_formats_that_fix_white_keep_it_whatever_is_asked(kind, asked):
    found, notes = image.read_with_notes(encoded(np.uint16(RAMP * 65535), kind), spec(asked))
    np.testing.assert_allclose(found, WANTED, atol=1)
    assert bool(notes) == (asked not in (0.0, 65535.0)) and all("its file says" in note for note in notes)


def test_a_pnm_of_ten_bits_states_its_white():
    values = np.round(RAMP * 1023).astype(">u2")
    found, _ = through(io.BytesIO(b"P5 32 24 1023\n" + values.tobytes()))
    np.testing.assert_allclose(found, WANTED, atol=1)


@pytest.mark.parametrize("top", [4095, 200])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_significant_bits_of_a_png_are_followed_scaled_or_not(channels, scaled, top):
    twelve = np.stack([np.uint16(RAMP * top)] * channels, axis=-1)
    twelve = twelve << 4 if scaled else twelve
    said = b"\x0c" * channels
    if channels in (2, 4):
        twelve[..., -1], said = 65535, said[:-1] + b"\x10"
    file = handmade.png(twelve, handmade.chunk(b"sBIT", said))
    assert image.probe(file).depth.stated == (65535 if scaled else 4095)
    np.testing.assert_allclose(image.read(file, spec()), RAMP[..., None] * top / 4095 * 255, atol=1)


@pytest.mark.parametrize(("most", "stated"), [(4095, 4095), (1023, 1023), (3000, 0), (65535, 0)])
def test_the_largest_sample_by_a_tiff_counts_where_it_is_all_of_some_bits(most, stated):
    file = handmade.tiff(np.uint16(RAMP * 900), bits=16, tags={281: [most]})
    assert image.probe(file).depth.stated == stated


def test_twelve_packed_bits_are_twelve_bits():
    pairs = np.uint32(RAMP * 900).reshape(24, 16, 2)
    both = pairs[..., 0] << 12 | pairs[..., 1]
    packed = np.uint8(np.stack([both >> 16, both >> 8 & 255, both & 255], -1))
    found, _ = through(handmade.tiff(packed, bits=12, width=32, height=24))
    np.testing.assert_allclose(found, RAMP[..., None] * 900 / 4095 * 255, atol=1)


# ------------------------------------------------------------------ other samples


@pytest.mark.parametrize(
    ("samples", "form"),
    [
        (np.uint16((1 - RAMP) * 65535), {"bits": 16, "photometric": 0}),
        (np.float32(1 - RAMP), {"bits": 32, "photometric": 0, "sample_format": 3}),
        (np.int8(RAMP * 127), {"bits": 8, "sample_format": 2}),
        (np.int16(RAMP * 32767), {"bits": 16, "sample_format": 2}),
        (np.uint32(RAMP * (2**32 - 1)), {"bits": 32}),
        (np.int32(RAMP * (2**31 - 1)), {"bits": 32, "sample_format": 2}),
    ],
    ids=["16 bits, 0 is white", "real, 0 is white", "signed 8", "signed 16", "unsigned 32", "signed 32"],
)
def test_samples_of_every_kind_keep_their_brightness(samples, form):
    found, _ = through(handmade.tiff(samples, **form))
    np.testing.assert_allclose(found, WANTED, atol=2)


def test_values_below_zero_are_black_and_said():
    found, notes = through(handmade.tiff(np.int16((2 * RAMP - 1) * 32767), bits=16, sample_format=2))
    np.testing.assert_allclose(found, np.clip(2 * RAMP - 1, 0, 1)[..., None] * 255, atol=2)
    assert any(note.startswith("below 0: 49 %") or note.startswith("below 0: 50 %") for note in notes)


def test_planes_of_sixteen_bits_are_refused_and_not_read_as_bytes():
    planes = np.stack([np.uint16(RAMP * 65535)] * 3)
    file = handmade.tiff(planes, bits=16, strips=3, channels=3, photometric=2, planar=2, width=32, height=24)
    with pytest.raises(ValueError, match="separate planes; save them interleaved"):
        image.read(file, spec())


def test_a_picture_of_nothing_but_nan_is_black_and_said():
    found, notes = through(encoded(np.full((24, 32), np.nan, np.float32), "TIFF"))
    assert not found.any() and "768 of 768 samples are not a number or infinite: read as black" in notes


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_colour_of_sixteen_bits_becomes_white(channels):
    pixels = np.full((24, 32, channels), 30000, np.uint16)
    pixels[:, 16:] = 1000
    file = handmade.png(pixels, handmade.chunk(b"tRNS", (1000).to_bytes(2, "big") * channels))
    found = image.read(file, spec(channels=channels))
    assert (found[:, 18:] == 255).all() and abs(int(found[12, 5, 0]) - 117) <= 1
