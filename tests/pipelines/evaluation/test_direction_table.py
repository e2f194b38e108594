"""Tables of directions: means over files and their intervals."""

import numpy as np
import pytest

from pipelines.evaluation import direction_table


def test_a_mean_has_an_interval_that_shrinks_with_the_number_of_files():
    rng = np.random.default_rng(0)
    widths = []
    for n in (20, 500):
        means, intervals = direction_table.summarize({"mcd_db": rng.normal(5, 1, n)})
        low, high = intervals["mcd_db"]
        assert low < means["mcd_db"] < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(2 * 1.96 / np.sqrt(500), rel=0.15) and widths[1] < widths[0] / 3


def test_values_that_are_missing_are_left_out():
    means, intervals = direction_table.summarize(
        {"a": np.array([1.0, np.nan, 3.0]), "b": np.array([np.nan]), "c": np.array([True, False, True])}
    )
    assert means == {"a": 2.0, "c": pytest.approx(2 / 3)} and list(intervals) == ["c"]
