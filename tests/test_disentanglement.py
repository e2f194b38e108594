"""A perfect code scores 1, a random one near 0, a rotated one in between."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.metrics import detection, latent
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


# ------------------------------------------------------------------ continuity, completeness


def test_continuity_is_one_on_a_straight_line_and_least_in_a_jump(rng):
    line = np.linspace(0, 1, 9)[:, None] * rng.normal(size=(1, 4))
    assert latent.continuity(line) == pytest.approx(1) and latent.straightness(line) == pytest.approx(1)
    assert latent.continuity(np.repeat([0.0, 1.0], 5)) == pytest.approx(1 / 9)
    assert np.isnan(latent.continuity(line * np.nan)) and np.isnan(latent.straightness(line * np.nan))
    assert latent.continuity(line[::-1] * 3 + 1) == pytest.approx(1)
    arc = np.stack([np.cos(np.linspace(0, np.pi, 50)), np.sin(np.linspace(0, np.pi, 50))], axis=1)
    assert latent.continuity(arc) == pytest.approx(1) and latent.straightness(arc) == pytest.approx(2 / np.pi, abs=0.01)


def test_what_is_like_outputs_for_examples_is_accepted_and_mush_and_noise_are_not(rng):
    patterns = rng.normal(size=(6, 8, 8, 1))

    def outputs(count):
        return rng.normal(size=(count, 6)) ** 3 @ patterns.reshape(6, 64) + 0.01 * rng.normal(size=(count, 64))

    known, others, new = (outputs(count).reshape(-1, 8, 8, 1) for count in (400, 300, 400))
    support = latent.Support(known, others)
    assert support.acceptance_rate(new) == pytest.approx(0.95, abs=0.04)
    assert support.acceptance_rate(rng.normal(size=(100, 8, 8, 1))) == 0
    assert support.acceptance_rate(0.01 * new) < 0.2
    assert support.acceptance_rate(new + 50) == 0


def test_codes_that_are_the_prior_are_at_no_distance_from_it(rng):
    codes = rng.normal(size=(4000, 3))
    assert latent.gaussian_kl_to_prior(codes) < 0.01 < latent.gaussian_kl_to_prior(2 * codes)
    assert abs(latent.distance_to_prior(codes)) < 0.1 < latent.distance_to_prior(codes + 1)
    assert latent.active_units(codes * [1, 0.05, 0]) == 1


# ------------------------------------------------------------------ detection


def test_detection_of_what_is_apart_is_perfect_and_of_the_same_is_chance(rng):
    usual = rng.normal(size=300)
    apart = detection.detection_metrics(usual, usual + 20)
    assert [apart[name][0] for name in ("auroc", "aupr", "fpr95")] == [1, 1, 0]
    alike = detection.detection_metrics(usual, rng.normal(size=300))
    for name, chance in (("auroc", 0.5), ("aupr", 0.5), ("fpr95", 0.95)):
        value, low, high = alike[name]
        assert low <= value <= high and low - 0.02 < chance < high + 0.02
    assert detection.detection_metrics(usual, usual, seed=1)["auroc"][0] == pytest.approx(0.5)


@pytest.mark.parametrize("count", [2, 10, 100])
def test_perfect_detection_of_few_is_less_sure_than_of_many(count):
    found = detection.detection_metrics(np.arange(count), count + np.arange(count))
    bound = 0.025 ** (1 / count)  # the least share that gives so many hits in a row one time in forty
    assert found["auroc"] == pytest.approx([1, bound, 1]) and found["aupr"] == pytest.approx([1, bound, 1])
    assert found["fpr95"] == pytest.approx([0, 0, 1 - bound])


def test_intervals_hold_the_truth_as_often_as_they_say(rng):
    truth = 0.92135  # of normal scores two deviations apart
    held = 0
    for _ in range(100):
        _, low, high = detection.detection_metrics(rng.normal(size=8), rng.normal(size=8) + 2)["auroc"]
        held += low <= truth <= high
    assert held >= 93


@pytest.mark.parametrize("tied", [False, True])
def test_measures_are_those_of_scikit_learn(rng, tied):
    usual, strange = rng.normal(size=50), rng.normal(size=70) + 1
    if tied:
        usual, strange = np.round(usual), np.round(strange)
    found = detection.detection_metrics(usual, strange)
    labels, scores = np.repeat([0, 1], [50, 70]), np.concatenate([usual, strange])
    assert found["auroc"][0] == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))
    assert found["aupr"][0] == pytest.approx(sklearn.metrics.average_precision_score(labels, scores))
    limit = np.quantile(usual, 0.95, method="inverted_cdf")
    assert found["fpr95"][0] == pytest.approx(np.mean(strange <= limit))


def test_detection_turned_round_is_its_complement(rng):
    usual, strange = rng.normal(size=50), rng.normal(size=70) + 1
    one, other = detection.detection_metrics(usual, strange), detection.detection_metrics(strange, usual)
    assert one["auroc"][0] == pytest.approx(1 - other["auroc"][0])
    with pytest.raises(ValueError, match="0 out-of-distribution"):
        detection.detection_metrics(usual, [])
