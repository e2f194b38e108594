"""Early stopping."""

import pytest

from pipelines.training import early_stopping


def rows(split, **series):
    return [{"split": split, "step": n + 1, **dict(zip(series, values, strict=True))}
            for n, values in enumerate(zip(*series.values(), strict=True))]  # fmt: skip


def test_the_best_is_the_lowest_validation_and_the_first_of_equals():
    found = rows("val", l1=[3.0, 1.0, None, 2.0, 1.0]) + rows("train", l1=[0.0] * 5)
    assert early_stopping.best(found, "l1") == (2, 1.0)
    assert early_stopping.best(found, "other") is None and early_stopping.best([], "l1") is None


@pytest.mark.parametrize(("patience", "over"), [(0, False), (1, True), (2, True), (3, False)])
def test_patience_counts_validations_since_the_best(patience, over):
    assert early_stopping.should_stop(rows("val", l1=[3.0, 1.0, 1.5, 2.0]), "l1", patience) == over


def test_nothing_is_over_before_it_began():
    assert not early_stopping.should_stop([], "l1", 1) and not early_stopping.should_stop(
        rows("val", l1=[1.0]), None, 1
    )
