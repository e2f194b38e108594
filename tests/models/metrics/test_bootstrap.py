"""Bootstrap intervals: coverage on synthetic data, a second implementation, pairs."""

import numpy as np
import pytest
import scipy.stats

from models.errors import UserError
from models.metrics import bootstrap
from models.metrics.bootstrap import bootstrap_interval, paired_bootstrap_interval


def coverage(sets, truth, statistic=np.mean):
    intervals = [bootstrap_interval(rows, statistic, draws=400) for rows in sets]
    return np.mean([low <= truth <= high for _, low, high in intervals])


@pytest.mark.parametrize(
    ("distribution", "truth", "statistic"),
    [("normal", 0.0, np.mean), ("exponential", 1.0, np.mean), ("normal", 0.0, np.median)],
)
def test_intervals_contain_the_true_value_about_95_times_of_100(distribution, truth, statistic, rng):
    sets = getattr(rng, distribution)(size=(300, 50))
    assert 0.90 <= coverage(sets, truth, statistic) <= 0.985  # a standard error of 0.013, and few rows


def test_the_documented_coverage_of_ten_rows(rng):
    assert coverage(rng.normal(size=(1000, 10)), 0.0) == pytest.approx(0.90, abs=0.03)


def test_equal_to_the_interval_of_scipy(rng):
    rows = rng.exponential(size=40)
    value, low, high = bootstrap_interval(rows, draws=20000)
    other = scipy.stats.bootstrap((rows,), np.mean, method="percentile", n_resamples=20000).confidence_interval
    assert value == rows.mean()
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.02)


def test_any_statistic_over_rows(rng):
    x = rng.normal(size=60)
    rows = np.stack([x, 0.8 * x + 0.6 * rng.normal(size=60)], axis=1)

    def correlation(x, axis):
        z = x - x.mean(axis=axis, keepdims=True)
        return (z[..., 0] * z[..., 1]).sum(axis=axis) / np.sqrt(np.square(z).sum(axis=axis).prod(axis=-1))

    value, low, high = bootstrap_interval(rows, correlation)
    assert value == pytest.approx(np.corrcoef(rows.T)[0, 1])
    assert 0.5 < low < value < high < 1


def test_the_interval_depends_on_the_seed_alone(rng, monkeypatch):
    rows = rng.normal(size=(30, 2)).prod(axis=1)
    first = bootstrap_interval(rows)
    assert bootstrap_interval(rows) == first != bootstrap_interval(rows, seed=1)
    monkeypatch.setattr(bootstrap, "MAX_BATCH_VALUES", 1000)  # several batches
    assert bootstrap_interval(rows) == first


def test_a_paired_interval_is_that_of_the_differences_for_the_mean(rng):
    x, y = rng.normal(size=(2, 25))
    assert paired_bootstrap_interval(x, y) == pytest.approx(bootstrap_interval(x - y))


def test_pairs_cancel_the_variation_between_examples(rng):
    examples = 10 * rng.normal(size=40)
    x, y = examples + 1 + 0.1 * rng.normal(size=40), examples
    assert paired_bootstrap_interval(x, y, np.median).low > 0.5
    assert bootstrap_interval(x).low < bootstrap_interval(y).high  # separate intervals overlap


@pytest.mark.parametrize(
    ("rows", "message"),
    [([1.0], "two rows"), ([], "two rows"), (1.0, "two rows"), ([1.0, np.nan], "finite")],
)
def test_too_few_or_unusable_rows_are_refused(rows, message):
    with pytest.raises(UserError, match=message):
        bootstrap_interval(np.array(rows))
    with pytest.raises(UserError, match=message):
        paired_bootstrap_interval(np.array(rows), np.array(rows))


def test_pairs_of_different_lengths_are_refused():
    with pytest.raises(UserError, match="same examples"):
        paired_bootstrap_interval(np.ones(3), np.ones(4))
