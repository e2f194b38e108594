"""Networks over log-mel spectrograms `[batch, frames, mels]`, any number of frames, normalised per mel band.

Every function returns a `keras.Model`; sizes are arguments, never looked up.
"""

from __future__ import annotations

import keras
import numpy as np

from models import layers
from models.spectral_norm import SpectralConv1D


def mel_generator(bins: int, *, channels: int, blocks: int, kernel: int, transport: np.ndarray) -> keras.Model:
    """Residual generator: a fixed linear filter over time plus gated convolutions.

    The last convolution is initialised with zeros, so that the network is the linear filter at first: training starts
    from linear optimal transport between the two domains.

    Args:
      bins: mel bands.
      channels: width.
      blocks: residual blocks, each of two convolutions.
      kernel: width of a gated convolution, in frames.
      transport: `[frames, bins, bins]`, from `models.features.transport`.
    """
    x = keras.Input((None, bins), name="mels")
    h = layers.FeatureTap()(layers.gated_conv1d(x, channels, kernel))
    for _ in range(blocks):
        inner = layers.gated_conv1d(layers.frame_norm(h), channels, kernel)
        h = layers.FeatureTap()(h + keras.layers.Conv1D(channels, 3, padding="same")(inner))
    last = keras.layers.Conv1D(bins, kernel, padding="same", kernel_initializer="zeros", dtype="float32")
    return keras.Model(x, layers.fixed_filter(x, transport) + last(layers.frame_norm(h)), name="mel_generator")


def mel_generator_context(*, blocks: int, kernel: int, taps: int) -> int:
    """Frames on either side that one output frame of :func:`mel_generator` depends on; `taps` frames of transport."""
    return max((blocks + 2) * (kernel // 2) + blocks, taps // 2)


def mel_discriminator(
    bins: int, *, channels: int, spectral_norm: bool = False, outputs: int = 1, offset: bool = True
) -> keras.Model:
    """Logits of intervals of about 30 frames over all bands: `[batch, frames / 4, outputs]`.

    Convolutions over time with the bands as channels use pitch and formants together; patches over time and frequency
    took three times as long on a CPU and the translations were less intelligible.
    """
    conv = SpectralConv1D if spectral_norm else keras.layers.Conv1D
    x = keras.Input((None, bins), name="mels")
    h = layers.leaky_relu(conv(channels, 5, padding="same")(x))
    for strides in (1, 2, 2):
        h = layers.leaky_relu(conv(channels, 5, strides, padding="same")(h))
    last = conv(outputs, 3, padding="same", use_bias=offset, dtype="float32")
    return keras.Model(x, last(h), name="mel_discriminator")


def mel_encoder(bins: int, frames: int, *, channels: int, outputs: int) -> keras.Model:
    """`[batch, frames, bins]` to `[batch, outputs]`; `frames` a multiple of 4."""
    x = keras.Input((frames, bins), name="mels")
    h = layers.gated_conv1d(x, channels, 5)
    for _ in range(2):
        h = layers.gated_conv1d(layers.frame_norm(h), channels, 5, strides=2)
    h = keras.layers.Flatten()(layers.frame_norm(h))
    return keras.Model(x, keras.layers.Dense(outputs, dtype="float32")(h), name="mel_encoder")


def mel_decoder(bins: int, frames: int, *, channels: int, latent: int) -> keras.Model:
    """`[batch, latent]` to `[batch, frames, bins]`.

    Frames are normalised, so that without the hidden layer the output would hardly depend on the code's norm.
    """
    z = keras.Input((latent,), name="code")
    h = keras.ops.relu(keras.layers.Dense(4 * channels)(z))
    h = keras.layers.Reshape((frames // 4, channels))(keras.layers.Dense(frames // 4 * channels)(h))
    for _ in range(2):
        h = keras.layers.UpSampling1D(2)(h)
        h = layers.gated_conv1d(layers.frame_norm(h), channels, 5)
    last = keras.layers.Conv1D(bins, 5, padding="same", dtype="float32")
    return keras.Model(z, last(layers.frame_norm(h)), name="mel_decoder")
