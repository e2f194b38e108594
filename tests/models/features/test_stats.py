"""Moments: sums that merge in any order, and what they say of the data."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from testbed import laws

from models.features import stats
from models.features.stats import Moments

values = st.floats(-12, 12, width=32)


def vectors(bins=3, least=0):
    """`[frames, bins]` like log-mels."""
    shape = st.tuples(st.integers(least, 12), st.just(bins))
    return arrays.arrays(np.float64, shape, elements=values)


def fields(moments):
    return {field.name: getattr(moments, field.name) for field in dataclasses.fields(moments)}


def assert_same(found, wanted, **tolerance):
    for name, value in fields(wanted).items():
        np.testing.assert_allclose(getattr(found, name), value, err_msg=name, **{"atol": 1e-9, **tolerance})


def log_mels(rng, frames=300, bins=4):
    """Correlated over time and over bins."""
    white = rng.normal(size=(frames + 4, bins))
    smooth = sum(white[n : n + frames] for n in range(5))
    return smooth @ rng.normal(size=(bins, bins)) - 5


# ------------------------------------------------------------------ merging


@laws
@given(a=vectors(), b=vectors())
def test_the_moments_of_two_sets_merge_to_those_of_their_union(a, b):
    assert_same(stats.merge(Moments.of(a), Moments.of(b)), Moments.of(np.concatenate([a, b])))


@laws
@given(a=vectors(), b=vectors(), c=vectors(), lags=st.integers(0, 3))
def test_merging_is_commutative_and_associative_and_nothing_is_neutral(a, b, c, lags):
    a, b, c = (Moments.of(x, lags=lags) for x in (a, b, c))
    assert_same(stats.merge(a, b), stats.merge(b, a))
    assert_same(stats.merge(stats.merge(a, b), c), stats.merge(a, stats.merge(b, c)))
    assert_same(stats.merge(a, Moments.empty(3, lags)), a, atol=0)


def test_the_moments_of_nothing_are_those_that_merging_begins_with():
    assert_same(Moments.of(np.zeros((0, 3)), lags=2), Moments.empty(3, 2))
    nothing = Moments.empty(3)
    assert nothing.count == 0 and not nothing.mean.any() and (nothing.std == stats.STD_FLOOR).all()


@laws
@given(x=arrays.arrays(np.float64, (4, 2, 5, 3), elements=values))
def test_all_axes_but_the_last_are_examples(x):
    assert_same(Moments.of(x), Moments.of(x.reshape(40, 3)))
    assert Moments.of(x).count == 40


# ------------------------------------------------------------------ what they say


@laws
@given(x=vectors(least=1))
def test_mean_covariance_and_deviation_are_those_of_numpy(x):
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(moments.covariance(0), np.cov(x.T, ddof=0), atol=1e-9)
    np.testing.assert_allclose(moments.std, np.maximum(x.std(axis=0), stats.STD_FLOOR), atol=1e-6)
    np.testing.assert_array_equal(moments.highest, x.max(axis=0))


@laws
@given(x=vectors(least=1), mask=st.lists(st.booleans(), min_size=12, max_size=12), lags=st.integers(0, 5))
def test_sums_at_every_lag_are_those_of_the_pairs_whose_first_is_active(x, mask, lags):
    active = np.array(mask[: len(x)])
    moments = Moments.of(x, active=active, lags=lags)
    for lag in range(lags + 1):
        pairs = [(x[t], x[t + lag]) for t in range(len(x) - lag) if active[t]]
        assert moments.pairs[lag] == len(pairs)
        lead, trail, products = np.zeros(3), np.zeros(3), np.zeros((3, 3))
        for first, then in pairs:
            lead, trail, products = lead + first, trail + then, products + np.outer(first, then)
        np.testing.assert_allclose(moments.lead[lag], lead, atol=1e-9)
        np.testing.assert_allclose(moments.trail[lag], trail, atol=1e-9)
        np.testing.assert_allclose(moments.products[lag], products, atol=1e-9)
    assert moments.count == active.sum()


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_the_covariance_at_a_lag_is_that_of_the_centred_frames(lag, rng):
    x = log_mels(rng)
    centred = x - x.mean(axis=0)
    wanted = centred[: len(x) - lag].T @ centred[lag:] / len(x)
    np.testing.assert_allclose(Moments.of(x, lags=3).covariance(lag), wanted, atol=1e-9)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_a_sequence_run_backwards_has_its_covariances_transposed(lag, rng):
    x = log_mels(rng)
    forwards, backwards = Moments.of(x, lags=3), Moments.of(x[::-1], lags=3)
    np.testing.assert_allclose(backwards.covariance(lag), forwards.covariance(lag).T, atol=1e-9)


def test_frames_that_are_not_active_do_not_count(rng):
    x = log_mels(rng)
    active = np.arange(len(x)) % 3 == 0
    assert_same(Moments.of(x, active=active), Moments.of(x[active]))


# ------------------------------------------------------------------ JSON


@pytest.mark.parametrize(("dtype", "tolerance"), [("<f4", 1e-6), ("<f8", 0)])
def test_moments_survive_json(dtype, tolerance, rng):
    moments = Moments.of(log_mels(rng), lags=2)
    row = json.loads(json.dumps(moments.to_json(dtype)))
    found = Moments.from_json(row)
    assert_same(found, moments, rtol=tolerance, atol=0)
    assert found.to_json(dtype)["products"] == row["products"]
    np.testing.assert_allclose(row["mean"], moments.mean, atol=1e-6)
    np.testing.assert_allclose(row["std"], moments.std, atol=1e-6)
    assert row["count"] == moments.count == found.count


def test_the_moments_of_nothing_survive_json():
    row = json.loads(json.dumps(Moments.empty(3, 2).to_json()))
    assert_same(Moments.from_json(row), Moments.empty(3, 2))


def test_the_bytes_do_not_tell_in_what_order_workers_were_merged(rng):
    shares = [Moments.of(log_mels(rng, frames=20), lags=2) for _ in range(10)]
    texts = set()
    for _ in range(5):
        merged = Moments.empty(4, 2)
        for n in rng.permutation(len(shares)):
            merged = stats.merge(merged, shares[n])
        texts.add(json.dumps(merged.to_json()))
    assert len(texts) == 1


# ------------------------------------------------------------------ normalising


@laws
@given(x=vectors(least=1), y=vectors())
def test_denormalising_undoes_normalising(x, y):
    moments = Moments.of(x)
    np.testing.assert_allclose(stats.denormalize(stats.normalize(y, moments), moments), y, atol=1e-8)
    np.testing.assert_allclose(stats.normalize(stats.denormalize(y, moments), moments), y, atol=1e-8)


def test_normalised_activations_have_zero_mean_and_unit_variance(rng):
    x = log_mels(rng)
    found = Moments.of(stats.normalize(x, Moments.of(x)))
    np.testing.assert_allclose(found.mean, 0, atol=1e-9)
    np.testing.assert_allclose(found.std, 1, atol=1e-9)


@laws
@given(value=values, frames=st.integers(1, 500))
def test_a_bin_that_never_varies_is_normalised_to_zero(value, frames):
    x = np.full((frames, 2), value)
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.std, stats.STD_FLOOR)
    np.testing.assert_allclose(stats.normalize(x, moments), 0, atol=1e-8)
