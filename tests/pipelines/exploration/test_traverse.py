"""The traverse job: the order of latent dimensions."""

import re

import pytest

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_dimensions_are_ranked_by_kl_or_variance(run_job, kind):
    numbers, rows, page = run_job("traverse", kind, count=2, points=3)
    by = {"pictures": "KL", "speech": "variance"}[kind]
    values = [float(row[by]) for row in rows]
    assert values == sorted(values, reverse=True) and sorted(numbers["order"]) == [0, 1, 2, 3]
    attributes = {"pictures": {"brightness", "slant"}, "speech": {"loudness", "f0", "centroid", "duration"}}[kind]
    assert attributes <= set(rows[0])
    assert ("information" in numbers) == (kind == "pictures")
    assert len(re.findall("<h2[^>]*>Dimension ", page)) == 2
