"""Recordings are divided among the splits, trimmed and cut, at multiples of the hop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, laws, voice

from models.features.conditioning import Conditioning
from models.features.level import LevelMeter
from pipelines.data import recording_parts

RATE_HZ = SMALL.sample_rate_hz


@laws
@given(seconds=st.floats(0, 600), val=st.floats(0, 0.4), test=st.floats(0, 0.4))
def test_spans_are_in_order_apart_long_enough_and_at_hops(seconds, val, test):
    rate_hz, samples = SMALL.sample_rate_hz, int(seconds * SMALL.sample_rate_hz)
    spans = recording_parts.split_spans(samples, SMALL, (val, test))
    if seconds < recording_parts.MIN_CUT_S or not (val or test):
        assert not spans
        return
    assert list(spans) in ([], [s for s in ("train", "val", "test") if {"train": 1, "val": val, "test": test}[s]])
    ends = list(spans.values())
    for (begin, end), fraction in zip(ends, [0.0, *filter(None, (val, test))], strict=False):
        assert begin % SMALL.hop_length == 0 and 0 <= begin < end <= samples
        assert end - begin >= fraction * samples - 1
    for (_, end), (begin, _) in zip(ends, ends[1:], strict=False):
        assert begin - end >= recording_parts.MARGIN_S * rate_hz
    for begin, end in ends[1:]:
        assert end - begin >= recording_parts.MIN_PART_S * rate_hz


def meter_of(y):
    meter = LevelMeter(SMALL)
    meter.add(np.float32(y))
    return meter


def silence(seconds):
    return np.zeros(int(seconds * RATE_HZ), np.float32)


SPEECH = np.concatenate([silence(1), voice(110, 5.0, RATE_HZ, 0), silence(1), voice(110, 4.0, RATE_HZ, 1), silence(2)])


def parts(fractions=None, y=SPEECH, **changes):
    return recording_parts.parts_of(meter_of(y), SMALL, Conditioning(**changes), fractions)


def test_without_options_a_recording_is_one_part():
    (part,) = parts()
    assert (part.span, part.split, part.name, part.is_whole) == ((0, len(SPEECH)), "", "", True)


def test_silence_at_both_ends_is_cut_off():
    (part,) = parts(trim=True)
    assert part.span == pytest.approx((0.9 * RATE_HZ, 11.1 * RATE_HZ), abs=0.3 * RATE_HZ)
    assert (part.name, part.is_whole) == ("", False) and part.span[0] % SMALL.hop_length == 0
    (whole,) = parts(y=silence(3), trim=True)
    assert whole.is_whole and whole.level_db is None


def test_a_long_recording_is_cut_in_the_pause():
    first, second = parts(cut_s=8.0)
    assert first.span[0] == 0 and first.span[1] == second.span[0] and second.span[1] == len(SPEECH)
    assert 6 * RATE_HZ < first.span[1] < 7 * RATE_HZ
    assert [part.name for part in (first, second)] == ["0000", "0001"]


def test_each_split_is_cut_and_has_its_own_level():
    quiet = np.concatenate([SPEECH, 0.1 * SPEECH])
    found = parts((0.0, 0.5), quiet, cut_s=5.0, trim=True)
    assert {part.split for part in found} == {"train", "test"}
    assert [part.name for part in found if part.split == "test"][0] == "test-0000"
    loud, soft = (np.mean([part.level_db for part in found if part.split == split]) for split in ("train", "test"))
    assert loud - soft == pytest.approx(20, abs=3)
    for one, next_one in zip(found, found[1:], strict=False):
        assert one.span[0] < one.span[1] <= next_one.span[0]
