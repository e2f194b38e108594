"""Distances between images in [-1, 1], `[batch, height, width, channels]`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Structural similarity of each pair, `[batch]`, 1 for equal images (Wang et al. 2004).

    As defined by `tf.image.ssim`: Gaussian window of 11 pixels (less for smaller images) and standard deviation
    1.5, K1 = 0.01, K2 = 0.03, range 2, mean over channels.
    """
    size = min(11, *x.shape[1:3])
    return tf.image.ssim(tf.cast(x, tf.float32), tf.cast(y, tf.float32), max_val=2.0, filter_size=size).numpy()


def mean_absolute_error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each pair, `[batch]`, between 0 and 2."""
    return np.abs(np.asarray(x, np.float64) - y).mean(axis=(1, 2, 3))
