"""Fit and scores of the domain classifier: which files it is fitted to, and which it is calibrated on."""

import types

import numpy as np
import pytest

from pipelines.evaluation import classifier_evaluation, classifier_scores, domain_classifier
from pipelines.evaluation.examples import Example

DOMAINS = ("a", "b")


def examples(count, offset=0):
    """Examples of two domains, whose features are their numbers."""
    return {
        name: [Example(f"{name}/{n}", f"{n}", f"{name}/{n}.wav", np.float64(n + offset)) for n in range(count)]
        for name in DOMAINS
    }


@pytest.fixture
def fitted(monkeypatch):
    """Examples that a classifier would be fitted to, calibrated on and scored on."""
    calls = types.SimpleNamespace()

    def fit(training, spec, *, validation, seed):
        calls.training, calls.validation = training, validation
        return "classifier"

    def score(classifier, plain, inverted):
        calls.plain, calls.inverted = plain, inverted
        return {}

    monkeypatch.setattr(domain_classifier, "fit", fit)
    monkeypatch.setattr(classifier_scores, "score", score)
    return calls


def resynthesize(values):
    return [Example(x.id, x.stem, x.path, x.features + 0.5) for x in values]


def test_a_file_and_its_inversion_are_on_the_same_side_of_the_split(fitted):
    test = examples(3, offset=100)
    inversion = {"resynthesize": resynthesize, "inverted_test": {name: resynthesize(x) for name, x in test.items()}}
    classifier_evaluation.fit_and_score(examples(36), test, None, **inversion)
    for name in DOMAINS:
        sides = [fitted.training[name], fitted.validation[name]]
        numbers = [{int(x) for x in side} for side in sides]
        assert not numbers[0] & numbers[1] and len(numbers[0] | numbers[1]) == 36
        assert all({n, n + 0.5} <= set(side) for side, files in zip(sides, numbers, strict=True) for n in files)
    assert fitted.plain["a"] == [100, 101, 102] and fitted.inverted["a"] == [100.5, 101.5, 102.5]


def test_a_sample_is_inverted_and_weighs_as_much_as_all_files(fitted, monkeypatch):
    monkeypatch.setattr(classifier_evaluation, "MAX_INVERTED", 4)
    classifier_evaluation.fit_and_score(examples(40), examples(3), None, resynthesize=resynthesize)
    for side in (fitted.training["a"], fitted.validation["a"]):
        originals, inverted = np.split(np.array(side), 2)
        assert np.all(originals % 1 == 0) and np.all(inverted % 1 == 0.5)
        values, counts = np.unique(inverted, return_counts=True)
        assert len(values) == 4 and np.ptp(counts) <= 1 and set(values - 0.5) <= set(originals)


def test_images_have_no_inversion_and_a_single_one_serves_both_purposes(fitted):
    classifier_evaluation.fit_and_score(examples(1), examples(2), None)
    assert fitted.training == fitted.validation == {"a": [0], "b": [0]} and fitted.inverted is None
