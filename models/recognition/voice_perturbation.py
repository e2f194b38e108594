"""Random changes of voice and channel in log-mels, to which a recogniser of content has to be invariant.

The mel axis is stretched, which moves pitch and formants together (vocal tract length perturbation, Jaitly & Hinton
2013), a smooth filter and a level are added, and noise.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from models.features.audio_spec import AudioSpec, band_centres
from models.stateless_random import StatelessRng

STRETCHES = 41  # factors between which the random choice is made
FILTER_KNOTS = 6  # of the random filter, equally spaced over the bands


def stretch_factors(largest: float) -> np.ndarray:
    """The factors of :func:`stretch`, `[STRETCHES]` from `1 / largest` to `largest`; the middle one is 1."""
    return np.geomspace(1 / largest, largest, STRETCHES).astype(np.float32)


@functools.lru_cache(maxsize=8)
def stretch_matrices(spec: AudioSpec, largest: float) -> np.ndarray:
    """Matrices `[STRETCHES, mels, mels]` that multiply the frequencies of log-mels by the factors."""
    centres = band_centres(spec)
    unit = np.eye(len(centres))
    matrices = [[np.interp(centres / factor, centres, row) for row in unit] for factor in stretch_factors(largest)]
    return np.float32(matrices)


def random_stretch(rng: StatelessRng) -> tf.Tensor:
    """A random index `[batch]` of a factor for each example."""
    return tf.cast(rng.stream("stretch").uniform() * STRETCHES, tf.int32)


def stretch(log_mels: tf.Tensor, index: tf.Tensor, spec: AudioSpec, *, largest: float) -> tf.Tensor:
    """Log-mels `[batch, frames, mels]`, pitch and formants multiplied by the factor of each example's index."""
    return tf.matmul(log_mels, tf.gather(stretch_matrices(spec, largest), index))


def random_filter(log_mels: tf.Tensor, rng: StatelessRng, *, deviation: float) -> tf.Tensor:
    """Log-mels through a random smooth filter with that standard deviation of its log gain at each knot."""
    gains = deviation * rng.stream("filter").normal(1, FILTER_KNOTS)
    return log_mels + tf.matmul(gains, filter_knots(log_mels.shape[-1]))


@functools.lru_cache(maxsize=8)
def filter_knots(bands: int) -> np.ndarray:
    """Matrix `[FILTER_KNOTS, bands]` that interpolates log gains at the knots to the bands."""
    position = np.linspace(0, FILTER_KNOTS - 1, bands)
    return np.float32([np.interp(position, np.arange(FILTER_KNOTS), row) for row in np.eye(FILTER_KNOTS)])
