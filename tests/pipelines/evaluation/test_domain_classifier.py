"""The domain classifier: accuracy on held-out files, rejection of noise, reproducibility."""

import numpy as np
import pytest

from models.features import ood_examples
from pipelines.evaluation import domain_classifier, translation_quality


def test_the_classifier_is_invariant_to_inversion(speech_run, held_out):
    _, accuracies = translation_quality.Evaluator(speech_run, held_out).train_classifier()
    for kind in ("accuracy", "accuracy_inverted"):
        assert set(accuracies[kind]) == {"low", "high"} and min(accuracies[kind].values()) >= 0.9
    for domain, row in accuracies["confusion"].items():
        assert list(row) == ["low", "high"]
        assert row[domain] / sum(row.values()) == accuracies["accuracy_inverted"][domain]


def test_the_classifier_separates_image_domains(picture_run, picture_records):
    _, accuracies = translation_quality.Evaluator(picture_run, picture_records).train_classifier()
    assert min(accuracies["accuracy"].values()) == 1.0
    assert all(list(row) == [*accuracies["accuracy"], "neither"] for row in accuracies["confusion"].values())


@pytest.mark.slow
def test_the_classifier_assigns_noise_to_neither_domain(picture_run, picture_records):
    evaluator = translation_quality.Evaluator(picture_run, picture_records)
    classifier, accuracies = evaluator.train_classifier()
    assert min(accuracies["accuracy"].values()) == 1.0
    rng = np.random.default_rng(5)
    images = 8 * [x.features for split in evaluator.test.values() for x in split]  # one of 64 may differ, not one of 8
    noise = [rng.uniform(-1, 1, x.shape).astype(np.float32) for x in images]
    scrambled = [rng.permutation(x.reshape(-1, x.shape[-1])).reshape(x.shape) for x in images]
    for broken in (noise, scrambled, [ood_examples.ood_example(x, rng) for x in images]):
        assert np.mean(classifier.predict(broken) == 2) >= 0.9


def test_a_classifier_is_the_same_for_the_same_seed(speech_run, held_out):
    evaluator = translation_quality.Evaluator(speech_run, held_out)
    features = {name: [x.features for x in split] for name, split in evaluator.test.items()}
    logits = [
        domain_classifier.fit(features, evaluator.spec, seed=3, steps=5).logits(features["low"][:1]) for _ in "ab"
    ]
    np.testing.assert_array_equal(*logits)
