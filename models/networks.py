"""Networks as functions that return a `keras.Model`; sizes are arguments, never looked up.

Speech is `[batch, frames, mels]` with any number of frames, pictures `[batch, height, width,
channels]`. Both are normalised: speech per bin, pictures to [-1, 1].
"""

from __future__ import annotations

import keras
import numpy as np

from models import layers
from models.features.image import ImageSpec

# ------------------------------------------------------------------ translation of speech


def mel_generator(bins: int, *, channels: int, blocks: int, kernel: int, transport: np.ndarray) -> keras.Model:
    """Residual generator over mels: a fixed linear filter plus what gated convolutions over time add.

    The last convolution begins at zero, so the network begins as the filter: training departs from
    optimal transport between the two domains' Gaussians and never has to discover it.

    Args:
      bins: mel bands.
      channels: width.
      blocks: residual blocks, each of two convolutions.
      kernel: frames that a gated convolution sees.
      transport: `[frames, bins, bins]`, from `models.features.transport`.
    """
    x = keras.Input((None, bins), name="mels")
    h = layers.gated_conv1d(x, channels, kernel)
    for _ in range(blocks):
        inner = layers.gated_conv1d(layers.frame_norm(h), channels, kernel)
        h = h + keras.layers.Conv1D(channels, 3, padding="same")(inner)
    last = keras.layers.Conv1D(bins, kernel, padding="same", kernel_initializer="zeros")
    return keras.Model(x, layers.fixed_filter(x, transport) + last(layers.frame_norm(h)), name="mel_generator")


def mel_generator_context(*, blocks: int, kernel: int, taps: int) -> int:
    """Frames to either side that one output frame of :func:`mel_generator`, its filter of so many taps, depends on."""
    return max((blocks + 2) * (kernel // 2) + blocks, taps // 2)


def mel_discriminator(bins: int, *, channels: int) -> keras.Model:
    """Judges stretches of some 30 frames over all bands at once: `[batch, frames / 4, 1]`, no activation.

    Convolutions over time with the bands as channels hear pitch and formants together; patches over
    time and frequency cost three times as much on a CPU and kept fewer words.
    """
    x = keras.Input((None, bins), name="mels")
    h = layers.leaky(keras.layers.Conv1D(channels, 5, padding="same")(x))
    for strides in (1, 2, 2):
        h = layers.leaky(keras.layers.Conv1D(channels, 5, strides, padding="same")(h))
    return keras.Model(x, keras.layers.Conv1D(1, 3, padding="same")(h), name="mel_discriminator")


# ------------------------------------------------------------------ translation of pictures


def resnet_generator(spec: ImageSpec, *, channels: int, blocks: int) -> keras.Model:
    """c7s1-k, d2k, d4k, R4k x blocks, u2k, uk, c7s1-3 (Sec. 7.2 of arXiv:1703.10593), resized instead of transposed."""
    x = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    h = keras.ops.relu(layers.instance_norm(layers.reflect_conv2d(x, channels, 7, use_bias=False)))
    for width in (2, 4):
        h = layers.reflect_conv2d(h, width * channels, 3, strides=2, use_bias=False)
        h = keras.ops.relu(layers.instance_norm(h))
    for _ in range(blocks):
        inner = keras.ops.relu(layers.instance_norm(layers.reflect_conv2d(h, 4 * channels, 3, use_bias=False)))
        h = h + layers.instance_norm(layers.reflect_conv2d(inner, 4 * channels, 3, use_bias=False))
    for width in (2, 1):
        h = keras.ops.relu(layers.instance_norm(layers.resize_conv2d(h, width * channels)))
    return keras.Model(x, keras.ops.tanh(layers.reflect_conv2d(h, spec.channels, 7)), name="resnet_generator")


def patch_discriminator(spec: ImageSpec, *, channels: int, halvings: int = 3) -> keras.Model:
    """PatchGAN (arXiv:1611.07004, Sec. 6.1.2): C64-C128-C256-C512 at `channels` 64 and 3 halvings.

    Each output judges a patch of 70 x 70 pixels with 3 halvings, 34 x 34 with 2, 16 x 16 with 1.
    Pictures too small for that many give way to fewer.
    """
    x = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    halvings = max(1, min(halvings, int(np.log2(min(spec.height, spec.width))) - 3))
    options = {"padding": "same", "kernel_initializer": layers.dcgan_init()}
    h = layers.leaky(keras.layers.Conv2D(channels, 4, 2, **options)(x))
    for n in range(1, halvings + 1):
        strides = 2 if n < halvings else 1
        h = keras.layers.Conv2D(channels * min(2**n, 8), 4, strides, use_bias=False, **options)(h)
        h = layers.leaky(layers.instance_norm(h))
    return keras.Model(x, keras.layers.Conv2D(1, 4, **options)(h), name="patch_discriminator")


# ------------------------------------------------------------------ coding


def mel_encoder(bins: int, frames: int, *, channels: int, outputs: int) -> keras.Model:
    """`[batch, frames, bins]` to `[batch, outputs]`; `frames` a multiple of 4."""
    x = keras.Input((frames, bins), name="mels")
    h = layers.gated_conv1d(x, channels, 5)
    for _ in range(2):
        h = layers.gated_conv1d(layers.frame_norm(h), channels, 5, strides=2)
    h = keras.layers.Flatten()(layers.frame_norm(h))
    return keras.Model(x, keras.layers.Dense(outputs)(h), name="mel_encoder")


def mel_decoder(bins: int, frames: int, *, channels: int, latent: int) -> keras.Model:
    """`[batch, latent]` to `[batch, frames, bins]`."""
    z = keras.Input((latent,), name="code")
    h = keras.layers.Reshape((frames // 4, channels))(keras.layers.Dense(frames // 4 * channels)(z))
    for _ in range(2):
        h = keras.layers.UpSampling1D(2)(h)
        h = layers.gated_conv1d(layers.frame_norm(h), channels, 5)
    return keras.Model(z, keras.layers.Conv1D(bins, 5, padding="same")(layers.frame_norm(h)), name="mel_decoder")


def image_encoder(spec: ImageSpec, *, channels: int, outputs: int) -> keras.Model:
    """`[batch, height, width, channels]` to `[batch, outputs]`."""
    x = h = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    for width in (1, 2):
        h = keras.ops.relu(keras.layers.Conv2D(width * channels, 4, 2, padding="same")(h))
    h = keras.ops.relu(keras.layers.Dense(8 * channels)(keras.layers.Flatten()(h)))
    return keras.Model(x, keras.layers.Dense(outputs)(h), name="image_encoder")


def image_decoder(spec: ImageSpec, *, channels: int, latent: int) -> keras.Model:
    """`[batch, latent]` to `[batch, height, width, channels]` in [-1, 1]."""
    z = keras.Input((latent,), name="code")
    rows, columns = spec.height // 4, spec.width // 4
    h = keras.ops.relu(keras.layers.Dense(8 * channels)(z))
    h = keras.ops.relu(keras.layers.Dense(rows * columns * 2 * channels)(h))
    h = keras.layers.Reshape((rows, columns, 2 * channels))(h)
    for width in (1, 1):
        h = keras.layers.UpSampling2D()(h)
        h = keras.ops.relu(keras.layers.Conv2D(width * channels, 3, padding="same")(h))
    last = keras.layers.Conv2D(spec.channels, 3, padding="same", activation="tanh")
    return keras.Model(z, last(h), name="image_decoder")
