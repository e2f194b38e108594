"""Differentiable augmentation of the examples that a discriminator is given, real and generated alike.

With few training files a discriminator memorises them; augmenting only the real examples would teach the generator
the augmentation. Both are therefore augmented, and gradients pass through (DiffAugment, arXiv:2006.10738). Log-mels
are masked as in SpecAugment (arXiv:1904.08779) in place of colour, translation and cutout.
"""

from __future__ import annotations

import tensorflow as tf

from models.stateless_random import StatelessRng

MAX_SHIFT, CUTOUT_SIZE = 1 / 8, 1 / 2  # fractions of height and width, Sec. 3.2 of arXiv:2006.10738
MAX_BAND, MAX_TIME_MASK = 1 / 8, 1 / 8  # fractions of the mel bands and of the frames


def augment_images(x: tf.Tensor, rng: StatelessRng, parts: int = 1) -> tf.Tensor:
    """Colour jitter, translation and cutout of images `[batch, height, width, channels]` in [-1, 1]; same shape.

    The result may leave [-1, 1], as in the paper. If the channels are those of several images (`parts`), all of them
    are changed alike.
    """
    colour = rng.stream("colour")
    x = tf.concat([_jitter_colour(part, colour) for part in tf.split(x, parts, axis=-1)], axis=-1)
    return _cut_out(_translate(x, rng.stream("translation")), rng.stream("cutout"))


def _jitter_colour(x: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
    brightness, saturation, contrast = tf.unstack(tf.cast(rng.uniform(3, 1, 1, 1), x.dtype), axis=1)
    x = x + (brightness - 0.5)
    grey = tf.reduce_mean(x, axis=-1, keepdims=True)
    x = grey + 2 * saturation * (x - grey)
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    return mean + (0.5 + contrast) * (x - mean)


def _translate(x: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
    """Shifts each image by up to an eighth of its size; zeros enter at the edges."""
    fraction = rng.uniform(2)
    for axis in (1, 2):
        size = x.shape[axis]
        max_shift = int(size * MAX_SHIFT + 0.5)
        shift = tf.cast(fraction[:, axis - 1] * (2 * max_shift + 1), tf.int32) - max_shift
        position = tf.range(size)[None] + shift[:, None]
        shifted = tf.gather(x, tf.clip_by_value(position, 0, size - 1), axis=axis, batch_dims=1)
        inside = tf.cast((position >= 0) & (position < size), x.dtype)
        x = shifted * tf.reshape(inside, [-1, size, 1, 1] if axis == 1 else [-1, 1, size, 1])
    return x


def _cut_out(x: tf.Tensor, rng: StatelessRng) -> tf.Tensor:
    """Sets a square of half of each image's size to zero."""
    centre = rng.uniform(2)
    rows, columns = (_interval_mask(x.shape[axis], CUTOUT_SIZE, centre[:, axis - 1]) for axis in (1, 2))
    return x * (1 - tf.cast(rows[:, :, None, None], x.dtype) * tf.cast(columns[:, None, :, None], x.dtype))


def _interval_mask(size: int, fraction: float, centre: tf.Tensor) -> tf.Tensor:
    """`[batch, size]` of 0 and 1: ones in an interval of that fraction of the size around a centre in [0, 1)."""
    length = int(size * fraction + 0.5)
    start = tf.cast(centre * (size + 1 - length % 2), tf.int32) - length // 2
    position = tf.range(size)[None]
    return tf.cast((position >= start[:, None]) & (position < start[:, None] + length), tf.float32)


def augment_mels(x: tf.Tensor, rng: StatelessRng, parts: int = 1) -> tf.Tensor:
    """Sets a mel band and a time interval of random width to zero, the mean of normalised log-mels.

    Args:
      x: normalised log-mels `[batch, frames, parts * mels]`.
      rng: random numbers.
      parts: number of spectrograms, which are masked alike.
    """
    time, band = (rng.stream(name).uniform(2) for name in ("time_mask", "band_mask"))
    frames = 1 - specaugment_mask(x.shape[1], MAX_TIME_MASK, time)
    bands = 1 - tf.tile(specaugment_mask(x.shape[2] // parts, MAX_BAND, band), [1, parts])
    return x * tf.cast(frames[:, :, None] * bands[:, None], x.dtype)


def specaugment_mask(size: int, max_fraction: float, width_and_start: tf.Tensor) -> tf.Tensor:
    """`[batch, size]` of 0 and 1: ones where SpecAugment masks (Sec. 2 of arXiv:1904.08779).

    The width is uniform from 0 to `max_fraction` of the size, the start uniform over the positions that fit.

    Args:
      size: number of frames or bands.
      max_fraction: largest width, as a fraction of the size.
      width_and_start: uniform random numbers `[batch, 2]` in [0, 1).
    """
    width = tf.cast(width_and_start[:, :1] * (int(size * max_fraction + 1e-6) + 1), tf.int32)
    start = tf.cast(width_and_start[:, 1:] * tf.cast(size - width + 1, tf.float32), tf.int32)
    position = tf.range(size)[None]
    return tf.cast((position >= start) & (position < start + width), tf.float32)
