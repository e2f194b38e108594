"""Kernel distances between samples and data."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import train

from models.metrics.generation import PrincipalComponents, kernel_distance, relative_similarity
from pipelines.evaluation import run_evaluation, sample_quality, verdict


def test_the_kernel_distance_of_one_distribution_is_zero_on_average(rng):
    distances = [kernel_distance(*rng.normal(size=(2, 40, 3))) for _ in range(200)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / 200**0.5 and min(distances) < 0 < max(distances)


def test_the_kernel_distance_is_a_mean_over_pairs_of_different_examples(rng):
    x, y = rng.normal(size=(2, 5, 3))
    k = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
    within = [np.mean([k(s[i], s[j]) for i in range(5) for j in range(5) if i != j]) for s in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(sum(within) - 2 * across)


@given(shift=st.floats(0.5, 2.0))
def test_the_kernel_distance_grows_with_the_shift(shift):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100, 2))
    assert kernel_distance(x, y) < kernel_distance(x, y + shift) < kernel_distance(x, y + 2 * shift)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 2))])
def test_too_few_examples_or_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="wanted the same number of features"):
        kernel_distance(*map(np.ones, shapes))


def test_components_are_white_and_leave_out_constant_features(rng):
    x = np.concatenate([rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), np.ones((50, 2))], axis=1)
    projected = PrincipalComponents(x).transform(x)
    assert projected.shape == (50, 4)
    np.testing.assert_allclose(projected.T @ projected / 50, np.eye(4), atol=1e-8)


@pytest.mark.parametrize(("plugin", "kind", "extractor"), [("vae", "speech", "pca64"), ("dcgan", "pictures", "pixels")])
def test_an_evaluation_compares_samples_with_data(
    plugin, kind, extractor, speech_records, picture_records, tmp_path, capsys
):
    data_dir = {"speech": speech_records, "pictures": picture_records}[kind]
    train(str(tmp_path / "run"), data_dir, plugin, steps=1).fit()
    metrics = run_evaluation.evaluate(str(tmp_path / "run"), data_dir, str(tmp_path / "out"), extractor=extractor)
    assert metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    table = metrics["samples"]
    assert list(table) == ["training", "gaussian", "model"] and table["model"]["n"] == sample_quality.MAX_EXAMPLES
    assert abs(table["training"]["kid"]) < table["model"]["kid"]  # after one step
    assert ("reconstruction" in metrics) == (plugin == "vae")
    page = (tmp_path / "out" / "report.html").read_text()
    assert metrics["features"] == extractor and f"on the features {extractor}." in page
    assert page.count("sample 8") and (page.count("<audio") == sample_quality.NUM_SHOWN) == (kind == "speech")
    assert "generate" in capsys.readouterr().out


def test_the_significance_level_of_relative_similarity_is_correct(rng):
    gains = [relative_similarity(*(rng.normal(size=(3, 60, 4)) + [[[0.5]], [[0.5]], [[0]]])) for _ in range(300)]
    assert 0.02 < np.mean([gain > verdict.Z_THRESHOLD * error for gain, error in gains]) < 0.1


def test_relative_similarity_detects_the_relative_similarity_set(rng):
    x, y, reference = rng.normal(size=(3, 200, 4))
    for shrunk in (0.3, 1.0):
        gain, error = relative_similarity(x, shrunk * y + 0.5, reference)
        assert gain > 2 * error > 0
        assert relative_similarity(shrunk * y + 0.5, x, reference) == pytest.approx((-gain, error))


def test_the_gaussian_has_the_mean_and_the_covariance_of_the_features(rng):
    x = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3)) + 5
    samples = sample_quality._draw_gaussian(x, 20000)
    np.testing.assert_allclose(samples.mean(axis=0), x.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(x.T), rtol=0.1, atol=0.1)
