"""Fit of the domain classifier to training files, and its scores on held-out files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.features.spec import Spec
from pipelines.evaluation import classifier_scores, domain_classifier
from pipelines.evaluation.classifier_calibration import split_examples
from pipelines.evaluation.examples import Example, sample_examples

MAX_INVERTED = 32  # training recordings of a domain that are inverted; selected by a stable hash

Resynthesize = Callable[[list[Example]], list[Example]]


def fit_and_score(
    training: Mapping[str, Sequence[Example]],
    test: Mapping[str, list[Example]],
    spec: Spec,
    *,
    resynthesize: Resynthesize | None = None,
    inverted_test: Mapping[str, list[Example]] | None = None,
    seed: int = 0,
) -> tuple[domain_classifier.DomainClassifier, dict]:
    """Fit a domain classifier to a part of the training files, calibrate it on the others, and score it.

    Speech is fitted to as it is, and after the inverter: of `MAX_INVERTED` recordings, because inversion is slow.

    Args:
      training: domain to training examples.
      test: domain to held-out examples.
      spec: of the records.
      resynthesize: the inverter of speech; None for images.
      inverted_test: the held-out examples of speech after the inverter; None for images.
      seed: random seed.

    Returns:
      The classifier, and its scores, see :func:`classifier_scores.score`.
    """
    splits = {name: split_examples(examples) for name, examples in training.items()}
    fitted = _features({name: split[0] for name, split in splits.items()}, resynthesize)
    validation = _features({name: split[1] or split[0] for name, split in splits.items()}, resynthesize)
    classifier = domain_classifier.fit(fitted, spec, validation=validation, seed=seed)
    inverted = _features(inverted_test) if inverted_test else None
    return classifier, classifier_scores.score(classifier, _features(test), inverted)


def _features(
    examples: Mapping[str, list[Example]], resynthesize: Resynthesize | None = None
) -> dict[str, list[np.ndarray]]:
    """Features of examples by domain, followed by those of their resynthesis.

    Of a sample of `MAX_INVERTED` of them, which is repeated: there are as many inverted features as originals.
    """
    features = {name: [x.features for x in values] for name, values in examples.items()}
    if resynthesize is None:
        return features
    inverted = {name: resynthesize(sample_examples(values, MAX_INVERTED)) for name, values in examples.items()}
    return {
        name: values + [x.features for x in itertools.islice(itertools.cycle(inverted[name]), len(values))]
        for name, values in features.items()
    }
