"""Embedding of an image by EfficientNet-Lite0 (`models.networks.efficientnet_lite`)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.errors import UserError
from models.networks import efficientnet_lite

SIZE = 224  # pixels of the longer side that the network is given, as in its training
BATCH_SIZE = 32


def embed(images: np.ndarray) -> np.ndarray:
    """Return embeddings `[n, 1280]` of images `[n, height, width, channels]` in [-1, 1], of 1 or 3 channels.

    Raises:
      UserError: the package with the weights is not installed, or examples are no images.
    """
    if np.ndim(images) != 4 or np.shape(images)[-1] not in (1, 3):
        raise UserError(f"examples of shape {np.shape(images)[1:]}; efficientnet_lite0 embeds images only")
    network, batches = _network(), range(0, len(images), BATCH_SIZE)
    return np.concatenate([network(resize(images[n : n + BATCH_SIZE])).numpy() for n in batches])


def fit_extractor(examples: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return :func:`embed`, as the feature extractor `efficientnet_lite0`; it is not fitted to the examples."""
    embed(examples[:1])
    return embed


@functools.cache
def _network() -> Callable[[tf.Tensor], tf.Tensor]:
    """The network with its weights, from images to embeddings."""
    embedding = functools.partial(efficientnet_lite.embedding, layers=efficientnet_lite.layers())
    return tf.function(embedding, reduce_retracing=True, autograph=False)


def resize(images: np.ndarray) -> tf.Tensor:
    """Return images `[n, height, width, channels]` as RGB in the network's range, the longer side resized to `SIZE`."""
    height, width, channels = images.shape[1:]
    x = tf.repeat(tf.constant(images, tf.float32), 3 // channels, axis=-1)
    scale = SIZE / max(height, width)
    size = efficientnet_lite.scaled_size(height, width, scale)
    return tf.image.resize(x, size, method="bicubic" if scale > 1 else "area") * efficientnet_lite.PIXEL_SCALE
