"""Learning curves: which rows become which series."""

import pytest

from pipelines.reporting import learning_curves


def test_a_metric_that_only_one_split_has_is_a_curve_too():
    rows = [
        {"split": "train", "step": 1, "loss": 0.5, "steps_per_s": 9.0},
        {"split": "train", "step": 2, "loss": None, "steps_per_s": 9.0},
        {"split": "val", "step": 2, "loss": 0.4, "diversity": 1},
    ]
    loss, diversity = learning_curves.make_curves(rows)
    assert (loss.name, loss.steps, loss.train, loss.val) == ("loss", [1, 2], [0.5, None], [None, 0.4])
    assert (diversity.name, diversity.steps, diversity.val) == ("diversity", [2], [1])
    assert diversity.describe() == "validation 1 at first, 1 at last, lowest 1 at step 2"


def test_long_series_are_averaged():
    rows = [{"split": "train", "step": n, "loss": float(n)} for n in range(1000)]
    (curve,) = learning_curves.make_curves(rows)
    assert 300 < len(curve.steps) <= learning_curves.MAX_POINTS
    assert curve.train == curve.steps  # means of equal numbers of steps and losses
    assert curve.steps[0] == pytest.approx(1)


def test_without_metrics_there_are_no_curves():
    assert learning_curves.make_curves([]) == []
