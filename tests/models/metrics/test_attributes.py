"""Attributes of images and sounds: values that follow from their definitions."""

import librosa
import numpy as np
import pytest
from testbed import SMALL

from models.features import audio
from models.metrics import attributes

SIDE = 16
RATE_HZ = SMALL.sample_rate_hz


def image(*pixels, level=1.0):
    """A black image `[1, SIDE, SIDE, 1]` with these pixels (row, column) at a level from 0 to 1."""
    x = np.full((1, SIDE, SIDE, 1), -1.0)
    for row, column in pixels:
        x[0, row, column] = 2 * level - 1
    return x


def image_attributes(x):
    return {name: values.item() for name, values in attributes.image_attributes(x).items()}


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
def test_brightness_is_the_mean_level_of_all_pixels(level):
    found = image_attributes(np.full((1, SIDE, SIDE, 3), 2 * level - 1))
    assert found["brightness"] == pytest.approx(level) and all(np.isfinite(list(found.values())))


def test_brightness_is_the_mean_over_channels():
    x = np.full((1, SIDE, SIDE, 3), -1.0)
    x[..., 0] = 1.0
    assert image_attributes(x)["brightness"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 10), (SIDE - 1, SIDE - 1)])
def test_the_centre_of_one_pixel_is_its_position(row, column):
    found = image_attributes(image((row, column)))
    assert found["centre x"] == pytest.approx((column + 0.5) / SIDE)
    assert found["centre y"] == pytest.approx((row + 0.5) / SIDE)
    assert found["extent"] == pytest.approx(0, abs=1e-9)


def test_the_centre_is_in_shares_of_height_and_width():
    x = np.full((1, 4, 20, 1), -1.0)
    x[0, 1, 15] = 1.0
    found = image_attributes(x)
    assert (found["centre x"], found["centre y"]) == (pytest.approx(15.5 / 20), pytest.approx(1.5 / 4))


@pytest.mark.parametrize("size", [2, 5, 8])
def test_the_extent_of_a_square_follows_from_its_size(size):
    square = [(4 + row, 6 + column) for row in range(size) for column in range(size)]
    variance = (size**2 - 1) / 12 / SIDE**2  # of a uniform distribution over `size` pixels
    assert image_attributes(image(*square))["extent"] == pytest.approx(np.sqrt(2 * variance))
    assert image_attributes(image(*square, level=0.3))["extent"] == pytest.approx(np.sqrt(2 * variance))


@pytest.mark.parametrize(
    ("line", "slant"),
    [
        ([(n, 5) for n in range(3, 12)], 0.0),
        ([(n, n) for n in range(3, 12)], np.pi / 4),
        ([(n, 15 - n) for n in range(3, 12)], -np.pi / 4),
        ([(5, n) for n in range(3, 12)], np.pi / 2),
    ],
    ids=["vertical", "falling", "rising", "horizontal"],
)
def test_the_slant_of_a_line_is_its_angle_to_the_vertical(line, slant):
    assert image_attributes(image(*line))["slant"] == pytest.approx(slant, abs=1e-9)


def test_images_of_a_batch_are_measured_one_by_one():
    batch = np.concatenate([image((2, 3)), image((9, 12), (9, 13))])
    found = attributes.image_attributes(batch)
    for n, x in enumerate(batch):
        assert {name: values[n] for name, values in found.items()} == pytest.approx(image_attributes(x[None]))


def speech_attributes(y, log_mels=None):
    log_mels = audio.log_mel(y, SMALL) if log_mels is None else log_mels
    return {
        name: values.item() for name, values in attributes.speech_attributes(log_mels[None], y[None], SMALL).items()
    }


def tone(f0_hz, seconds=1.0, amplitude=0.1):
    """Five harmonics of equal amplitude."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * sum(np.sin(2 * np.pi * n * f0_hz * t + n) for n in range(1, 6))).astype(np.float32)


@pytest.mark.parametrize("f0_hz", [80.0, 150.0, 330.0, 500.0])
def test_the_f0_of_a_periodic_sound_is_its_repetition_rate(f0_hz):
    assert speech_attributes(tone(f0_hz))["f0"] == pytest.approx(f0_hz, rel=0.01)


def test_the_f0_is_that_of_the_loud_part():
    y = np.concatenate([tone(110.0, 1.5, amplitude=0.005), tone(300.0)])
    assert speech_attributes(y)["f0"] == pytest.approx(300, rel=0.01)


def test_a_sound_shorter_than_one_frame_of_yin_has_finite_attributes():
    assert all(np.isfinite(list(speech_attributes(tone(200.0, 0.02)).values())))


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_loudness_changes_by_the_gain_in_db_and_nothing_else_changes(gain):
    plain, scaled = speech_attributes(tone(200.0)), speech_attributes(gain * tone(200.0))
    assert scaled["loudness"] - plain["loudness"] == pytest.approx(20 * np.log10(gain), abs=0.01)
    for name in ("f0", "centroid", "duration"):
        assert scaled[name] == pytest.approx(plain[name], rel=0.01)  # the floor of the log-mels does not scale


def test_the_loudness_of_a_flat_spectrum_is_the_sum_of_its_mel_powers():
    log_mels = np.full((20, SMALL.n_mels), -1.0)
    assert speech_attributes(tone(200.0), log_mels)["loudness"] == pytest.approx(
        10 * np.log10(SMALL.n_mels * np.exp(-2))
    )


@pytest.mark.parametrize("band", [0, 10, SMALL.n_mels - 1])
def test_the_centroid_of_one_mel_band_is_its_centre(band):
    log_mels = np.full((20, SMALL.n_mels), -50.0)
    log_mels[:, band] = -1.0
    centres_hz = librosa.mel_frequencies(SMALL.n_mels + 2, fmin=SMALL.fmin_hz, fmax=SMALL.fmax_hz)[1:-1]
    assert speech_attributes(tone(200.0), log_mels)["centroid"] == pytest.approx(centres_hz[band])


def test_the_duration_is_that_of_the_frames_with_sound():
    log_mels = np.full((50, SMALL.n_mels), SMALL.log_floor)
    log_mels[10:40] = -1.0
    assert speech_attributes(tone(200.0), log_mels)["duration"] == pytest.approx(30 / SMALL.frame_rate_hz)
    assert speech_attributes(tone(200.0), log_mels - 20)["duration"] == pytest.approx(50 / SMALL.frame_rate_hz)
