"""Conformer: self-attention and convolutions over time (Gulati et al., arXiv:2005.08100), as functions of weights.

Weights are a mapping of names to tensors, so that the same function serves constants of an exported graph and variables
in training. The blocks are those of the paper without positional encoding and with the batch normalisation folded into
the depthwise convolution.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

HEADS = 4
EPSILON = 1e-5
Weights = Mapping[str, tf.Tensor]


def encode(x: tf.Tensor, weights: Weights, *, blocks: int, stride: int = 1, attention_frames: int | None = None):
    """Logits `[batch, frames, outputs]` of every frame, in float32.

    Args:
      x: features `[batch, frames, bands]`.
      weights: by name: `stem`, `block_N/...` and `output`, each with `/kernel` and `/bias`, or `/scale` and `/bias`.
      blocks: number of blocks.
      stride: of the first convolution; the outputs have `ceil(frames / stride)` frames.
      attention_frames: frames on either side that a frame attends to; None for all.
    """
    padded = tf.pad(x, [[0, 0], [1, 1], [0, 0]])
    h = tf.nn.conv1d(padded, weights["stem/kernel"], stride, "VALID") + weights["stem/bias"]
    h = 0.5 * h * (1.0 + tf.math.erf(h / 2.0**0.5))
    bias = None if attention_frames is None else _band(tf.shape(h)[1], attention_frames)
    for n in range(blocks):
        h = _block(h, weights, f"block_{n}", bias)
    return _dense(h, weights, "output")


def _band(frames: tf.Tensor, width: int) -> tf.Tensor:
    """Attention bias `[frames, frames]`: 0 up to `width` frames from the diagonal, very negative elsewhere."""
    index = tf.range(frames)
    return tf.where(tf.abs(index[:, None] - index) <= width, 0.0, -1e9)


def _block(h: tf.Tensor, weights: Weights, name: str, bias: tf.Tensor | None) -> tf.Tensor:
    """One block, Sec. 2.4 and Eq. 1 of the paper."""
    h += 0.5 * _feed_forward(h, weights, f"{name}/feed_forward_1")
    h += _attention(h, weights, f"{name}/attention", bias)
    h += _convolution(h, weights, f"{name}/convolution")
    h += 0.5 * _feed_forward(h, weights, f"{name}/feed_forward_2")
    return _layer_norm(h, weights, f"{name}/norm")


def _feed_forward(h: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    hidden = tf.nn.silu(_dense(_layer_norm(h, weights, f"{name}/norm"), weights, f"{name}/in"))
    return _dense(hidden, weights, f"{name}/out")


def _attention(h: tf.Tensor, weights: Weights, name: str, bias: tf.Tensor | None) -> tf.Tensor:
    """Multi-head self-attention."""
    batch, frames, size = tf.shape(h)[0], tf.shape(h)[1], h.shape[-1]
    qkv = _dense(_layer_norm(h, weights, f"{name}/norm"), weights, f"{name}/in")
    q, k, v = tf.unstack(tf.transpose(tf.reshape(qkv, [batch, frames, 3, HEADS, size // HEADS]), [2, 0, 3, 1, 4]))
    scores = tf.matmul(q, k, transpose_b=True) * (size // HEADS) ** -0.5
    heads = tf.matmul(tf.nn.softmax(scores if bias is None else scores + bias), v)
    return _dense(tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [batch, frames, size]), weights, f"{name}/out")


def _convolution(h: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    """Gated pointwise convolution, depthwise convolution, pointwise convolution (Fig. 2 of the paper)."""
    values, gates = tf.split(_dense(_layer_norm(h, weights, f"{name}/norm"), weights, f"{name}/in"), 2, axis=-1)
    kernel = weights[f"{name}/depthwise/kernel"]
    gated = (values * tf.sigmoid(gates))[:, :, None]  # time is the first axis: oneDNN crashes for 31 taps on the second
    mixed = tf.nn.depthwise_conv2d(gated, kernel[:, None, :, None], [1] * 4, "SAME")[:, :, 0]
    return _dense(tf.nn.silu(mixed + weights[f"{name}/depthwise/bias"]), weights, f"{name}/out")


def _layer_norm(x: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * weights[f"{name}/scale"] + weights[f"{name}/bias"]


def _dense(x: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    return tf.matmul(x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]
