"""Tables of directions: means over files and their intervals."""

import numpy as np
import pytest

from models.features.image import ImageSpec
from models.features.spec import Spec
from pipelines.evaluation import direction_table
from pipelines.evaluation.examples import Example
from pipelines.evaluation.verdict import Evidence

IMAGES = Spec(features=ImageSpec(height=8, width=8), domains=("a", "b"), moments={})


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


def test_held_out_images_are_not_compared_with_themselves():
    rng = np.random.default_rng(0)
    sets = [
        [Example(f"b/{n}", f"{n}", "", x) for n, x in enumerate(rng.uniform(-1, 1, (20, 8, 8, 3)))] for _ in range(3)
    ]
    rows = dict(zip(("no_op", "model", "copy_synthesis"), (sets[0], sets[1], sets[1]), strict=True))
    ones = {name: np.ones(20) for name in rows}
    is_finite = np.ones(20, bool)
    evidence = Evidence({n: v > 0 for n, v in ones.items()}, ones, {}, {}, {}, 1.0, 1.0, is_finite, 20)
    scores = direction_table.score_files(rows, evidence, sets[0], sets[1], IMAGES)
    assert set(scores["model"]) > {"ssim", "ms_ssim"}
    assert set(scores["copy_synthesis"]) == {"target_rate", "target_log_odds"}
    table = direction_table.score_sets(rows, evidence, sets[1], sets[2], IMAGES, "pixels")
    assert abs(table["model"]["fid"]) < 1e-6 and table["copy_synthesis"]["fid"] > 1
