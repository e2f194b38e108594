"""The evaluate script: its exit code."""

import pytest

from pipelines import evaluate
from pipelines.evaluation.verdict import Verdict


@pytest.mark.parametrize("value", [v for v in Verdict if "generate" not in v.value], ids=lambda v: v.value)
def test_the_exit_code_is_3_only_if_a_run_does_not_convert(value):
    code = 3 if value is Verdict.DOES_NOT_CONVERT else 0
    assert evaluate.exit_code([{"verdict": value.value}]) == code
    assert evaluate.exit_code([{"verdict": "converts"}, {"verdict": value.value}]) == code


def test_the_samples_of_a_generative_model_do_not_change_the_exit_code():
    worse_than_a_gaussian = {"model": {"kid": 2.0, "kid_gain": -1.0, "kid_gain_error": 0.1}, "gaussian": {"kid": 1.0}}
    assert evaluate.exit_code([{"samples": worse_than_a_gaussian}]) == 0
