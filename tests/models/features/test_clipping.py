"""Clipped samples are counted at any level; speech and near silence are not clipped."""

import numpy as np
import pytest
from testbed import voice

from models.features.clipping import ClippingMeter


def share(y, size=1000):
    meter = ClippingMeter()
    y = np.float32(y)
    y = y[:, None] if y.ndim == 1 else y
    for start in range(0, len(y), size):
        meter.add(y[start : start + size])
    return meter.share()


SPEECH = voice(110, 3.0, 16000, 0) / np.abs(voice(110, 3.0, 16000, 0)).max()


@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("level", [0.3, 0.6])
def test_the_share_is_that_of_the_samples_beyond_the_level(level, gain):
    clipped = np.clip(SPEECH, -level, level)
    expected = (np.abs(SPEECH) >= level).mean()
    assert share(gain * clipped) == pytest.approx(expected, rel=0.4) and expected > 0.001
    assert share(gain * clipped, 48000) == pytest.approx(share(gain * clipped), rel=0.3)


@pytest.mark.parametrize(
    "y",
    [
        SPEECH,
        np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000),
        np.zeros(100),
        np.round(np.random.default_rng(0).normal(size=9999)) / 32768,
        np.zeros(0),
    ],
    ids=["speech", "tone", "silence", "steps of 16 bits", "nothing"],
)
def test_what_is_not_clipped_has_no_share(y):
    assert share(y) < 1e-3


def test_a_channel_is_enough():
    clipped = np.clip(SPEECH, -0.3, 0.3)
    assert share(np.stack([0.2 * SPEECH, clipped], 1)) == share(clipped)
