"""Recordings are trimmed, cut at pauses, and left out, as the options say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.errors import UserError
from models.features.conditioning import MARGIN_BLOCKS, Conditioning

PER_S = 50.0  # blocks a second


def spans(powers, **options):
    powers = np.asarray(powers, float)
    return Conditioning(**options).spans(powers, (0, len(powers)), PER_S)


@laws
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1e-7, 1e-3, 1.0]), st.integers(1, 120)), min_size=1, max_size=12),
    st.booleans(),
    st.integers(1, 4),
)
def test_pieces_are_in_order_short_enough_and_hold_all_sound(runs, trim, cut_s):
    powers = np.concatenate([np.full(count, power) for power, count in runs])
    found = spans(powers, trim=trim, cut_s=cut_s)
    assert found and all(0 <= start < end <= len(powers) for start, end in found)
    assert all(one[1] <= other[0] for one, other in zip(found, found[1:], strict=False))
    if powers.any():
        assert all(end - start <= cut_s * PER_S for start, end in found)
    kept = np.zeros(len(powers), bool)
    for start, end in found:
        kept[start:end] = True
    assert kept[powers > 1e-3 * powers.max()].all() and (trim or kept.all())


def test_silence_is_trimmed_to_a_margin():
    powers = [1e-9] * 100 + [1.0] * 50 + [1e-9] * 60
    assert spans(powers, trim=True) == [(100 - MARGIN_BLOCKS, 150 + MARGIN_BLOCKS)]
    assert spans(powers) == [(0, 210)]


def test_a_cut_is_in_the_longest_pause_of_the_second_half():
    powers = np.ones(150)
    powers[60:72] = powers[80:100] = 1e-9
    assert spans(powers, cut_s=2.0) == [(0, 90), (90, 150)]


def test_without_a_pause_it_is_cut_where_it_is_quietest():
    powers = np.ones(150)
    powers[70:80] = 0.1
    ((start, middle), (same, end)) = spans(powers, cut_s=2.0)
    assert (start, same, end) == (0, middle, 150) and 70 <= middle < 80


@pytest.mark.parametrize(
    ("options", "facts", "reason"),
    [
        ({}, {}, ""),
        ({"min_s": 2.0}, {}, "shorter than 2 s"),
        ({"min_s": 1.0, "max_s": 1.5}, {}, ""),
        ({"max_s": 0.5}, {}, "longer than 0.5 s"),
        ({"min_level_db": -20.0}, {}, "quieter than -20 dB re full scale"),
        ({"min_level_db": -99.0}, {"level_db": None}, "quieter than -99 dB re full scale"),
        ({"max_clipped": 0.01}, {"clipped": 0.02}, "more than 0.01 of the samples clipped"),
        ({"max_clipped": 0.02}, {"clipped": 0.02}, ""),
    ],
)
def test_reasons(options, facts, reason):
    conditioning = Conditioning(**options)
    assert conditioning.reason(**{"length": 1.0, "level_db": -30.0, "clipped": 0.0, **facts}) == reason
    assert conditioning.selects is bool(options)


@pytest.mark.parametrize("options", [{"cut_s": 0.5}, {"min_s": 3.0, "max_s": 2.0}])
def test_impossible_limits_are_refused(options):
    with pytest.raises(UserError, match="wanted"):
        Conditioning(**options)
