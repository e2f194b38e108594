"""Paths between codes, weights of what is rare, and how strange an example is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import latent_space, outliers

seeds = st.integers(0, 1000)
PATHS = pytest.mark.parametrize("path", [latent_space.linear, latent_space.spherical])


@PATHS
@given(seed=seeds)
@laws
def test_a_path_begins_and_ends_where_it_should(path, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 3, 5))
    made = path(a, b, 7)
    assert made.shape == (7, 3, 5)
    np.testing.assert_allclose([made[0], made[-1]], [a, b], atol=1e-9)
    np.testing.assert_allclose(path(b, a, 7), made[::-1], atol=1e-9)


@given(seed=seeds)
@laws
def test_spherical_interpolation_keeps_the_norm(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 5))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    made = latent_space.spherical(a, b, 9)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), np.linalg.norm(a))
    steps = np.linalg.norm(np.diff(made, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])


def test_between_opposite_codes_an_arc_keeps_away_from_the_origin(rng):
    a = rng.normal(size=4)
    np.testing.assert_allclose(np.linalg.norm(latent_space.spherical(a, -a, 5), axis=1), np.linalg.norm(a))


@pytest.mark.parametrize("b", [[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]])
def test_an_arc_between_codes_of_one_direction_is_a_line(b):
    a = np.array([1.0, 2.0])
    np.testing.assert_allclose(latent_space.spherical(a, np.array(b), 4), latent_space.linear(a, np.array(b), 4))


@PATHS
def test_codes_that_do_not_fit_are_refused(path):
    with pytest.raises(ValueError, match="wanted the same"):
        path(np.zeros(2), np.zeros(3), 3)
    with pytest.raises(ValueError, match="at least 2"):
        path(np.zeros(2), np.ones(2), 1)


def test_a_traversal_changes_one_dimension_only(rng):
    code = rng.normal(size=(2, 4))
    made = latent_space.traverse(code, 2, np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(made[..., 2], [[-1, -1], [0, 0], [1, 1]])
    np.testing.assert_array_equal(np.delete(made, 2, axis=-1), np.broadcast_to(np.delete(code, 2, axis=1), (3, 2, 3)))


# ------------------------------------------------------------------ what is rare


@pytest.mark.parametrize("rule", latent_space.RULES)
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1.0])
def test_weights_are_uniform_where_the_codes_are(alpha, rule):
    grid = np.linspace(0, 1, 101)[:-1] + 0.005
    codes = np.stack([grid, np.random.default_rng(0).permutation(grid) * 7 - 3], axis=1)
    np.testing.assert_allclose(latent_space.resampling_weights(codes, alpha, rule=rule), 0.01)


@given(seed=seeds, alpha=st.floats(0, 0.1), rule=st.sampled_from(latent_space.RULES))
@laws
def test_weights_follow_the_examples_and_no_order_or_unit_of_the_dimensions(seed, alpha, rule):
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(60, 3))
    weights = latent_space.resampling_weights(codes, alpha, rule=rule)
    assert weights.min() > 0 and weights.sum() == pytest.approx(1)
    order = rng.permutation(60)
    np.testing.assert_allclose(latent_space.resampling_weights(codes[order], alpha, rule=rule), weights[order])
    np.testing.assert_allclose(latent_space.resampling_weights(codes[:, [2, 0, 1]], alpha, rule=rule), weights)
    np.testing.assert_allclose(latent_space.resampling_weights(4 * codes - 2, alpha, rule=rule), weights)


def test_rules_of_rarity_agree_on_one_dimension_and_the_product_sees_what_is_odd_in_many(rng):
    one = rng.normal(size=(60, 1))
    plain, product = (latent_space.resampling_weights(one, rule=rule) for rule in latent_space.RULES)
    np.testing.assert_allclose(plain, product)
    codes = np.concatenate([np.repeat(np.eye(4), 24, axis=0), np.ones((4, 4))])
    plain, product = (latent_space.resampling_weights(codes, rule=rule)[96:].sum() for rule in latent_space.RULES)
    assert product > 2 * plain
    with pytest.raises(ValueError, match="rule 'sum'; wanted largest or product"):
        latent_space.resampling_weights(one, rule="sum")


def test_what_is_rare_in_one_dimension_weighs_more_and_with_alpha_less_so(rng):
    codes = np.concatenate([rng.normal(0, 0.1, (98, 2)), [[0.0, 5.0], [5.0, 0.0]]])
    rare = [latent_space.resampling_weights(codes, alpha)[98:] for alpha in (0.0, 0.1, 10.0)]
    assert np.all(rare[0] > rare[1]) and np.all(rare[1] > rare[2])
    assert rare[0].sum() > 0.5 and rare[2] == pytest.approx(0.01, rel=0.2)
    shares = [latent_space.effective_share(latent_space.resampling_weights(codes, alpha)) for alpha in (0.0, 0.1, 10.0)]
    assert shares == sorted(shares) and shares[2] == pytest.approx(1, abs=0.01)


@given(seed=seeds, cut=st.integers(1, 59))
@laws
def test_histograms_of_parts_merge_to_those_of_the_whole(seed, cut):
    codes = np.random.default_rng(seed).normal(size=(60, 3))
    whole = latent_space.Histograms.of(codes)
    parts = [latent_space.Histograms.of(part, span=(whole.low, whole.high)) for part in (codes[:cut], codes[cut:])]
    for merged in (latent_space.merge(*parts), latent_space.merge(*parts[::-1])):
        np.testing.assert_array_equal(merged.counts, whole.counts)
    with pytest.raises(ValueError, match="of different bins"):
        latent_space.merge(parts[0], latent_space.Histograms.of(codes, bins=3))


# ------------------------------------------------------------------ what is strange


def test_distances_do_not_depend_on_the_units_of_codes(rng):
    codes = rng.normal(size=(400, 3))
    turned = codes @ rng.normal(size=(3, 3)) * 50 + 7
    near, far = (outliers.Reference.of(x) for x in (codes, turned))
    np.testing.assert_allclose(near.mahalanobis(codes), far.mahalanobis(turned), rtol=0.05)
    np.testing.assert_allclose(np.mean(np.square(near.mahalanobis(codes))), 3, rtol=0.05)


def test_a_code_between_clusters_is_near_the_mean_and_far_from_its_neighbours(rng):
    clusters = rng.normal(size=(400, 2)) * 0.1 + np.where(np.arange(400) % 2, -3.0, 3.0)[:, None]
    reference = outliers.Reference.of(clusters)
    middle = np.zeros((1, 2))
    assert reference.mahalanobis(middle) < np.median(reference.mahalanobis(clusters))
    assert reference.knn(middle) > 5 * np.median(reference.knn(clusters))


def test_blur_and_noise_are_seen_in_sharpness(rng):
    x = rng.normal(size=(4, 8, 8, 1))
    assert np.all(outliers.sharpness(x, x) == 0)
    assert np.all(outliers.sharpness(0.5 * x, x) < 0) and np.all(outliers.sharpness(2 * x, x) > 0)


def test_a_combination_finds_what_no_score_alone_does(rng):
    usual = rng.normal(size=500)
    scores = {"a": usual, "b": usual + 0.1 * rng.normal(size=500)}  # which always agree
    made = outliers.Calibration.of(scores)
    strange = {"a": np.array([1.5]), "b": np.array([-1.5])}
    assert made.combined(strange)[0] > np.max(made.combined(scores))
    assert all(found[0] < np.quantile(made.single(scores)[name], 0.95) for name, found in made.single(strange).items())


def test_a_two_sided_score_is_strange_on_either_side(rng):
    made = outliers.Calibration.of({"sharpness": rng.normal(size=100), "knn": rng.normal(size=100)})
    found = made.single({"sharpness": np.array([-9.0, 0.0, 9.0]), "knn": np.array([-9.0, 0.0, 9.0])})
    assert min(found["sharpness"][[0, 2]]) > found["sharpness"][1] and found["knn"][0] < found["knn"][1]
    with pytest.raises(ValueError, match="score knn is missing"):
        made.combined({"sharpness": np.zeros(1)})


def test_new_examples_are_flagged_at_the_rate_that_was_asked_for(rng):
    flagged = []
    for _ in range(40):
        held_out, new = ({name: rng.normal(size=n) for name in "abcdef"} for n in (80, 400))
        limit = outliers.threshold(outliers.cross_validated_scores(held_out), 0.1)
        flagged.append(np.mean(outliers.Calibration.of(held_out).combined(new) > limit))
    assert np.mean(flagged) == pytest.approx(0.1, abs=0.02)


@given(seed=seeds, rate=st.floats(0.02, 0.9))
@laws
def test_a_threshold_lets_no_larger_share_pass_than_it_was_asked_for(seed, rate):
    scores = np.random.default_rng(seed).normal(size=99)
    limit = outliers.threshold(scores, rate)
    assert rate - 2 / 99 < np.mean(scores > limit) <= rate
    assert outliers.threshold(scores[::-1], rate) == limit


def test_a_threshold_wants_enough_examples():
    with pytest.raises(ValueError, match="9 held-out examples; wanted at least 19 for a false-positive rate"):
        outliers.threshold(np.zeros(9), 0.05)
    with pytest.raises(ValueError, match="between 0 and 1"):
        outliers.threshold(np.zeros(9), 1.0)
