"""Scores of a domain classifier on held-out files: accuracy and confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

NEITHER = "neither"  # the class of images that belong to no domain

Confusion = dict[str, dict[str, int]]  # true domain to predicted class to number of files


def confusion_matrix(predictions: Mapping[str, np.ndarray], classes: Sequence[str]) -> Confusion:
    """Count the predicted classes of the files of each domain.

    Args:
      predictions: domain to the indices of the predicted classes, int `[n]`.
      classes: names of the classes.

    >>> confusion_matrix({"horse": np.array([0, 0, 2])}, ("horse", "zebra", "neither"))
    {'horse': {'horse': 2, 'zebra': 0, 'neither': 1}}
    """
    return {
        domain: {name: int(np.sum(indices == n)) for n, name in enumerate(classes)}
        for domain, indices in predictions.items()
    }


def accuracies(confusion: Confusion) -> dict[str, float]:
    """Return the share of correctly classified files by domain; domains without files are left out.

    >>> accuracies({"horse": {"horse": 3, "zebra": 1}, "zebra": {"horse": 0, "zebra": 0}})
    {'horse': 0.75}
    """
    return {domain: row[domain] / sum(row.values()) for domain, row in confusion.items() if any(row.values())}
