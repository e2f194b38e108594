"""Disentanglement metrics: perfect, random and rotated codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.metrics import disentanglement as dis

SIZES = (4, 3, 5)


@pytest.fixture(scope="module")
def factors():
    """Every combination, as often as every other."""
    grid = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), axis=-1).reshape(-1, len(SIZES))
    return np.tile(grid, (20, 1))


@pytest.fixture(scope="module")
def codes(factors):
    """By kind: each factor in a dimension of its own, none at all, and all dimensions mixed."""
    rng = np.random.default_rng(0)
    perfect = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return {"perfect": perfect, "random": rng.normal(size=factors.shape), "rotated": perfect @ turn}


@pytest.fixture(scope="module")
def scores(codes, factors):
    return {name: dis.scores(x, factors) for name, x in codes.items()}


@pytest.mark.parametrize(
    "name", ["mig", "modularity", "sap", "factor_vae", "dci_disentanglement", "dci_completeness", "dci_informativeness"]
)
def test_a_perfect_code_scores_one(scores, name):
    assert scores["perfect"][name] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "most"), [("mig", 0.02), ("sap", 0.05), ("dci_disentanglement", 0.1), ("factor_vae", 0.6)]
)
def test_a_random_code_scores_next_to_nothing(scores, name, most):
    assert 0 <= scores["random"][name] < most  # FactorVAE: the commonest of three factors is right one time in three


@pytest.mark.parametrize("name", ["mig", "sap", "modularity", "dci_disentanglement", "dci_completeness"])
def test_a_rotated_code_is_in_between(scores, name):
    assert scores["rotated"][name] < 0.8 * scores["perfect"][name]
    if name != "modularity":  # of what knows nothing, all that it knows may be of one factor
        assert scores["random"][name] < scores["rotated"][name]


def test_a_rotation_loses_no_information(scores):
    assert scores["rotated"]["dci_informativeness"] > 0.9 and scores["random"]["dci_informativeness"] < 0.1


@given(seed=st.integers(0, 100))
@laws
def test_mig_and_modularity_do_not_depend_on_the_order_or_sign_of_dimensions(seed):
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 4, (200, 2))
    codes = np.concatenate([factors + 0.3 * rng.normal(size=(200, 2)), rng.normal(size=(200, 1))], axis=1)
    order = rng.permutation(3)
    for score in (dis.mig, dis.modularity):
        assert score(codes[:, order], factors) == pytest.approx(score(codes, factors))
        assert score(codes, factors[:, ::-1]) == pytest.approx(score(codes, factors))
    assert dis.mig(4 * codes + 3, factors) == pytest.approx(dis.mig(codes, factors), abs=1e-6)


def test_two_dimensions_that_know_the_same_leave_no_gap(factors):
    assert dis.mig(np.concatenate([factors, factors], axis=1), factors) == pytest.approx(0)


def test_a_factor_that_never_varies_counts_for_nothing(codes, factors):
    still = np.insert(factors, 1, 3, axis=1)
    for code in codes.values():
        assert dis.scores(code, still) == pytest.approx(dis.scores(code, factors))


@given(seed=st.integers(0, 100))
@laws
def test_mutual_information_is_symmetric_and_at_most_either_entropy(seed):
    x, y = np.random.default_rng(seed).integers(0, 5, (2, 60))
    found = dis.mutual_information(x, y)
    assert 0 <= found <= min(dis.entropy(x), dis.entropy(y)) + 1e-9
    assert found == pytest.approx(dis.mutual_information(y, x))
    assert dis.mutual_information(x, x) == pytest.approx(dis.entropy(x))
    table = np.histogram2d(x, y, bins=(5, 5), range=((0, 5), (0, 5)))[0] / 60
    p, q, pq = table.sum(1, keepdims=True), table.sum(0, keepdims=True), table
    assert found == pytest.approx(float(np.sum(pq[pq > 0] * np.log((pq / (p * q + 1e-30))[pq > 0]))))


def test_many_values_fall_into_bins_of_one_width():
    assert np.bincount(dis.discretize(np.linspace(0, 1, 1000))).tolist() == [50] * 20
    with pytest.raises(ValueError, match="at least 10"):
        dis.mig(np.zeros((3, 2)), np.zeros((3, 2), int))
