"""Domain classifier: a small network for evaluation, trained on the features of the training split.

For speech it is trained on every recording twice: as it is, and after the run's own front end and inverter. A
classifier that is trained on originals only mistakes the inversion for another domain. For images it is also trained
on noise and scrambled examples as a class *neither*: without it, it assigns the output of a broken model to a domain.
"""

from __future__ import annotations

import collections
import dataclasses
import functools

import keras
import numpy as np
import scipy.special
import tensorflow as tf

from models import layers
from models.features import ood_examples
from models.features.spec import Spec

STEPS = 400
LOSS_THRESHOLD = 0.01  # nats; training stops when the mean loss of the last `LOSS_WINDOW` steps is below
LOSS_WINDOW = 50  # steps
BATCH_SIZE = 32
CROP_FRAMES = 96  # maximum length of a training example
NEITHER_PRIOR_ODDS = 99.0  # prior odds against "neither": files belong to a domain, and noise is far more certain
MAX_LEVEL_SHIFT = 0.7  # nepers; random gain, so that loudness does not identify a domain


@dataclasses.dataclass
class DomainClassifier:
    """A trained domain classifier.

    Attributes:
      network: maps features to one logit per domain, and for images one more for "neither".
      spec: of the records.
    """

    network: keras.Model
    spec: Spec

    def logits(self, examples: list[np.ndarray]) -> np.ndarray:
        """Return one logit per domain for each example, and for images one more for "neither"; `[n, classes]`."""
        if self.spec.kind == "audio":
            examples = [_normalise(_tile(x), self.spec) for x in examples]
        logits = np.concatenate([self._call(x[None].astype(np.float32)) for x in examples])
        logits[:, len(self.spec.domains) :] -= np.log(NEITHER_PRIOR_ODDS)
        return logits

    @functools.cached_property
    def _call(self):
        """The network as a graph, several times as fast as layer by layer for one example."""
        return tf.function(self.network, reduce_retracing=True)

    def predict(self, examples: list[np.ndarray]) -> np.ndarray:
        """Return the index of each example's domain, `[n]`; the number of domains stands for "neither" (images)."""
        return np.argmax(self.logits(examples), axis=1)

    def accuracy(self, examples: dict[str, list[np.ndarray]]) -> dict[str, float]:
        """Return the share of correctly classified examples by domain; domains without examples are left out."""
        domains = enumerate(self.spec.domains)
        return {name: float(np.mean(self.predict(examples[name]) == n)) for n, name in domains if examples.get(name)}


def log_odds(logits: np.ndarray, domain: int) -> np.ndarray:
    """Log odds of a domain against all other classes, `[n]`, from logits `[n, classes]`."""
    return logits[:, domain] - scipy.special.logsumexp(np.delete(logits, domain, axis=1), axis=1)


def fit(examples: dict[str, list[np.ndarray]], spec: Spec, *, seed: int = 0, steps: int = STEPS) -> DomainClassifier:
    """Train a domain classifier.

    Args:
      examples: domain to features: log-mels of any length, or images in [-1, 1].
      spec: of the records.
      seed: random seed of weights and batches.
      steps: maximum number of steps at batch size 32; training stops early when the loss is below `LOSS_THRESHOLD`.
    """
    keras.utils.set_random_seed(seed)
    classes = len(spec.domains) + (spec.kind == "image")
    network = _speech_network(spec.bins, classes) if spec.kind == "audio" else _image_network(spec, classes)
    rng = np.random.default_rng(seed)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            logits = network(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    losses = collections.deque(maxlen=LOSS_WINDOW)
    for _ in range(steps):
        labels = rng.integers(classes, size=BATCH_SIZE)
        batch = [_augment(_draw_example(examples, label, spec, rng), spec, rng) for label in labels]
        losses.append(float(step(np.stack(batch).astype(np.float32), labels)))
        if len(losses) == LOSS_WINDOW and np.mean(losses) < LOSS_THRESHOLD:
            break
    return DomainClassifier(network, spec)


def _draw_example(
    examples: dict[str, list[np.ndarray]], label: int, spec: Spec, rng: np.random.Generator
) -> np.ndarray:
    """Draw an example of a class; one of "neither" is made from an example of a random domain."""
    is_neither = label == len(spec.domains)
    candidates = examples[spec.domains[rng.integers(label) if is_neither else label]]
    x = candidates[rng.integers(len(candidates))]
    return ood_examples.ood_example(x, rng) if is_neither else x


def _augment(x: np.ndarray, spec: Spec, rng: np.random.Generator) -> np.ndarray:
    """Training view of an example: speech cropped or repeated to `CROP_FRAMES`, with a random gain."""
    if spec.kind == "image":
        return x
    start = rng.integers(max(1, len(x) - CROP_FRAMES + 1))
    crop = _tile(x[start : start + CROP_FRAMES])
    shifted = np.maximum(crop + rng.uniform(-MAX_LEVEL_SHIFT, MAX_LEVEL_SHIFT), spec.features.log_floor)
    return _normalise(shifted, spec)


def _tile(x: np.ndarray) -> np.ndarray:
    """Repeat a recording until it has `CROP_FRAMES` frames; padding with silence would be a feature of its own."""
    return np.resize(x, (max(CROP_FRAMES, len(x)), x.shape[1]))


def _normalise(x: np.ndarray, spec: Spec) -> np.ndarray:
    return (x - spec.overall.mean) / spec.overall.std


def _speech_network(bins: int, classes: int) -> keras.Model:
    """Three convolutions over time, then mean and standard deviation over the frames."""
    x = h = keras.Input((None, bins))
    h = keras.layers.SpatialDropout1D(0.1)(h)
    for strides in (1, 2, 1):
        h = layers.frame_norm(keras.ops.relu(keras.layers.Conv1D(64, 5, strides, padding="same")(h)))
    pooled = keras.ops.concatenate([keras.ops.mean(h, axis=1), keras.ops.std(h, axis=1)], axis=-1)
    return keras.Model(x, keras.layers.Dense(classes)(keras.layers.Dropout(0.3)(pooled)))


def _image_network(spec: Spec, classes: int) -> keras.Model:
    x = h = keras.Input(spec.feature_shape())
    for channels in (32, 64, 128):
        h = keras.ops.relu(keras.layers.Conv2D(channels, 3, 2, padding="same")(h))
    h = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(h))
    return keras.Model(x, keras.layers.Dense(classes)(h))
