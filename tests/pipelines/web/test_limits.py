"""Limits of files by their headers and by their content."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import soundfile

from models.features import libsndfile
from pipelines.web.limits import Limits


def flac_with(samples, announced):
    """A FLAC file of `samples` samples at 8 kHz that announces another number."""
    soundfile.write(file := io.BytesIO(), np.zeros(samples), 8000, format="FLAC")
    content = bytearray(file.getvalue())
    content[21:26] = (content[21] & 0xF0, *announced.to_bytes(4, "big"))
    return bytes(content)


def png_header(width, height):
    """A PNG file of a few bytes that announces a size."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    def read(*arguments):
        raise AssertionError("decoded")

    monkeypatch.setattr(libsndfile, "_read_block", read)
    monkeypatch.setattr(PIL.Image.Image, "load", read)


@pytest.mark.parametrize("num_bytes", [2_000_000_000, 1 << 31, 0x7FFFFFFF])
def test_a_recording_that_claims_2_gb_is_refused_by_its_header(nothing_is_decoded, wav_claiming, num_bytes):
    with pytest.raises(ValueError, match=r"by the header, have 2\d{3}.\d MB; at most 200 MB are accepted"):
        Limits().check_content(io.BytesIO(wav_claiming(num_bytes)), "audio")


def test_a_recording_that_claims_hours_is_refused_by_its_header(nothing_is_decoded):
    with pytest.raises(ValueError, match=r"is 100000.0 s long or longer; at most 600 s are accepted \(--max_seconds\)"):
        Limits().check_content(io.BytesIO(flac_with(8000, 800_000_000)), "audio")


def test_a_recording_that_is_longer_than_it_claims_is_decoded_up_to_the_limit(monkeypatch):
    blocks, read = [], libsndfile._read_block
    monkeypatch.setattr(libsndfile, "_read_block", lambda *arguments: blocks.append(1) or read(*arguments))
    with pytest.raises(ValueError, match="at most 10 s are accepted"):
        Limits(max_seconds=10).check_content(io.BytesIO(flac_with(8000 * 300, 8000)), "audio")
    assert len(blocks) == 2  # of 65,536 samples: 8 s each


@pytest.mark.parametrize("name", ["FLAC", "WAV", "OGG"])
def test_a_recording_of_the_limit_is_accepted(name):
    soundfile.write(file := io.BytesIO(), np.zeros(16000), 8000, format=name)
    Limits(max_seconds=2).check_content(file, "audio")
    with pytest.raises(ValueError, match="is 2.0 s long or longer"):
        Limits(max_seconds=1.99).check_content(file, "audio")


def test_a_picture_that_claims_many_pixels_is_refused_by_its_header(nothing_is_decoded):
    with pytest.raises(ValueError, match="10000 x 10000 pixels, 100.0 megapixels; at most 50 are accepted"):
        Limits().check_content(io.BytesIO(png_header(10_000, 10_000)), "image")
    with pytest.raises(ValueError, match="it has more than 178956970 pixels"):
        Limits(max_megapixels=1e6).check_content(io.BytesIO(png_header(60_000, 60_000)), "image")
    Limits(max_megapixels=100).check_content(io.BytesIO(png_header(10_000, 10_000)), "image")


def test_numbers_of_files_are_limited():
    Limits(max_files=3).check_count(3, "x")
    with pytest.raises(ValueError, match="x: more than 3 files"):
        Limits(max_files=3).check_count(4, "x")
