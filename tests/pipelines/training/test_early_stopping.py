"""What the numbers of a run say."""

import numpy as np
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
    assert early_stopping.is_over(rows("val", l1=[3.0, 1.0, 1.5, 2.0]), "l1", patience) == over


def test_nothing_is_over_before_it_began():
    assert not early_stopping.is_over([], "l1", 1) and not early_stopping.is_over(rows("val", l1=[1.0]), None, 1)


def test_a_discriminator_at_zero_is_an_alarm_but_not_a_penalty_or_a_difference():
    found = rows("train", discriminator_a=[0.001] * 5, discriminator_b=[0.3] * 5, discriminator_a_penalty=[0.0] * 5)
    assert list(early_stopping.alarms(found, None)) == ["discriminator_a"]
    assert not early_stopping.alarms(found, None, differences=True) and not early_stopping.alarms(found[:4], None)


def test_outputs_that_are_all_alike_are_an_alarm():
    assert "collapsed" in early_stopping.alarms(rows("val", diversity=[0.9, 0.01]), None)["diversity"]
    assert not early_stopping.alarms(rows("val", diversity=[0.01, 0.9]), None)


@pytest.mark.parametrize(
    ("validation", "training", "alarmed"),
    [
        ([2.0, 1.0, 1.2, 1.3, 1.4], [3.0, 2.0, 1.0, 0.5, 0.4], True),
        ([2.0, 1.0, 1.2, 1.3, 1.4], [3.0, 2.0, 2.1, 2.2, 2.3], False),
        ([2.0, 1.0, 1.02, 1.03, 1.04], [3.0, 2.0, 1.0, 0.5, 0.4], False),
        ([-2.0, -9.0, -7.0, -6.0, -5.0], [3.0, 2.0, 1.0, 0.5, 0.4], True),
    ],
)
def test_validation_that_rises_while_training_falls_is_an_alarm(validation, training, alarmed):
    found = rows("train", l1=training) + rows("val", l1=validation)
    assert ("overfitting" in early_stopping.alarms(found, "l1")) == alarmed


def test_diversity_is_one_of_the_examples_themselves(rng):
    x = rng.normal(size=(5, 4, 3))
    assert early_stopping.diversity(x, x) == pytest.approx(1.0)
    assert early_stopping.diversity(np.repeat(x[:1], 5, 0), x) == 0.0
    assert early_stopping.diversity(0.5 * x + 3, x) == pytest.approx(0.5)
