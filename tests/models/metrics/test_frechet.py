"""Fréchet distance: closed form for Gaussians, and a second implementation."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, seeds

from models.errors import UserError
from models.metrics.frechet import frechet_distance


def features(seed, n, d):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def white(seed, n, d):
    """A set with mean exactly 0 and covariance exactly 1."""
    x = features(seed, n, d)
    x -= x.mean(axis=0)
    return np.linalg.qr(x)[0] * np.sqrt(n - 1)


@laws
@given(seed=seeds, d=st.integers(1, 6))
def test_equal_to_the_formula_with_a_matrix_square_root(seed, d):
    x, y = features(seed, 30, d), features(seed + 1, 20, d)
    cov_x, cov_y = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    root = np.atleast_2d(scipy.linalg.sqrtm(cov_x @ cov_y)).real
    expected = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(cov_x + cov_y - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@laws
@given(seed=seeds, d=st.integers(1, 5))
def test_closed_form_for_gaussians_of_the_same_axes(seed, d):
    rng = np.random.default_rng(seed)
    shift, std_x, std_y = rng.normal(size=d), *rng.uniform(0.1, 3, (2, d))
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    x, y = white(seed, 20, d) * std_x @ rotation, (white(seed + 1, 30, d) * std_y + shift) @ rotation
    expected = np.square(shift).sum() + np.square(std_x - std_y).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@laws
@given(seed=seeds, n=st.integers(2, 12), d=st.integers(1, 20))
def test_symmetric_and_zero_for_equal_sets_also_with_singular_covariances(seed, n, d):
    x, y = features(seed, n, d), features(seed + 1, 7, d)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9 * np.square(x).sum())
    assert frechet_distance(x, x + 1) == pytest.approx(d, rel=1e-6)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 2)), ((5, 3, 2), (5, 3, 2))])
def test_unusable_features_are_refused(shapes):
    with pytest.raises(UserError, match="same number of features"):
        frechet_distance(*map(np.ones, shapes))
    with pytest.raises(UserError, match="finite"):
        frechet_distance(np.full((3, 2), np.nan), np.ones((3, 2)))
