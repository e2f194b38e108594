"""Verdicts on translations and samples."""

import numpy as np
import pytest

from pipelines.evaluation import verdict
from pipelines.evaluation.verdict import Verdict

N = 50


def hits(count, n=N):
    return np.arange(n) < count


def speakers(**rows):
    """Similarities of rows to the target speaker."""
    return {"no_op": 0.1, "copy_synthesis": 0.9, **rows}


def evidence(
    model=50,
    no_op=0,
    *,
    n=N,
    content=0.4,
    diversity=1.0,
    accuracy=1.0,
    baselines=None,
    similarity=None,
    mcd=None,
    neither=None,
    finite=None,
    targets=N,
):
    """Evidence of a direction: numbers of files classified as the target, and log odds of closed-form baselines."""
    rng = np.random.default_rng(0)
    rows = {"model": (hits(model, n), 3.0), "no_op": (hits(no_op, n), -3.0)}
    rows |= {name: (hits(n, n), odds) for name, odds in (baselines or {}).items()}
    return verdict.Evidence(
        is_target={name: rate for name, (rate, _) in rows.items()},
        target_log_odds={name: odds + 0.1 * rng.normal(size=n) for name, (_, odds) in rows.items()},
        similarity={name: value + 0.01 * rng.normal(size=n) for name, value in (similarity or {}).items()},
        content_error={name: np.full(n, content) for name in rows},
        mcd_db={name: value + 0.1 * rng.normal(size=n) for name, value in (mcd or {}).items()},
        accuracy=accuracy,
        diversity=diversity,
        is_finite=hits(n if finite is None else finite, n),
        num_targets=targets,
        is_neither={} if neither is None else {"model": hits(neither, n)},
    )


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, Verdict.CONVERTS),
        ({"model": 20}, Verdict.CONVERTS_IN_PART),
        ({"model": 2}, Verdict.DOES_NOT_CONVERT),
        ({"model": 40, "no_op": 40}, Verdict.DOES_NOT_CONVERT),
        ({"content": 1.0}, Verdict.DOES_NOT_CONVERT),
        ({"diversity": 0.1}, Verdict.DOES_NOT_CONVERT),
        ({"model": 20, "neither": 26}, Verdict.DOES_NOT_CONVERT),
        ({"model": 30, "neither": 20}, Verdict.CONVERTS),
        ({"accuracy": 0.78}, Verdict.CANNOT_TELL),
        ({"model": 4, "n": 4}, Verdict.CANNOT_TELL),
        ({"model": 5, "n": 5}, Verdict.CONVERTS),
        ({"targets": 4}, Verdict.CANNOT_TELL),
        ({"targets": 5}, Verdict.CONVERTS),
        ({"finite": N - 1}, Verdict.DOES_NOT_CONVERT),
        ({"content": np.nan}, Verdict.DOES_NOT_CONVERT),
        ({"diversity": np.nan}, Verdict.DOES_NOT_CONVERT),
        ({"accuracy": np.nan}, Verdict.CANNOT_TELL),
        ({"content": np.nan, "diversity": np.nan, "baselines": {"transport": np.nan}}, Verdict.DOES_NOT_CONVERT),
        ({"baselines": {"transport": np.nan}}, Verdict.NO_BETTER_THAN_CLOSED_FORM),
        ({"similarity": speakers(model=np.nan)}, Verdict.DOES_NOT_CONVERT),
        ({"similarity": {**speakers(model=0.8), "no_op": np.nan}}, Verdict.DOES_NOT_CONVERT),
        ({"baselines": {"transport": 1.0}}, Verdict.CONVERTS),
        ({"baselines": {"transport": 3.0}}, Verdict.NO_BETTER_THAN_CLOSED_FORM),
        (
            {"baselines": {"transport": 1.0}, "mcd": {"model": 6.0, "transport": 5.0}},
            Verdict.NO_BETTER_THAN_CLOSED_FORM,
        ),
        ({"baselines": {"transport": 3.0}, "mcd": {"model": 5.0, "transport": 6.0}}, Verdict.CONVERTS),
        ({"baselines": {"transport": 1.0}, "content": 1.0}, Verdict.DOES_NOT_CONVERT),
        ({"similarity": speakers(model=0.8)}, Verdict.CONVERTS),
        ({"similarity": speakers(model=0.3)}, Verdict.CONVERTS_IN_PART),
        ({"similarity": speakers(model=0.1)}, Verdict.DOES_NOT_CONVERT),
        ({"similarity": speakers(model=0.1, copy_synthesis=0.2)}, Verdict.CONVERTS),  # not of two speakers
        ({"similarity": speakers(model=0.8, transport=0.7), "baselines": {"transport": 5.0}}, Verdict.CONVERTS),
        (
            {"similarity": speakers(model=0.8, transport=0.85), "baselines": {"transport": 1.0}},
            Verdict.NO_BETTER_THAN_CLOSED_FORM,
        ),
        (  # significant, but too small to hear
            {"similarity": speakers(model=0.82, transport=0.8), "baselines": {"transport": 1.0}},
            Verdict.NO_BETTER_THAN_CLOSED_FORM,
        ),
    ],
    ids=str,
)
def test_every_condition_has_to_hold(changes, value):
    result = verdict.translation_verdict(evidence(**changes))
    assert result.value is value, result.sentence()
    assert result.sentence().startswith(f"{value.value}: ") and len(result.reasons) >= 3
    assert result.is_positive == (value in verdict.POSITIVE)


def test_the_decisive_reason_comes_first():
    result = verdict.translation_verdict(evidence(content=1.0, diversity=0.0, model=20))
    assert "content is lost" in result.reasons[0] and (result.target_rate, result.no_op_rate, result.n) == (0.4, 0.0, N)
    assert "collapse" in verdict.translation_verdict(evidence(diversity=0.0, model=20)).reasons[0]


def test_results_that_are_not_finite_are_the_first_reason():
    result = verdict.translation_verdict(evidence(finite=38, n=40, targets=2, accuracy=0.5))
    assert result.value is Verdict.DOES_NOT_CONVERT
    assert result.reasons[0] == "2 of 40 results have values that are infinite or NaN"
    single = verdict.translation_verdict(evidence(model=1, n=1, content=np.nan, diversity=np.nan))
    assert single.value is Verdict.CANNOT_TELL  # its content error and diversity are not defined


def test_relative_similarity_is_0_for_no_op_and_1_for_copy_synthesis():
    result = evidence(similarity=speakers(model=0.5))
    assert result.relative_similarity("model") == pytest.approx(0.5, abs=0.01)
    assert [result.relative_similarity(row) for row in ("no_op", "copy_synthesis")] == [0, 1]
    assert "relative similarity 0.50" in verdict.translation_verdict(result).reasons[1:]


def test_the_gain_is_over_the_better_baseline():
    is_better, sentence = verdict.baseline_gain(evidence(baselines={"mean_variance": 1.0, "transport": 2.0}))
    assert is_better and "better than transport" in sentence and "3.01 and 1.99" in sentence
    assert verdict.baseline_gain(evidence()) is None


@pytest.mark.parametrize(
    ("gain", "value"), [(2.0, Verdict.GENERATES), (0.8, Verdict.DOES_NOT_GENERATE), (-2.0, Verdict.DOES_NOT_GENERATE)]
)
def test_samples_must_be_significantly_nearer_than_the_gaussian(gain, value):
    row = {"kid": 1.0, "kid_gain": gain, "kid_gain_error": 0.5}
    result = verdict.sample_verdict({"model": row, "gaussian": {"kid": 1.0 + gain}})
    assert result.value is value and result.sentence().startswith(f"{value.value}: ")
