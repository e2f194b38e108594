"""Feature extractors by name, and checks of the features that metrics of sets compare.

Every metric of sets takes features `[n, d]`, so that the output of any other extractor can be passed too. Values are
comparable only for the same extractor, fitted to the same examples. An entry is a function from examples to an
extractor; others come from installed distributions through the entry-point group ``crossfade.feature_extractors``.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import numpy as np

from models import entry_points
from models.errors import UserError
from models.metrics.generation import PrincipalComponents

Extractor = Callable[[np.ndarray], np.ndarray]  # examples [n, ...] to features [n, d]

GROUP = "crossfade.feature_extractors"
BUILT_IN = {
    "efficientnet_lite0": "models.metrics.image_embedding:fit_extractor",
    "pca64": "models.metrics.feature_extractors:fit_pca64",
    "pixels": "models.metrics.feature_extractors:fit_pixels",
}
DEFAULT = "pca64"
KIND = "feature extractor"


def available() -> dict[str, importlib.metadata.EntryPoint]:
    """Every feature extractor by name, built in or installed; none is imported.

    Raises:
      UserError: two distributions offer the same name.
    """
    return entry_points.available(GROUP, BUILT_IN, KIND)


def load(name: str) -> Callable[[np.ndarray], Extractor]:
    """Return the function of that name, from examples to an extractor.

    Raises:
      UserError: no extractor has this name, or it does not load.
    """
    return entry_points.load(name, available(), KIND)


def fit_pca64(examples: np.ndarray) -> Extractor:
    """Fit at most 64 whitened principal components to examples `[n, ...]`."""
    return PrincipalComponents(examples, max_components=64).transform


def fit_pixels(examples: np.ndarray) -> Extractor:
    """Return a function that flattens examples of the same shape as these, `[n, ...]`."""
    shape = np.shape(examples)[1:]

    def flatten(others: np.ndarray) -> np.ndarray:
        if np.shape(others)[1:] != shape:
            raise UserError(f"examples of shape {np.shape(others)[1:]}; wanted {shape}, as in the fitted examples")
        return np.reshape(np.asarray(others, np.float64), [len(others), -1])

    return flatten


def fit_extractor(name: str, examples: np.ndarray) -> Extractor:
    """Fit a feature extractor to examples `[n, ...]`, usually the training examples.

    Three are built in:

    * "pca64": at most 64 whitened principal components, see :class:`models.metrics.generation.PrincipalComponents`.
    * "efficientnet_lite0": :mod:`models.metrics.image_embedding`, of images, if its package is installed.
    * "pixels": all values of an image or a log-mel spectrogram, unchanged.

    Returns:
      A function from examples `[m, ...]` of the same shape to features `[m, d]`.

    Raises:
      UserError: no extractor has this name, it does not load, or it cannot be fitted to the examples.

    >>> fit_extractor("pixels", np.zeros((5, 2, 3)))(np.ones((4, 2, 3))).shape
    (4, 6)
    """
    return load(name)(examples)


def check_features(x: np.ndarray, y: np.ndarray, *, min_examples: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of features as float64, `[n, d]` and `[m, d]`.

    Raises:
      UserError: a set is not a finite matrix or has fewer than `min_examples` rows, or the numbers of features differ.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or x.shape[1:] != y.shape[1:] or min(len(x), len(y)) < min_examples:
        raise UserError(
            f"features {x.shape} and {y.shape}; wanted two matrices [examples, features] with the same number of "
            f"features and at least {min_examples} examples"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("features that are infinite or NaN; wanted finite features")
    return x, y
