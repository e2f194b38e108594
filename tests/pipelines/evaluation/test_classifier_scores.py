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
