"""Alarms during training."""

import numpy as np
import pytest

from pipelines.training import alarms


def rows(split, **series):
    return [{"split": split, "step": n + 1, **dict(zip(series, values, strict=True))}
            for n, values in enumerate(zip(*series.values(), strict=True))]  # fmt: skip


def test_a_discriminator_loss_near_zero_is_an_alarm_but_not_a_penalty_or_a_wasserstein_loss():
    found = rows("train", discriminator_a=[0.001] * 5, discriminator_b=[0.3] * 5, discriminator_a_penalty=[0.0] * 5)
    assert list(alarms.find_alarms(found, None)) == ["discriminator_a"]
    assert not alarms.find_alarms(found, None, wasserstein=True) and not alarms.find_alarms(found[:4], None)


def test_mode_collapse_is_an_alarm():
    assert "mode collapse" in alarms.find_alarms(rows("val", diversity=[0.9, 0.01]), None)["diversity"]
    assert not alarms.find_alarms(rows("val", diversity=[0.01, 0.9]), None)


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
    assert ("overfitting" in alarms.find_alarms(found, "l1")) == alarmed


def test_diversity_is_one_of_the_examples_themselves(rng):
    x = rng.normal(size=(5, 4, 3))
    assert alarms.diversity(x, x) == pytest.approx(1.0)
    assert alarms.diversity(np.repeat(x[:1], 5, 0), x) == 0.0
    assert alarms.diversity(0.5 * x + 3, x) == pytest.approx(0.5)


def test_an_alarm_is_printed_once_and_by_the_chief_only(capsys):
    log = rows("val", diversity=[0.01])
    for prints in (False, True):
        reporter = alarms.AlarmReporter()
        for _ in range(2):
            reporter.report(log, None, prints=prints)
        assert capsys.readouterr().err.count("alarm: diversity 0.01") == prints
