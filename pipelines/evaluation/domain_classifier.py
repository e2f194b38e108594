"""Domain classifier for evaluation, fitted to the training split and calibrated on validation files.

For speech it is fitted to every recording twice: as it is, and after the run's own front end and inverter. A classifier
that is fitted to originals only mistakes the inversion for another domain. For images it can answer *neither*: it is
also fitted to broken images, without which it assigns the output of a broken model to a domain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import scipy.special
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from models.features.spec import Spec
from models.metrics import image_embedding
from models.networks import efficientnet_lite
from pipelines.evaluation import classifier_augmentation, classifier_calibration, classifier_networks, classifier_scores
from pipelines.evaluation.classifier_augmentation import Examples
from pipelines.evaluation.classifier_calibration import Calibration

STEPS, IMAGE_STEPS = 400, 800  # of the training of a network, at most
VALIDATION_INTERVAL = 7  # every 7th example validates where no validation examples are given
NUM_BROKEN = 256  # broken images for the threshold of "neither"
MAX_BROKEN_TRAINING = 900  # broken images to which the classifier of embeddings is fitted
MIN_MEAN_ACCURACY = 0.95  # on validation images; below it the next kind of classifier is tried too
REGULARIZATION = 5.0  # inverse strength of the L2 penalty, of all examples together
PREDICT_BATCH_SIZE = 64

Logits = Callable[[Sequence[np.ndarray]], np.ndarray]  # features of examples to logits [n, classes]


@dataclasses.dataclass
class DomainClassifier:
    """A fitted domain classifier.

    Attributes:
      kind: "network", "network_unaugmented" or "efficientnet_lite0".
      uncalibrated_logits: maps features to one logit per domain, and for images one more for "neither".
      spec: of the records.
      calibration: of the logits.
    """

    kind: str
    uncalibrated_logits: Logits
    spec: Spec
    calibration: Calibration = Calibration()

    @property
    def classes(self) -> tuple[str, ...]:
        """The domains, and for images "neither"."""
        return (*self.spec.domains, *((classifier_scores.NEITHER,) if self.spec.kind == "image" else ()))

    def logits(self, examples: Sequence[np.ndarray]) -> np.ndarray:
        """Return one calibrated logit per class for each example, `[n, classes]`."""
        return self.calibration.apply(self.uncalibrated_logits(examples), len(self.spec.domains))

    def predict(self, examples: Sequence[np.ndarray]) -> np.ndarray:
        """Return the index of each example's class, `[n]`, see :func:`class_indices`."""
        return class_indices(self.logits(examples))

    def is_neither(self, logits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return which results are assigned to neither domain, bool `[n]`, from their logits by row; empty for speech.

        Args:
          logits: row to logits `[n, classes]`.
        """
        if self.spec.kind == "audio":
            return {}
        return {row: class_indices(values) == len(self.spec.domains) for row, values in logits.items()}

    def confusion(self, examples: Examples) -> classifier_scores.Confusion:
        """Return the number of examples of each domain by predicted class; domains without examples are left out."""
        predictions = {name: self.predict(examples[name]) for name in self.spec.domains if examples.get(name)}
        return classifier_scores.confusion_matrix(predictions, self.classes)

    def accuracy(self, examples: Examples) -> dict[str, float]:
        """Return the share of correctly classified examples by domain; domains without examples are left out."""
        return classifier_scores.accuracies(self.confusion(examples))


def class_indices(logits: np.ndarray) -> np.ndarray:
    """Return the index of the class of the highest logit, `[n]`, from logits `[n, classes]`; -1 if any of them is NaN.

    >>> class_indices(np.array([[1.0, 2.0], [np.nan, 2.0]])).tolist()
    [1, -1]
    """
    return np.where(np.isnan(logits).any(axis=1), -1, np.argmax(logits, axis=1))


def log_odds(logits: np.ndarray, domain: int) -> np.ndarray:
    """Log odds of a domain against all other classes, `[n]`, from logits `[n, classes]`."""
    return logits[:, domain] - scipy.special.logsumexp(np.delete(logits, domain, axis=1), axis=1)


def fit(
    examples: Examples, spec: Spec, *, validation: Examples | None = None, seed: int = 0, steps: int | None = None
) -> DomainClassifier:
    """Fit a domain classifier, and calibrate it on validation examples.

    For images there are up to three kinds, in this order: a network trained on augmented images; a linear classifier of
    embeddings by a pretrained network, if its package is installed; a network trained without augmentation, for domains
    that mirroring or a change of colours confuses. The first that reaches `MIN_MEAN_ACCURACY` on the validation
    examples is taken, else the best.

    Args:
      examples: domain to features: log-mels of any length, or images in [-1, 1].
      spec: of the records.
      validation: features of other files; by default every 7th of `examples`.
      seed: random seed of weights and batches.
      steps: maximum number of training steps of a network at batch size 32.
    """
    if validation is None:
        examples, validation = _hold_out(examples)
    if spec.kind == "audio":
        logits = _fit_speech_network(examples, spec, seed, steps or STEPS)
        return _calibrate(DomainClassifier("network", logits, spec), validation, seed)
    examples, validation = (
        {name: [classifier_augmentation.shrink(x) for x in images] for name, images in split.items()}
        for split in (examples, validation)
    )
    best, best_accuracy = None, -1.0
    for kind, logits in _image_classifiers(examples, validation, spec, seed, steps or IMAGE_STEPS):
        classifier = _calibrate(DomainClassifier(kind, logits, spec), validation, seed)
        accuracy = np.mean(list(classifier.accuracy(validation).values()))
        if accuracy > best_accuracy:
            best, best_accuracy = classifier, accuracy
        if accuracy >= MIN_MEAN_ACCURACY:
            break
    return best


def _hold_out(examples: Examples) -> tuple[Examples, Examples]:
    """Split off every 7th example; of a single one, it serves both purposes."""
    training = {
        name: [x for n, x in enumerate(values) if n % VALIDATION_INTERVAL or len(values) == 1]
        for name, values in examples.items()
    }
    return training, {name: list(values[::VALIDATION_INTERVAL]) for name, values in examples.items()}


def _calibrate(classifier: DomainClassifier, validation: Examples, seed: int) -> DomainClassifier:
    """Set temperature and threshold by validation examples; images of "neither" are made from these."""
    domains = classifier.spec.domains
    logits = np.concatenate([classifier.uncalibrated_logits(validation[name]) for name in domains])
    labels = np.repeat(np.arange(len(domains)), [len(validation[name]) for name in domains])
    offset = 0.0
    if classifier.spec.kind == "image":
        rng = np.random.default_rng(seed)
        broken = classifier.uncalibrated_logits(classifier_augmentation.draw_broken_images(validation, NUM_BROKEN, rng))
        offset = classifier_calibration.fit_neither_offset(logits, labels, broken)
    shifted = Calibration(neither_offset=offset).apply(logits, len(domains))
    temperature = classifier_calibration.fit_temperature(shifted, labels)
    return dataclasses.replace(classifier, calibration=Calibration(temperature, offset))


def _fit_speech_network(examples: Examples, spec: Spec, seed: int, steps: int) -> Logits:
    keras.utils.set_random_seed(seed)
    network = classifier_networks.speech_network(spec.bins, len(spec.domains))
    classifier_networks.train(network, classifier_networks.speech_batches(examples, spec), steps, seed=seed)
    call = tf.function(network, reduce_retracing=True)  # several times as fast as layer by layer for one recording

    def logits(recordings: Sequence[np.ndarray]) -> np.ndarray:
        tiled = (classifier_augmentation.normalise(classifier_augmentation.tile(x), spec) for x in recordings)
        return np.concatenate([call(x[None].astype(np.float32)) for x in tiled])

    return logits


def _image_classifiers(
    examples: Examples, validation: Examples, spec: Spec, seed: int, steps: int
) -> Iterator[tuple[str, Logits]]:
    """Yield the kinds of image classifiers and their logits, each fitted when it is requested."""
    data = (examples, validation, spec, seed, steps)
    yield "network", _fit_image_network(*data, is_augmented=True)
    if efficientnet_lite.is_available():
        yield "efficientnet_lite0", _fit_embeddings(examples, spec, seed)
    yield "network_unaugmented", _fit_image_network(*data, is_augmented=False)


def _fit_image_network(
    examples: Examples, validation: Examples, spec: Spec, seed: int, steps: int, *, is_augmented: bool
) -> Logits:
    keras.utils.set_random_seed(seed)
    shape = examples[spec.domains[0]][0].shape
    network, draw = (
        classifier_networks.image_network(shape, len(spec.domains) + 1),
        classifier_networks.image_batches(examples, spec),
    )
    draw_validation = classifier_networks.image_batches(validation, spec, classifier_networks.NUM_VALIDATION)
    options = {"is_augmented": is_augmented, "validation": draw_validation(np.random.default_rng(seed))}
    classifier_networks.train(network, draw, steps, seed=seed, **options)
    return _in_batches(lambda images: network(images, training=False))


def _fit_embeddings(examples: Examples, spec: Spec, seed: int) -> Logits:
    """Logistic regression on embeddings of images, of mirrored images and of broken ones."""
    images = np.concatenate([np.stack(examples[name]) for name in spec.domains])
    labels = np.repeat(np.arange(len(spec.domains)), [len(examples[name]) for name in spec.domains])
    num_broken = min(MAX_BROKEN_TRAINING, len(images))
    broken = classifier_augmentation.draw_broken_images(examples, num_broken, np.random.default_rng(seed))
    x = image_embedding.embed(np.concatenate([images, images[:, :, ::-1], broken]))
    y = np.concatenate([labels, labels, np.full(num_broken, len(spec.domains))])
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=REGULARIZATION / len(x), class_weight="balanced", max_iter=300)
    model.fit(scaler.transform(x), y)
    return _in_batches(lambda images: model.decision_function(scaler.transform(image_embedding.embed(images))))


def _in_batches(logits: Callable[[np.ndarray], np.ndarray]) -> Logits:
    def batched(images: Sequence[np.ndarray]) -> np.ndarray:
        shrunk = np.stack([classifier_augmentation.shrink(x) for x in images]).astype(np.float32)
        starts = range(0, len(shrunk), PREDICT_BATCH_SIZE)
        return np.concatenate([np.asarray(logits(shrunk[n : n + PREDICT_BATCH_SIZE])) for n in starts])

    return batched
