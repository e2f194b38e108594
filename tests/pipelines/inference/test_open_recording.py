"""Access to the frames of an open recording."""

import numpy as np
import pytest

from pipelines.inference.open_recording import FrameBuffer


@pytest.mark.parametrize("sizes", [(10,), (1, 2, 3, 4), (3, 7)])
def test_a_frame_buffer_pads_the_stream_with_zeros_on_both_sides(sizes, rng):
    stream = rng.normal(size=(10, 4)).astype(np.complex64)
    padded = np.pad(stream, ((2, 6), (0, 0)))
    buffer = FrameBuffer(iter(np.split(stream, np.cumsum(sizes)[:-1])), before=2, bins=4)
    for first, count in ((0, 5), (3, 6), (3, 2), (9, 8)):
        np.testing.assert_array_equal(buffer.frames(first, count), padded[first : first + count])


def test_a_frame_buffer_frees_earlier_frames(rng):
    parts = (rng.normal(size=(5, 4)).astype(np.complex64) for _ in range(20))
    buffer = FrameBuffer(parts, before=0, bins=4)
    for first in range(0, 90, 5):
        buffer.frames(first, 10)
        assert len(buffer.buffered) <= 15
