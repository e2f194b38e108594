"""Networks of the domain classifier, trained from scratch on the training split."""

from __future__ import annotations

import collections
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from models import layers
from models.features.spec import Spec
from pipelines.evaluation import classifier_augmentation
from pipelines.evaluation.classifier_augmentation import Examples
from pipelines.progress import Progress

BATCH_SIZE = 32
LEARNING_RATE = 2e-3
LOSS_THRESHOLD = 0.01  # nats; training stops when the mean loss of the last `LOSS_WINDOW` steps is below
LOSS_WINDOW = 50  # steps
VALIDATION_LOSS_THRESHOLD = 0.02  # nats; training on images stops when the loss of validation images is below
NUM_VALIDATION = 128  # validation images, of which the last `NEITHER_SHARE` are broken ones
NEITHER_SHARE = 0.3  # of a batch of images
CHANNELS = (24, 48, 96)  # of the levels of the image network
MAX_NETWORK_SIDE = 64  # pixels; larger images are averaged over cells of 2 x 2
MOMENTUM = 0.9  # of batch normalisation: training may stop after 50 steps

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]  # to a batch of examples and their labels


def train(
    network: keras.Model,
    draw: Draw,
    steps: int,
    *,
    seed: int,
    is_augmented: bool = False,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Train a classifier by the cross entropy, in at most `steps` steps.

    Args:
      network: from examples to logits.
      draw: returns a random batch.
      steps: the learning rate falls to zero at this number; training stops early when the loss is below
        `LOSS_THRESHOLD`, or that of validation examples below `VALIDATION_LOSS_THRESHOLD`.
      seed: random seed.
      is_augmented: whether the examples are images to be augmented.
      validation: examples and their labels.
    """
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps))
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def train_step(x, y, step):
        x = classifier_augmentation.augment_images(x, step, seed) if is_augmented else x
        with tf.GradientTape() as tape:
            logits = network(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    def is_done(step: int) -> bool:
        if len(losses) < LOSS_WINDOW:
            return False
        is_due = validation is not None and step % LOSS_WINDOW == LOSS_WINDOW - 1
        return np.mean(losses) < LOSS_THRESHOLD or (is_due and _loss(network, *validation) < VALIDATION_LOSS_THRESHOLD)

    losses, rng = collections.deque(maxlen=LOSS_WINDOW), np.random.default_rng(seed)
    progress = Progress("domain classifier", steps, "steps")
    for step in range(steps):
        x, y = draw(rng)
        losses.append(float(train_step(x.astype(np.float32), y.astype(np.int32), tf.constant(step))))
        progress.show(step + 1)
        if is_done(step):
            break
    progress.close()


def _loss(network: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Mean cross entropy of a trained classifier."""
    logits = network(x.astype(np.float32), training=False)
    return float(tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y.astype(np.int32), logits)))


def speech_batches(examples: Examples, spec: Spec) -> Draw:
    """Return a function that draws views of recordings, of all domains equally often."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(len(spec.domains), size=BATCH_SIZE)
        recordings = [_choose(examples[spec.domains[label]], rng) for label in labels]
        return np.stack([classifier_augmentation.speech_view(x, spec, rng) for x in recordings]), labels

    return draw


def image_batches(examples: Examples, spec: Spec, size: int = BATCH_SIZE) -> Draw:
    """Return a function that draws `size` images: of all domains equally often, and a share of broken ones."""
    num_broken, domains = round(NEITHER_SHARE * size), len(spec.domains)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(domains, size=size - num_broken)
        images = np.stack([_choose(examples[spec.domains[label]], rng) for label in labels])
        broken = classifier_augmentation.draw_broken_images(examples, num_broken, rng)
        return np.concatenate([images, broken]), np.concatenate([labels, np.full(num_broken, domains)])

    return draw


def _choose(examples, rng: np.random.Generator) -> np.ndarray:
    return examples[rng.integers(len(examples))]


def speech_network(bins: int, classes: int) -> keras.Model:
    """Three convolutions over time, then mean and standard deviation over the frames."""
    x = h = keras.Input((None, bins))
    h = keras.layers.SpatialDropout1D(0.1)(h)
    for strides in (1, 2, 1):
        h = layers.frame_norm(keras.ops.relu(keras.layers.Conv1D(64, 5, strides, padding="same")(h)))
    pooled = keras.ops.concatenate([keras.ops.mean(h, axis=1), keras.ops.std(h, axis=1)], axis=-1)
    return keras.Model(x, keras.layers.Dense(classes)(keras.layers.Dropout(0.3)(pooled)))


def image_network(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Three residual blocks with batch normalisation (arXiv:1512.03385), each at half of the resolution before."""
    x = h = keras.Input(shape)
    if max(shape[:2]) > MAX_NETWORK_SIDE:
        h = keras.layers.AveragePooling2D(2)(h)
    h = keras.ops.relu(_convolve(h, CHANNELS[0], 5, 2))
    for level, channels in enumerate(CHANNELS):
        stride = 2 if level else 1
        residual = _convolve(keras.ops.relu(_convolve(h, channels, 3, stride)), channels, 3)
        if level:
            h = _convolve(keras.layers.AveragePooling2D(2, padding="same")(h), channels, 1)
        h = keras.ops.relu(h + residual)
    pooled = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(h))
    return keras.Model(x, keras.layers.Dense(classes)(pooled))


def _convolve(x, channels: int, size: int, stride: int = 1):
    """Convolution and batch normalisation."""
    h = keras.layers.Conv2D(channels, size, stride, padding="same", use_bias=False)(x)
    return keras.layers.BatchNormalization(momentum=MOMENTUM)(h)
