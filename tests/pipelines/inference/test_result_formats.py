"""Formats of results and their provenance."""

import errno
import io

import numpy as np
import PIL.Image
import pytest
import soundfile

from models.errors import UserError
from pipelines.inference import result_formats

ORIGIN = {"hash": "0f", "options": {"target": "naïve"}}


def sound(name, samples=3000, channels=2, rate_hz=16000):
    out = io.BytesIO()
    y = np.random.default_rng(0).uniform(-0.5, 0.5, (samples, channels))
    result_formats.write_sound(out, name, [y[:1000], y[1000:]], y.shape, rate_hz, ORIGIN)
    return out, y


@pytest.mark.parametrize("name", result_formats.SOUND_FORMATS)
def test_sound_and_its_provenance_are_read_back(name):
    out, y = sound(name)
    assert result_formats.read_provenance(out, "audio") == {**ORIGIN, "samples": 3000}
    made, rate_hz = soundfile.read(io.BytesIO(out.getvalue()))
    assert made.shape == y.shape and rate_hz == 16000
    assert np.abs(made - y).mean() < (0.2 if name == "ogg" else 1e-4)


@pytest.mark.parametrize("name", result_formats.SOUND_FORMATS)
@pytest.mark.parametrize("left", [0, 20, 0.5, 0.95])
def test_a_sound_that_is_cut_short_has_no_provenance(name, left):
    out, _ = sound(name)
    content = out.getvalue()
    cut = io.BytesIO(content[: int(left if left > 1 else left * len(content))])
    assert result_formats.read_provenance(cut, "audio") == {}


@pytest.mark.parametrize("name", result_formats.IMAGE_FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_their_provenance_are_read_back(name, channels):
    pixels = np.full((20, 30, channels), 77, np.uint8)
    result_formats.write_image(out := io.BytesIO(), name, pixels, ORIGIN)
    assert result_formats.read_provenance(out, "image") == ORIGIN
    with PIL.Image.open(out) as made:
        np.testing.assert_allclose(np.asarray(made).reshape(pixels.shape), pixels, atol=1)
    assert result_formats.read_provenance(io.BytesIO(out.getvalue()[:-40]), "image") == {}


@pytest.mark.parametrize("kind", ["audio", "image"])
def test_other_files_have_no_provenance(kind):
    assert result_formats.read_provenance(io.BytesIO(b"text"), kind) == {}
    soundfile.write(wav := io.BytesIO(), np.zeros(10), 8000, format="WAV")
    assert result_formats.read_provenance(wav, kind) == {}


def test_channels_that_the_format_does_not_have_are_refused():
    with pytest.raises(UserError, match="not writable as flac: 9 channels at 16000 Hz"):
        sound("flac", channels=9)


class Full(io.BytesIO):
    """A file on a disk with no space after some bytes."""

    def __init__(self, free):
        super().__init__()
        self.free = free

    def write(self, content):
        if self.tell() + len(content) > self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


@pytest.mark.parametrize("name", result_formats.SOUND_FORMATS)
@pytest.mark.parametrize("free", [0, 500, 2000])
def test_a_full_disk_is_the_error_that_is_raised(name, free, capfd):
    y = np.random.default_rng(0).uniform(-0.5, 0.5, (9000, 2))
    with pytest.raises(OSError, match="No space left") as raised:
        result_formats.write_sound(Full(free), name, [y[:4000], y[4000:]], y.shape, 16000, ORIGIN)
    assert raised.value.errno == errno.ENOSPC
    assert capfd.readouterr().err == "", "libsndfile prints no traceback"
