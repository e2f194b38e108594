"""Feature extractors by name, and the check of features."""

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


@pytest.mark.parametrize("name", feature_extractors.FEATURE_EXTRACTORS)
def test_features_are_finite_matrices_that_differ_between_examples(name, rng):
    training, others = rng.normal(size=(10, 4, 4, 3)), rng.normal(size=(6, 4, 4, 3))
    features = feature_extractors.fit_extractor(name, training)(others)
    feature_extractors.check_features(features, features)
    assert len(np.unique(features, axis=0)) == 6


@pytest.mark.parametrize(("name", "hint"), [("pca46", "did you mean pca64"), ("inception", "there are: pca64, pixels")])
def test_unknown_names_are_refused(name, hint):
    with pytest.raises(UserError, match=hint):
        feature_extractors.fit_extractor(name, np.ones((3, 2)))


def test_pixels_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r"\(3, 2\).*wanted \(2, 3\)"):
        feature_extractors.fit_extractor("pixels", np.ones((5, 2, 3)))(np.ones((5, 3, 2)))
