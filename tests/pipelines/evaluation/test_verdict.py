"""Verdicts on translations and samples."""

import numpy as np
import pytest

from pipelines.evaluation import verdict
from pipelines.evaluation.verdict import Verdict


def hits(count, n=50):
    return np.arange(n) < count


@pytest.mark.parametrize(
    ("model", "no_op", "value"),
    [
        (50, 0, Verdict.CONVERTS),
        (20, 0, Verdict.CONVERTS_IN_PART),
        (2, 0, Verdict.DOES_NOT_CONVERT),
        (40, 40, Verdict.DOES_NOT_CONVERT),
    ],
)
def test_the_verdict_compares_the_model_with_no_op(model, no_op, value):
    result = verdict.translation_verdict(hits(model), hits(no_op))
    assert result.value is value
    assert (result.target_rate, result.no_op_rate, result.n) == (model / 50, no_op / 50, 50)
    assert (result.p_value < verdict.SIGNIFICANCE) == result.is_positive
    assert result.sentence().startswith(f"{value.value}: ")


def test_too_few_files_give_no_verdict():
    result = verdict.translation_verdict(hits(3, 3), hits(0, 3))
    assert result.value is Verdict.TOO_FEW_FILES and not result.is_positive
    assert "3, at least 4 are needed" in result.sentence()
    assert verdict.translation_verdict(hits(4, 4), hits(0, 4)).value is Verdict.CONVERTS


@pytest.mark.parametrize(
    ("gain", "value"), [(2.0, Verdict.GENERATES), (0.8, Verdict.DOES_NOT_GENERATE), (-2.0, Verdict.DOES_NOT_GENERATE)]
)
def test_samples_must_be_significantly_nearer_than_the_gaussian(gain, value):
    row = {"kid": 1.0, "kid_gain": gain, "kid_gain_error": 0.5}
    result = verdict.sample_verdict({"model": row, "gaussian": {"kid": 1.0 + gain}})
    assert result.value is value and result.sentence().startswith(f"{value.value}: ")


@pytest.mark.parametrize(("model", "text"), [(50, "more often than transport"), (20, "less"), (41, "no difference")])
def test_the_note_compares_the_model_with_the_better_baseline(model, text):
    is_target = {"mean_variance": hits(10), "transport": hits(40), "model": hits(model)}
    assert text in verdict.compare_with_baselines(is_target, {})
