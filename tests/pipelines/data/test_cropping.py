"""Crops of recordings: contents, coverage and the samples that belong to them."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from input_batches import Waveforms, batches, concatenate
from testbed import laws

from models.features import audio
from models.features.spec import Spec
from pipelines.data import cropping

FRONT_END = audio.AudioSpec.at(8000, n_fft=256, n_mels=8)


SPEECH = Spec(FRONT_END, (), {})


@st.composite
def recordings(draw):
    """Log-mels of which some frames sound; each frame tells which one it is."""
    frames = draw(st.integers(1, 60))
    sounds = draw(st.lists(st.booleans(), min_size=frames, max_size=frames))
    level = np.where(sounds, -1.0, FRONT_END.log_floor)[:, None]
    return np.float32(np.repeat(level, 8, axis=1) + np.where(sounds, np.arange(frames) / 100, 0)[:, None])


@laws
@given(recordings(), st.integers(1, 24), st.integers(0, 2**40))
def test_a_crop_is_contiguous_and_contains_an_active_frame(log_mels, frames, row):
    made = cropping.random_crop(tf.constant(log_mels), frames, SPEECH, tf.constant([row, 3], tf.int64)).numpy()
    assert made.shape == (frames, 8)
    floor = np.full((frames, 8), FRONT_END.log_floor, np.float32)
    beyond = np.concatenate([floor, log_mels, floor])
    assert any(np.array_equal(made, beyond[start : start + frames]) for start in range(len(log_mels) + frames + 1))
    if audio.active_frames(log_mels, FRONT_END).any():
        assert made.max() > FRONT_END.log_floor + 0.5


def test_crops_cover_all_active_frames():
    log_mels = np.float32(np.arange(60)[:, None] / 100 + np.zeros(8))
    crops = [
        cropping.random_crop(tf.constant(log_mels), 16, SPEECH, tf.constant([row, 0], tf.int64)) for row in range(60)
    ]
    assert set(np.concatenate(crops)[:, 0]) >= set(log_mels[:, 0])


@pytest.mark.parametrize(("active", "times"), [(0, 0), (1, 1), (7, 1), (24, 2), (40, 2), (41, 3), (160, 10)])
def test_the_number_of_crops_follows_from_the_active_frames(active, times):
    assert cropping.crops_per_epoch(active, 16) == times


def test_the_frames_of_a_crop_are_those_of_its_samples(segmented_records):
    front_end, found = segmented_records.spec.features, concatenate(batches(segmented_records, Waveforms, count=10))
    edge = front_end.n_fft // 2 // front_end.hop_length
    assert found["waveform"].shape == (40, 15 * front_end.hop_length) and found["waveform"].dtype == np.float32
    assert set(found["domain"]) == {0, 1}
    close = 0
    for x, y in zip(found["x"], found["waveform"], strict=True):
        inside = np.arange(16)[edge:-edge]
        apart = np.abs(audio.log_mel(y, front_end) - x)[inside]
        close += np.median(apart.max(axis=1)) < 0.02  # where a record begins, samples of the one before are missing
    assert close == 40
