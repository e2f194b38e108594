"""Detection metrics: AUROC, AUPR, FPR95 and their confidence intervals."""

import numpy as np
import pytest
import sklearn.metrics

from models.metrics import detection


def test_detection_is_perfect_for_separated_scores_and_chance_for_equal_ones(rng):
    usual = rng.normal(size=300)
    apart = detection.detection_metrics(usual, usual + 20)
    assert [apart[name][0] for name in ("auroc", "aupr", "fpr95")] == [1, 1, 0]
    alike = detection.detection_metrics(usual, rng.normal(size=300))
    for name, chance in (("auroc", 0.5), ("aupr", 0.5), ("fpr95", 0.95)):
        value, low, high = alike[name]
        assert low <= value <= high and low - 0.02 < chance < high + 0.02
    assert detection.detection_metrics(usual, usual, seed=1)["auroc"][0] == pytest.approx(0.5)


@pytest.mark.parametrize("count", [2, 10, 100])
def test_confidence_intervals_narrow_with_the_number_of_examples(count):
    found = detection.detection_metrics(np.arange(count), count + np.arange(count))
    bound = 0.025 ** (1 / count)  # the least share that gives so many hits in a row one time in forty
    assert found["auroc"] == pytest.approx([1, bound, 1]) and found["aupr"] == pytest.approx([1, bound, 1])
    assert found["fpr95"] == pytest.approx([0, 0, 1 - bound])


def test_confidence_intervals_have_their_coverage(rng):
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


def test_auroc_of_swapped_classes_is_the_complement(rng):
    usual, strange = rng.normal(size=50), rng.normal(size=70) + 1
    one, other = detection.detection_metrics(usual, strange), detection.detection_metrics(strange, usual)
    assert one["auroc"][0] == pytest.approx(1 - other["auroc"][0])
    with pytest.raises(ValueError, match="0 out-of-distribution"):
        detection.detection_metrics(usual, [])
