"""Differentiable augmentation of what a discriminator sees, reals and fakes alike.

Against few training files a discriminator learns them by heart; augmenting only the reals would teach
the generator the augmentation. Both are therefore augmented, and gradients run through
(DiffAugment, arXiv:2006.10738). For log-mels the masks of SpecAugment (arXiv:1904.08779) take the place
of colour, translation and cutout.
"""

from __future__ import annotations

import tensorflow as tf

from models.stateless_random import Draws

SHIFT, CUT = 1 / 8, 1 / 2  # of height and width, Sec. 3.2 of arXiv:2006.10738
BAND, PAUSE = 1 / 8, 1 / 8  # of bands and frames, at most


def pictures(x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
    """Colour, translation and cutout of pictures `[batch, height, width, channels]` in [-1, 1]; same shape.

    The result may leave [-1, 1], as in the paper.
    """
    return _cutout(_translation(_colour(x, draws, salt), draws, salt + 1), draws, salt + 2)


def _colour(x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
    brightness, saturation, contrast = tf.unstack(tf.cast(draws.uniform(salt, 3, 1, 1, 1), x.dtype), axis=1)
    x = x + (brightness - 0.5)
    grey = tf.reduce_mean(x, axis=-1, keepdims=True)
    x = grey + 2 * saturation * (x - grey)
    middle = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    return middle + (0.5 + contrast) * (x - middle)


def _translation(x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
    """Each picture moved by up to an eighth of its size, zeros where nothing was."""
    draw = draws.uniform(salt, 2)
    for axis in (1, 2):
        size = x.shape[axis]
        most = int(size * SHIFT + 0.5)
        shift = tf.cast(draw[:, axis - 1] * (2 * most + 1), tf.int32) - most
        place = tf.range(size)[None] + shift[:, None]
        moved = tf.gather(x, tf.clip_by_value(place, 0, size - 1), axis=axis, batch_dims=1)
        inside = tf.cast((place >= 0) & (place < size), x.dtype)
        x = moved * tf.reshape(inside, [-1, size, 1, 1] if axis == 1 else [-1, 1, size, 1])
    return x


def _cutout(x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
    """Each picture with a square of half its size set to zero."""
    draw = draws.uniform(salt, 2)
    rows, columns = (_stretch(x.shape[axis], CUT, draw[:, axis - 1]) for axis in (1, 2))
    return x * (1 - tf.cast(rows[:, :, None, None], x.dtype) * tf.cast(columns[:, None, :, None], x.dtype))


def _stretch(size: int, share: float, draw: tf.Tensor) -> tf.Tensor:
    """`[batch, size]` of 0 and 1: ones in a stretch of that share of the size, centred anywhere."""
    length = int(size * share + 0.5)
    start = tf.cast(draw * (size + 1 - length % 2), tf.int32) - length // 2
    place = tf.range(size)[None]
    return tf.cast((place >= start[:, None]) & (place < start[:, None] + length), tf.float32)


def mels(x: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
    """A band and a pause of random width, of normalised log-mels `[batch, frames, mels]`, set to their mean, zero."""
    keep = 1.0
    for axis, share in ((1, PAUSE), (2, BAND)):
        mask = masked(x.shape[axis], share, draws.uniform(salt + axis, 2))
        keep = keep * tf.cast(1 - tf.expand_dims(mask, 3 - axis), x.dtype)
    return x * keep


def masked(size: int, share: float, draw: tf.Tensor) -> tf.Tensor:
    """`[batch, size]` of 0 and 1: ones where SpecAugment masks (Sec. 2 of arXiv:1904.08779).

    The width is uniform from 0 to `share` of the size, the start uniform over what is left.

    Args:
      size: frames or bands.
      share: greatest width, of the size.
      draw: `[batch, 2]` in [0, 1), for the width and the start.
    """
    width = tf.cast(draw[:, :1] * (int(size * share + 1e-6) + 1), tf.int32)
    start = tf.cast(draw[:, 1:] * tf.cast(size - width + 1, tf.float32), tf.int32)
    place = tf.range(size)[None]
    return tf.cast((place >= start) & (place < start + width), tf.float32)
