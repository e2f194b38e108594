"""Networks over images `[batch, height, width, channels]` in [-1, 1].

Every function returns a `keras.Model`; sizes are arguments, never looked up.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from models import layers
from models.features.image import ImageSpec
from models.spectral_norm import SpectralConv2D

SKIP_LIMIT = 0.98  # of the pixels whose inverse tanh is taken


def resnet_generator(
    spec: ImageSpec, *, channels: int, blocks: int, num_downsamples: int = 2, labels: int = 0, skip: bool = False
) -> keras.Model:
    """c7s1-k, d2k, d4k, R4k x blocks, u2k, uk, c7s1-3 (Sec. 7.2 of arXiv:1703.10593), resized instead of transposed.

    Args:
      spec: the image format.
      channels: k above.
      blocks: residual blocks.
      num_downsamples: stride-2 convolutions: 2 in the paper; 1 (without d4k and u2k) keeps the position of small
        details.
      labels: size of a second input `[batch, labels]`, domain labels that scale and shift normalised features
        (adaptive instance normalisation, Eq. 8 of arXiv:1703.06868); 0 for none. Labels as constant channels beside
        the image would be removed by instance normalisation.
      skip: whether the output is a change of the input: it is added to the inverse tanh of the input, before the last
        tanh, so that the generator starts near the identity and need not learn to draw what stays.
    """
    x = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    label = keras.Input((labels,), name="code") if labels else None
    h = keras.ops.relu(layers.instance_norm(layers.reflect_conv2d(x, channels, 7, use_bias=False)))
    for n in range(num_downsamples):
        h = layers.reflect_conv2d(h, channels * 2 ** (n + 1), 3, strides=2, use_bias=False)
        h = layers.FeatureTap()(keras.ops.relu(layers.instance_norm(h)))
    wide = h.shape[-1]
    for _ in range(blocks):
        inner = layers.instance_norm(layers.reflect_conv2d(h, wide, 3, use_bias=False))
        inner = keras.ops.relu(layers.film(inner, label) if labels else inner)
        h = layers.FeatureTap()(h + layers.instance_norm(layers.reflect_conv2d(inner, wide, 3, use_bias=False)))
    for n in reversed(range(num_downsamples)):
        h = layers.instance_norm(layers.resize_conv2d(h, channels * 2**n))
        h = keras.ops.relu(layers.film(h, label) if labels else h)
    last = layers.reflect_conv2d(h, spec.channels, 7, dtype="float32")
    if skip:
        last = last + keras.ops.arctanh(keras.ops.clip(x, -SKIP_LIMIT, SKIP_LIMIT))
    return keras.Model([x, label] if labels else x, keras.ops.tanh(last), name="resnet_generator")


def patch_heads(channels: Sequence[int], *, features: int) -> keras.Model:
    """A two-layer perceptron for each feature tap, with outputs of unit length (Sec. 3 of arXiv:2007.15651).

    Args:
      channels: number of channels at each tap.
      features: width of the outputs.
    """
    inputs = [keras.Input((None, width)) for width in channels]
    outputs = []
    for x in inputs:
        h = keras.layers.Dense(features, activation="relu", kernel_initializer=layers.dcgan_initializer())(x)
        h = keras.layers.Dense(features, kernel_initializer=layers.dcgan_initializer(), dtype="float32")(h)
        outputs.append(h * keras.ops.rsqrt(keras.ops.sum(h * h, axis=-1, keepdims=True) + 1e-12))
    return keras.Model(inputs, outputs, name="patch_heads")


def unet_generator(spec: ImageSpec, *, channels: int) -> keras.Model:
    """U-Net: down to a few pixels and up again with skip connections (Sec. 6.1.1 of arXiv:1611.07004).

    `channels` 64 and 256 x 256 pixels are the paper's. Any image size works: sizes that are not a multiple of two are
    cropped on the way up. Resizing and convolution in place of transposed convolution; no noise input, which the paper
    found to be ignored.
    """
    x = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    h, skips = x, []
    for n in range(max(2, int(np.log2(min(spec.height, spec.width))) - 1)):
        skips.append(h)
        options = {"padding": "same", "use_bias": n == 0, "kernel_initializer": layers.dcgan_initializer()}
        h = keras.layers.Conv2D(channels * min(2**n, 8), 4, 2, **options)(h)
        h = layers.leaky_relu(h if n == 0 else layers.instance_norm(h))
    for n, skip in reversed(list(enumerate(skips))):
        h = keras.layers.UpSampling2D()(h)[:, : skip.shape[1], : skip.shape[2]]
        h = layers.reflect_conv2d(h, channels * min(2 ** max(n - 1, 0), 8), 3, use_bias=False)
        h = keras.layers.Concatenate()([keras.ops.relu(layers.instance_norm(h)), skip])
    last = layers.reflect_conv2d(h, spec.channels, 3, dtype="float32")
    return keras.Model(x, keras.ops.tanh(last), name="unet_generator")


def patch_discriminator(
    spec: ImageSpec,
    *,
    channels: int,
    num_downsamples: int = 3,
    spectral_norm: bool = False,
    num_images: int = 1,
    outputs: int = 1,
) -> keras.Model:
    """PatchGAN (Sec. 6.1.2 of arXiv:1611.07004): C64-C128-C256-C512 with 64 channels and 3 downsamplings.

    Each output depends on a patch of 70 x 70 pixels with 3 downsamplings, 34 x 34 with 2, 16 x 16 with 1; small images
    have fewer. `num_images` images are concatenated along the channels.
    """
    x = keras.Input((spec.height, spec.width, num_images * spec.channels), name="pictures")
    num_downsamples = max(1, min(num_downsamples, int(np.log2(min(spec.height, spec.width))) - 2))
    options = {"padding": "same", "kernel_initializer": layers.dcgan_initializer()}
    conv = SpectralConv2D if spectral_norm else keras.layers.Conv2D
    h = layers.leaky_relu(conv(channels, 4, 2, **options)(x))
    for n in range(1, num_downsamples + 1):
        strides = 2 if n < num_downsamples else 1
        h = conv(channels * min(2**n, 8), 4, strides, use_bias=False, **options)(h)
        h = layers.leaky_relu(layers.instance_norm(h))
    return keras.Model(x, conv(outputs, 4, dtype="float32", **options)(h), name="patch_discriminator")


def image_encoder(spec: ImageSpec, *, channels: int, outputs: int) -> keras.Model:
    """`[batch, height, width, channels]` to `[batch, outputs]`."""
    x = h = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    for width in (1, 2):
        h = keras.ops.relu(keras.layers.Conv2D(width * channels, 4, 2, padding="same")(h))
    h = keras.ops.relu(keras.layers.Dense(8 * channels)(keras.layers.Flatten()(h)))
    return keras.Model(x, keras.layers.Dense(outputs, dtype="float32")(h), name="image_encoder")


def image_decoder(spec: ImageSpec, *, channels: int, latent: int, logits: bool = False) -> keras.Model:
    """`[batch, latent]` to `[batch, height, width, channels]` in [-1, 1], or to logits of that shape."""
    z = keras.Input((latent,), name="code")
    rows, columns = -(-spec.height // 4), -(-spec.width // 4)
    h = keras.ops.relu(keras.layers.Dense(8 * channels)(z))
    h = keras.ops.relu(keras.layers.Dense(rows * columns * 2 * channels)(h))
    h = keras.layers.Reshape((rows, columns, 2 * channels))(h)
    for width in (1, 1):
        h = keras.ops.relu(layers.DoublingConv2D(width * channels)(h))
    h = h[:, : spec.height, : spec.width]
    activation = None if logits else "tanh"
    last = keras.layers.Conv2D(spec.channels, 3, padding="same", activation=activation, dtype="float32")
    return keras.Model(z, last(h), name="image_decoder")


def image_generator(spec: ImageSpec, *, channels: int, latent: int) -> keras.Model:
    """`[batch, latent]` to images in [-1, 1], as DCGAN (Fig. 1 of arXiv:1511.06434) at any size.

    Resizing and convolution in place of transposed convolution, pixel norm (Eq. 1 of arXiv:1710.10196) in place of
    batch norm.
    """
    z = keras.Input((latent,), name="noise")
    num_upsamples = _num_downsamples(spec)
    rows, columns = (-(-size // 2**num_upsamples) for size in (spec.height, spec.width))
    wide = channels * 2**num_upsamples
    h = keras.layers.Reshape((rows, columns, wide))(keras.layers.Dense(rows * columns * wide)(z))
    h = keras.ops.relu(layers.pixel_norm(h))
    for n in reversed(range(num_upsamples)):
        h = layers.DoublingConv2D(channels * 2**n)(h)
        h = keras.ops.relu(layers.pixel_norm(h))
    h = h[:, : spec.height, : spec.width]
    last = keras.layers.Conv2D(spec.channels, 3, padding="same", activation="tanh", dtype="float32")
    return keras.Model(z, last(h), name="image_generator")


def image_discriminator(
    spec: ImageSpec, *, channels: int, spectral_norm: bool = False, offset: bool = True
) -> keras.Model:
    """One logit for a whole image, `[batch, 1]`: strided convolutions without normalisation, then a linear map."""
    conv = SpectralConv2D if spectral_norm else keras.layers.Conv2D
    x = h = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    for n in range(_num_downsamples(spec) + 1):
        h = layers.leaky_relu(conv(channels * 2**n, 4, 2, padding="same")(h))
    logit = keras.layers.Flatten(dtype="float32")(conv(1, h.shape[1:3], use_bias=offset, dtype="float32")(h))
    return keras.Model(x, logit, name="image_discriminator")


def _num_downsamples(spec: ImageSpec) -> int:
    """Number of downsamplings by 2 to a size of about four pixels, from 1 to 4."""
    return int(np.clip(np.log2(min(spec.height, spec.width) / 4), 1, 4))
