"""Scores of a domain classifier on held-out files: accuracy, confusion matrix and calibration error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

NEITHER = "neither"  # the class of images that belong to no domain
NUM_BINS = 10  # of the calibration error

Confusion = dict[str, dict[str, int]]  # true domain to predicted class to number of files


def score(classifier, plain: Mapping[str, Sequence[np.ndarray]], inverted: Mapping | None = None) -> dict[str, Any]:
    """Return the scores of a domain classifier on held-out files.

    Args:
      classifier: :class:`pipelines.evaluation.domain_classifier.DomainClassifier`.
      plain: domain to features of held-out files.
      inverted: the same after the inverter; None for images.

    Returns:
      `kind` and `temperature` of the classifier; `accuracy` by domain, of speech also `accuracy_inverted`; and of the
      inverted files of speech, otherwise of the files: `confusion`, `accuracy_interval` (95 %, Wilson) by domain, and
      `calibration_error`.
    """
    scores: dict[str, Any] = {"kind": classifier.kind, "temperature": classifier.calibration.temperature}
    scores["accuracy"] = classifier.accuracy(plain)
    examples = plain
    if inverted is not None:
        examples, scores["accuracy_inverted"] = inverted, classifier.accuracy(inverted)
    scores["confusion"] = classifier.confusion(examples)
    scores["accuracy_interval"] = {name: wilson_interval(row, name) for name, row in scores["confusion"].items()}
    logits = {name: classifier.logits(examples[name]) for name in scores["confusion"]}
    labels = np.concatenate([np.full(len(z), classifier.classes.index(name)) for name, z in logits.items()])
    scores["calibration_error"] = calibration_error(np.concatenate(list(logits.values())), labels)
    return scores


def describe(scores: Mapping[str, Any]) -> str:
    """Return a sentence with the accuracies and their intervals, and the calibration error where it is known."""
    parts = []
    for kind in ("accuracy", "accuracy_inverted"):
        if kind in scores:
            values = (f"{domain} {100 * accuracy:.0f} %" for domain, accuracy in scores[kind].items())
            parts.append(f"{kind.replace('_', ' ')} {', '.join(values)}")
    if "accuracy_interval" in scores:
        intervals = (f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in scores["accuracy_interval"].values())
        parts.append(f"95 % intervals {', '.join(intervals)}")
    if "calibration_error" in scores:
        parts.append(f"calibration error {scores['calibration_error']:.3f}")
    return f"Domain classifier on held-out files: {'; '.join(parts)}."


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


def wilson_interval(row: Mapping[str, int], domain: str) -> list[float]:
    """Return the ends of the 95 % Wilson interval of the accuracy on a domain, from its row of a confusion matrix.

    >>> [round(end, 3) for end in wilson_interval({"horse": 10, "zebra": 0}, "horse")]
    [0.722, 1.0]
    """
    interval = scipy.stats.binomtest(row[domain], sum(row.values())).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: mean difference of confidence and accuracy over bins of the confidence.

    Ten bins of equal width, weighted by their numbers of examples (Guo et al., arXiv:1706.04599, Eq. 3).

    Args:
      logits: `[n, classes]`.
      labels: index of the class of each example, int `[n]`.

    >>> calibration_error(np.array([[9.0, -9.0], [9.0, -9.0]]), np.array([0, 1]))
    0.5
    """
    probabilities = scipy.special.softmax(logits, axis=1)
    confidence, is_correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.bincount(bins, weights=is_correct - confidence, minlength=NUM_BINS)
    return round(float(np.abs(gaps).sum() / len(labels)), 6)
