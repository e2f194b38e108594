"""Feature extractors by name, and the check of features."""

import importlib.metadata

import numpy as np
import pytest

from models.errors import UserError
from models.metrics import feature_extractors
from models.metrics.generation import PrincipalComponents


def test_pca64_is_the_extractor_of_principal_components(rng):
    training, others = rng.normal(size=(80, 5, 20)), rng.normal(size=(3, 5, 20))
    features = feature_extractors.fit_extractor("pca64", training)(others)
    np.testing.assert_array_equal(features, PrincipalComponents(training).transform(others))
    assert features.shape == (3, 64)


@pytest.mark.parametrize("name", ["pca64", "pixels"])
def test_features_are_finite_matrices_that_differ_between_examples(name, rng):
    training, others = rng.normal(size=(10, 4, 4, 3)), rng.normal(size=(6, 4, 4, 3))
    features = feature_extractors.fit_extractor(name, training)(others)
    feature_extractors.check_features(features, features)
    assert len(np.unique(features, axis=0)) == 6


@pytest.mark.parametrize(
    ("name", "hint"), [("pca46", "did you mean pca64"), ("zzzzz", "there are: efficientnet_lite0, pca64, pixels")]
)
def test_unknown_names_are_refused(name, hint):
    with pytest.raises(UserError, match=hint):
        feature_extractors.fit_extractor(name, np.ones((3, 2)))


def test_pixels_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r"\(3, 2\).*wanted \(2, 3\)"):
        feature_extractors.fit_extractor("pixels", np.ones((5, 2, 3)))(np.ones((5, 3, 2)))


def fit_means(examples):
    """An extractor of another distribution: the mean of each channel."""
    return lambda others: others.mean(axis=(1, 2))


def test_an_installed_extractor_is_found_by_its_entry_point(monkeypatch, rng):
    entry = importlib.metadata.EntryPoint("means", f"{__name__}:fit_means", feature_extractors.GROUP)
    points = {feature_extractors.GROUP: [entry]}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points.get(group, []))
    assert list(feature_extractors.available()) == ["efficientnet_lite0", "means", "pca64", "pixels"]
    features = feature_extractors.fit_extractor("means", np.ones((3, 4, 4, 2)))(rng.normal(size=(5, 4, 4, 2)))
    assert features.shape == (5, 2)
