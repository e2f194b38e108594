"""The verdict on a translator: against the no-op and against its initial filter."""

import numpy as np
import pytest

from pipelines.evaluation import verdict


def shares(heard, of=50):
    return np.arange(of) < heard


@pytest.mark.parametrize(
    ("model", "no_op", "said"),
    [(50, 0, "converts: "), (20, 0, "converts in part: "), (2, 0, "does not convert"), (40, 40, "does not convert")],
)
def test_the_verdict_compares_with_doing_nothing(model, no_op, said):
    assert verdict.verdict(shares(model), shares(no_op)).startswith(said)


def test_of_too_few_files_nothing_is_said():
    assert verdict.verdict(shares(3, 3), shares(0, 3)).startswith("too few files to tell: 3 where 4")
    assert verdict.verdict(shares(4, 4), shares(0, 4)).startswith("converts")


@pytest.mark.parametrize(("model", "said"), [(50, "more often than transport"), (20, "less"), (41, "no difference")])
def test_what_training_gained_is_said_beside_the_verdict(model, said):
    heard = {"mean_variance": shares(10), "transport": shares(40), "model": shares(model)}
    assert said in verdict.gained(heard, {})
