"""Scores of a classifier on held-out files."""

import numpy as np

from pipelines.evaluation import classifier_scores


def test_the_confusion_matrix_counts_each_file_once():
    classes = ("horse", "zebra", "neither")
    predictions = {"horse": np.array([0, 0, 1, 2]), "zebra": np.array([1, 1])}
    confusion = classifier_scores.confusion_matrix(predictions, classes)
    assert confusion == {
        "horse": {"horse": 2, "zebra": 1, "neither": 1},
        "zebra": {"horse": 0, "zebra": 2, "neither": 0},
    }
    assert classifier_scores.accuracies(confusion) == {"horse": 0.5, "zebra": 1.0}


def test_the_calibration_error_is_the_difference_of_confidence_and_accuracy():
    odds = np.log(0.8 / 0.2)
    logits = np.array([[odds, 0.0]] * 10)
    assert classifier_scores.calibration_error(logits, np.array([0] * 8 + [1] * 2)) < 1e-6
    assert classifier_scores.calibration_error(logits, np.array([0] * 5 + [1] * 5)) == 0.3


def test_the_summary_states_accuracies_intervals_and_calibration():
    scores = {"accuracy": {"a": 1.0, "b": 0.9}, "accuracy_interval": {"a": [0.72, 1.0], "b": [0.6, 0.98]}}
    text = classifier_scores.describe(scores | {"calibration_error": 0.0123})
    assert "accuracy a 100 %, b 90 %; 95 % intervals 72 to 100 %, 60 to 98 %; calibration error 0.012" in text
