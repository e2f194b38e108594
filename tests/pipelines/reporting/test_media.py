"""Media of reports: what is decoded again is what was encoded."""

import base64
import io

import numpy as np
import PIL.Image
import pytest
import soundfile

from models.features.audio import AudioSpec
from pipelines.reporting import media

SPEC = AudioSpec.at(8000, n_fft=256, n_mels=32)


def _decode(uri, kind):
    start = f"data:{kind};base64,"
    assert uri.startswith(start)
    return io.BytesIO(base64.b64decode(uri.removeprefix(start)))


@pytest.mark.parametrize("peak", [0.5, 2.0])
def test_audio_is_lossless_to_16_bits_and_does_not_clip(peak):
    y = peak * np.sin(np.arange(4000) / 5)
    decoded, rate_hz = soundfile.read(_decode(media.encode_audio(y, 8000), "audio/flac"))
    assert rate_hz == 8000
    assert decoded == pytest.approx(y / max(1, peak), abs=1e-4)


def test_a_spectrogram_has_a_pixel_for_each_value_and_low_frequencies_at_the_bottom():
    log_mels = np.full((50, 32), SPEC.log_floor)
    log_mels[:, 0] = 0
    picture = PIL.Image.open(_decode(media.encode_spectrogram(log_mels, SPEC), "image/png")).convert("RGB")
    assert picture.size == (50, 32)
    assert sum(picture.getpixel((10, 31))) > 3 * 100 > sum(picture.getpixel((10, 0))) + 250


def test_an_image_survives():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3))
    picture = PIL.Image.open(_decode(media.encode_image(pixels / 127.5 - 1), "image/png"))
    assert np.array_equal(np.asarray(picture), pixels)


def test_ticks_are_within_the_range_of_the_mels_and_in_order():
    ticks = media.frequency_ticks(SPEC)
    assert [label for _, label in ticks] == ["1 kHz", "2 kHz"]  # the last band is centred below 4 kHz
    assert 0 < ticks[0][0] < ticks[1][0] < 1
