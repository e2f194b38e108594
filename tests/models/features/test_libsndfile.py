"""The decoder of libsndfile: parts of joined files, and containers whose encoding it does not know."""

import io

import numpy as np
import pytest
import soundfile

from models.errors import UserError
from models.features import libsndfile


def flac(rate_hz, samples=1000):
    soundfile.write(file := io.BytesIO(), np.linspace(-0.5, 0.5, samples), rate_hz, format="FLAC")
    return file.getvalue()


def test_each_of_joined_files_is_a_part_in_blocks_of_the_requested_size():
    file = io.BytesIO(flac(8000) + flac(16000))
    sizes = [(part.rate_hz, part.channels, list(map(len, part.blocks))) for part in libsndfile.parts(file, "", 600)]
    assert sizes == [(8000, 1, [600, 400]), (16000, 1, [600, 400])]
    assert libsndfile.stated_seconds(file) == 1000 / 8000 + 1000 / 16000
    assert libsndfile.read_format(file) == (8000, 1)


def test_a_path_is_read_as_the_open_file(tmp_path):
    (tmp_path / "x.flac").write_bytes(flac(8000))
    with open(tmp_path / "x.flac", "rb") as file:
        for path in ("", str(tmp_path / "x.flac")):
            assert libsndfile.read_format(file, path) == (8000, 1)
            assert [sum(map(len, part.blocks)) for part in libsndfile.parts(file, path, 600)] == [1000]


def test_errors_of_the_library_are_for_users():
    for look in (
        libsndfile.read_format,
        libsndfile.stated_seconds,
        lambda file: list(libsndfile.parts(file, "", 1)),
    ):
        with pytest.raises(UserError, match="not readable as audio: Format not recognised"):
            look(io.BytesIO(b"no recording, whatever its name"))


def test_only_an_unknown_encoding_of_a_known_container_is_left_to_another_decoder():
    soundfile.write(file := io.BytesIO(), np.zeros(1000), 8000, format="CAF")
    content = file.getvalue()
    assert not libsndfile.lacks_encoding(file) and not libsndfile.lacks_encoding(io.BytesIO(b"none"))
    assert libsndfile.lacks_encoding(io.BytesIO(content.replace(b"lpcm", b"aac ", 1)))
