"""Calibration of a domain classifier on validation files: temperature, and threshold of the class "neither"."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

from pipelines import stable_hash
from pipelines.evaluation.examples import Example

VALIDATION_FRACTION = 0.15  # of the training files of a domain
MIN_FOLDERS = 5  # of a domain, from which on whole folders are held out: speakers, scenes
MAX_TEMPERATURE = 20.0
MAX_FALSE_REJECTIONS = 0.02  # share of the validation files of a domain that may be classified as neither
MIN_REJECTIONS = 0.95  # share of broken images that is rejected if the threshold permits it
NEITHER_PRIOR_ODDS = 99.0  # highest odds against "neither": files belong to a domain


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Calibration of logits.

    Attributes:
      temperature: divisor of the logits (Guo et al., arXiv:1706.04599).
      neither_offset: subtracted from the logit of "neither" before it is divided.
    """

    temperature: float = 1.0
    neither_offset: float = 0.0

    def apply(self, logits: np.ndarray, num_domains: int) -> np.ndarray:
        """Return calibrated logits `[n, classes]`; the classes after the domains are "neither"."""
        shifted = np.array(logits, np.float64)
        shifted[:, num_domains:] -= self.neither_offset
        return shifted / self.temperature


def split_examples(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Split the training examples of a domain into those to fit to, and about 15 % for validation.

    Whole folders are held out from five folders on, otherwise files; a stable hash selects them. Of fewer than two
    groups none is held out.
    """
    folders = {posixpath.dirname(x.path) for x in examples}
    key = (lambda x: posixpath.dirname(x.path)) if len(folders) >= MIN_FOLDERS else (lambda x: x.id)
    groups = sorted({key(x) for x in examples}, key=lambda group: stable_hash.stable_fraction(f"calibrate:{group}"))
    held_out = set(groups[: min(len(groups) - 1, max(1, round(VALIDATION_FRACTION * len(groups))))])
    return [x for x in examples if key(x) not in held_out], [x for x in examples if key(x) in held_out]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that minimises the cross entropy of validation files.

    The targets are smoothed as by Platt (1999): without errors on few files the best temperature would be zero.

    Args:
      logits: `[n, classes]`.
      labels: index of the domain of each file, int `[n]`.

    >>> logits = np.array([[9.0, 0.0]] * 9 + [[9.0, 0.0]] * 3)
    >>> 5 < fit_temperature(logits, np.array([0] * 9 + [1] * 3)) < 20
    True
    """
    num_files, classes = logits.shape
    targets = (np.eye(classes)[labels] * num_files + 1) / (num_files + classes)

    def cross_entropy(log_temperature: float) -> float:
        log_probabilities = scipy.special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-np.sum(targets * log_probabilities))

    bounds = (-np.log(MAX_TEMPERATURE), np.log(MAX_TEMPERATURE))
    return float(np.exp(scipy.optimize.minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def fit_neither_offset(logits: np.ndarray, labels: np.ndarray, broken: np.ndarray) -> float:
    """Return the offset of "neither": odds of 99 to 1 against it, less if these miss broken images.

    It is not below the bound that exceeds `MAX_FALSE_REJECTIONS` of the files of a domain, by the prediction interval
    of a normal distribution of their margins: few validation files give a high bound.

    Args:
      logits: of validation files, not divided by the temperature, `[n, domains + 1]`.
      labels: index of the domain of each file, int `[n]`.
      broken: logits of broken images, `[m, domains + 1]`.
    """
    margins, broken_margins = (z[:, -1] - z[:, :-1].max(axis=1) for z in (logits, broken))
    lowest = max(_prediction_bound(margins[labels == n]) for n in np.unique(labels))
    needed = np.quantile(broken_margins, 1 - MIN_REJECTIONS)
    return float(min(max(lowest, needed), np.log(NEITHER_PRIOR_ODDS)))


def _prediction_bound(x: np.ndarray) -> float:
    """Bound that a further value of a normal distribution exceeds with probability `MAX_FALSE_REJECTIONS`.

    For few values it is far above all of them; then it is the highest value and the log of `NEITHER_PRIOR_ODDS`.
    """
    highest = float(x.max() + np.log(NEITHER_PRIOR_ODDS))
    if len(x) < 2:
        return highest
    quantile = scipy.stats.t.ppf(1 - MAX_FALSE_REJECTIONS, len(x) - 1)
    return min(highest, float(x.mean() + quantile * x.std(ddof=1) * np.sqrt(1 + 1 / len(x))))
