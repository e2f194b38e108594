"""Training examples of the domain classifier: views of recordings and images, and images of the class "neither"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from models import augment
from models.features import broken_images
from models.features.spec import Spec
from models.recognition import voice_perturbation
from models.stateless_random import StatelessRng

CROP_FRAMES = 96  # maximum length of a training example
MAX_LEVEL_SHIFT = 0.7  # nepers; random gain, so that loudness does not identify a domain
FILTER_DEVIATION = 0.3  # nepers; random smooth filter, so that a microphone or an inverter does not identify one
NOISE_PROBABILITY, NOISE_RANGE = 0.3, (2.0, 5.0)  # and levels in nepers below the loud frames
MAX_SIDE = 128  # pixels; larger images are averaged over cells before they are classified

Examples = Mapping[str, Sequence[np.ndarray]]  # domain to features: log-mels of any length, or images in [-1, 1]


def speech_view(x: np.ndarray, spec: Spec, rng: np.random.Generator) -> np.ndarray:
    """Return normalised log-mels of `CROP_FRAMES` frames: an excerpt of `x`, or its repetition, altered at random.

    The alterations are a gain, a smooth filter and stationary noise.
    """
    start = rng.integers(max(1, len(x) - CROP_FRAMES + 1))
    crop = tile(x[start : start + CROP_FRAMES])
    knots = voice_perturbation.filter_knots(crop.shape[1])
    crop = crop + rng.normal(0, FILTER_DEVIATION, len(knots)) @ knots
    if rng.random() < NOISE_PROBABILITY:
        level = np.quantile(crop.mean(axis=1), 0.9) - rng.uniform(*NOISE_RANGE)
        noise = level + rng.normal(0, 1, len(knots)) @ knots + 0.45 * rng.normal(size=crop.shape)
        crop = 0.5 * np.logaddexp(2 * crop, 2 * noise)
    shifted = np.maximum(crop + rng.uniform(-MAX_LEVEL_SHIFT, MAX_LEVEL_SHIFT), spec.features.log_floor)
    return normalise(shifted, spec)


def tile(x: np.ndarray) -> np.ndarray:
    """Repeat a recording until it has `CROP_FRAMES` frames; padding with silence would be a feature of its own."""
    return np.resize(x, (max(CROP_FRAMES, len(x)), x.shape[1]))


def normalise(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Normalise log-mels `[frames, mels]` by the statistics of all domains."""
    return (x - spec.overall.mean) / spec.overall.std


def shrink(x: np.ndarray) -> np.ndarray:
    """Average an image `[height, width, channels]` over square cells until no side is above `MAX_SIDE`.

    >>> shrink(np.zeros((256, 256, 3))).shape, shrink(np.zeros((64, 64, 3))).shape
    ((128, 128, 3), (64, 64, 3))
    """
    height, width, channels = x.shape
    cell = -(-max(height, width) // MAX_SIDE)
    trimmed = x[: height // cell * cell, : width // cell * cell]
    return trimmed.reshape(height // cell, cell, width // cell, cell, channels).mean(axis=(1, 3), dtype=np.float32)


def draw_broken_images(examples: Examples, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return images of the class "neither", `[count, height, width, channels]`, made from those of random domains."""
    return np.stack([broken_images.broken_image(_draw(examples, rng), _draw(examples, rng), rng) for _ in range(count)])


def _draw(examples: Examples, rng: np.random.Generator) -> np.ndarray:
    domain = list(examples.values())[rng.integers(len(examples))]
    return domain[rng.integers(len(domain))]


def augment_images(x: tf.Tensor, step: tf.Tensor, seed: int) -> tf.Tensor:
    """Mirror half of the images, and jitter their colours, shift them and cut out squares as for a discriminator.

    Args:
      x: `[batch, height, width, channels]` in [-1, 1].
      step: number of the training step.
      seed: random seed.
    """
    key, batch = tf.stack([tf.cast(step, tf.int64), seed]), x.shape[0]
    rng = StatelessRng(key, tf.range(batch), batch, "domain_classifier")
    mirrored = rng.stream("mirror").uniform(1, 1, 1) < 0.5
    return augment.augment_images(tf.where(mirrored, x[:, :, ::-1], x), rng)
