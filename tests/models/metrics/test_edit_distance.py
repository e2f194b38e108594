"""Laws of the edit distance: a metric on sequences."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.metrics import edit_distance

tokens = st.lists(st.sampled_from("abc"), max_size=8)


@laws
@given(tokens, tokens, tokens)
def test_it_is_a_metric(x, y, z):
    distance = edit_distance.edit_distance
    assert (distance(x, y) == 0) == (x == y)
    assert distance(x, y) == distance(y, x) <= max(len(x), len(y))
    assert distance(x, z) <= distance(x, y) + distance(y, z)


@laws
@given(tokens, tokens)
def test_an_insertion_costs_one_and_common_ends_nothing(x, y):
    assert edit_distance.edit_distance([*x, "d"], x) == 1
    assert edit_distance.edit_distance(["d", *x, "d"], ["d", *y, "d"]) == edit_distance.edit_distance(x, y)


def test_the_rate_is_relative_to_the_reference():
    assert edit_distance.error_rate([], "abcd") == 1
    assert edit_distance.error_rate("abcdabcd", "abcd") == 1
    assert edit_distance.error_rate("abcx", "abcd") == 0.25
    assert np.isnan(edit_distance.error_rate("abcd", ""))
