"""Log-F0 RMSE and voicing error: known values on contours, and on synthetic voices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, laws, seeds, voice

from models.errors import UserError
from models.metrics import prosody

NAN = np.nan


def contour(seed, frames=20):
    rng = np.random.default_rng(seed)
    return np.where(rng.uniform(size=frames) < 0.7, rng.uniform(80, 300, frames), NAN)


@laws
@given(a=seeds, b=seeds, ratio=st.floats(0.5, 2))
def test_symmetric_and_zero_with_itself_and_a_shift_is_its_logarithm(a, b, ratio):
    x, y = contour(a), contour(b)
    assert prosody.log_f0_rmse(x, x) == 0 == prosody.voicing_error(x, x)
    assert prosody.log_f0_rmse(x, y) == pytest.approx(prosody.log_f0_rmse(y, x))
    assert prosody.voicing_error(x, y) == prosody.voicing_error(y, x) == np.mean(np.isnan(x) ^ np.isnan(y))
    assert prosody.log_f0_rmse(x, ratio * x) == pytest.approx(abs(np.log(ratio)), abs=1e-9)


def test_the_rmse_is_over_frames_that_are_voiced_in_both():
    x, y = np.array([100, NAN, 100, 100, NAN]), np.array([200, 900, 100, NAN, NAN])
    assert prosody.log_f0_rmse(x, y) == pytest.approx(np.sqrt(np.log(2) ** 2 / 2))
    assert prosody.voicing_error(x, y) == pytest.approx(2 / 5)
    assert prosody.log_f0_rmse(np.array([100, NAN]), np.array([NAN, 100])) is None
    assert prosody.voicing_error(np.array([100, NAN]), np.array([NAN, 100])) == 1


@pytest.mark.parametrize(("n", "m"), [(3, 4), (0, 0)])
def test_contours_that_are_not_paired_are_refused(n, m):
    for metric in (prosody.log_f0_rmse, prosody.voicing_error):
        with pytest.raises(UserError, match="same number of frames"):
            metric(np.ones(n), np.ones(m))


@pytest.fixture(scope="module")
def voices():
    """Two voices of the same contour, a fifth of an octave between them, and the first with pauses around it."""
    low, high = (voice(f0_hz, 1.2, 8000, 0) for f0_hz in (110, 110 * 2**0.2))
    quiet = np.zeros(2400, np.float32)
    return low, high, np.concatenate([quiet, low, quiet])


def test_voices_of_the_same_contour_differ_by_their_shift_frame_by_frame(voices):
    low, high, _ = voices
    pair = prosody.f0_by_frame(low, high[:-800], 8000)
    assert len(pair[0]) == len(pair[1]) == 1 + (len(low) - 800) // 80
    assert prosody.log_f0_rmse(*pair) == pytest.approx(0.2 * np.log(2), rel=0.1)
    assert prosody.voicing_error(*pair) < 0.1


def test_alignment_undoes_a_change_of_timing(voices):
    low, high, delayed = voices
    aligned, by_frame = prosody.f0_along_path(low, delayed, SMALL), prosody.f0_by_frame(low, delayed, 8000)
    assert prosody.log_f0_rmse(*aligned) < 0.01 < prosody.log_f0_rmse(*by_frame)
    assert prosody.voicing_error(*aligned) < 0.05 < prosody.voicing_error(*by_frame)
    assert prosody.log_f0_rmse(*prosody.f0_along_path(delayed, high, SMALL)) == pytest.approx(0.2 * np.log(2), rel=0.15)


def test_silence_is_unvoiced():
    pair = prosody.f0_along_path(np.zeros(4000, np.float32), np.zeros(5000, np.float32), SMALL)
    assert prosody.log_f0_rmse(*pair) is None and prosody.voicing_error(*pair) == 0
