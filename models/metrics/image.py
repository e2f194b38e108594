"""Distances between images in [-1, 1], `[batch, height, width, channels]`."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import tensorflow as tf

from models.errors import UserError

WINDOW_SIZE, WINDOW_STD = 11, 1.5  # of SSIM's Gaussian window, in pixels
K1, K2 = 0.01, 0.03  # constants of SSIM, in shares of the range of values
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from the finest scale to the coarsest (Wang et al. 2003)


def ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Structural similarity of each pair, `[batch]`, 1 for equal images (Wang et al. 2004).

    As defined by `tf.image.ssim` on values from 0 to 1: Gaussian window of 11 pixels (less for smaller images) and
    standard deviation 1.5, K1 = 0.01, K2 = 0.03, mean over channels.
    """
    size = min(WINDOW_SIZE, *x.shape[1:3])
    x, y = ((tf.cast(images, tf.float32) + 1) / 2 for images in (x, y))
    return tf.image.ssim(x, y, max_val=1.0, filter_size=size).numpy()


def num_scales(height: int, width: int) -> int:
    """Number of scales of :func:`ms_ssim`: at most 5, of which all but the first are at least 11 pixels on each side.

    >>> [num_scales(size, size) for size in (8, 16, 28, 64, 128, 161)]
    [1, 1, 2, 3, 4, 5]
    """
    sizes = [-(-min(height, width) // 2**scale) for scale in range(1, len(SCALE_WEIGHTS))]
    return 1 + sum(size >= WINDOW_SIZE for size in sizes)


def ms_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Multi-scale structural similarity of each pair, `[batch]`, 0 to 1, 1 for equal images (Wang et al. 2003, Eq. 7).

    Product over scales of the mean contrast and structure term of SSIM, at the coarsest scale with the luminance
    term, each to the power of the scale's weight; mean over channels. A scale halves the size of the one before by
    means of 2 x 2 pixels. Negative terms count as 0. Window and constants are those of :func:`ssim`.

    The paper's five scales need 161 pixels on each side. Smaller images have fewer, see :func:`num_scales`, with the
    weights of the finest ones rescaled to sum to 1; with one scale, the metric is SSIM. Compare values only for images
    of the same size.

    Args:
      x: `[batch, height, width, channels]` in [-1, 1].
      y: images of the same shape.

    Raises:
      UserError: the shapes differ, or are not those of images.
    """
    if np.ndim(x) != 4 or np.shape(x) != np.shape(y):
        raise UserError(f"images of shapes {np.shape(x)} and {np.shape(y)}; wanted [batch, height, width, channels]")
    x, y = ((np.asarray(images, np.float64) + 1) / 2 for images in (x, y))
    weights = np.array(SCALE_WEIGHTS[: num_scales(*x.shape[1:3])])
    product = np.ones((len(x), x.shape[-1]))
    for scale, weight in enumerate(weights / weights.sum()):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, structure = _ssim_terms(x, y)
        term = structure if scale < len(weights) - 1 else luminance * structure
        product *= np.maximum(term.mean(axis=(1, 2)), 0) ** weight
    return product.mean(axis=-1)


def _ssim_terms(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast times structure, of images in [0, 1] (Wang et al. 2004, Eq. 6 and 13)."""
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    luminance = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    covariance = _local_mean(x * y) - mean_x * mean_y
    variances = _local_mean(x**2 + y**2) - mean_x**2 - mean_y**2
    return luminance, (2 * covariance + K2**2) / (variances + K2**2)


def _local_mean(x: np.ndarray) -> np.ndarray:
    """Means under SSIM's window, where it is inside of the image; the window is cut to the size of a smaller image."""
    size = min(WINDOW_SIZE, *x.shape[1:3])
    window = np.exp(-0.5 * np.square((np.arange(size) - (size - 1) / 2) / WINDOW_STD))
    for axis in (1, 2):
        x = scipy.ndimage.correlate1d(x, window / window.sum(), axis=axis)
    rows, columns = (slice(size // 2, size // 2 + length - size + 1) for length in x.shape[1:3])
    return x[:, rows, columns]


def _halve(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; the last row or column of an odd size is repeated."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def mean_absolute_error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each pair, `[batch]`, between 0 and 2."""
    return np.abs(np.asarray(x, np.float64) - y).mean(axis=(1, 2, 3))
