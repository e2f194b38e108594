"""Decoder of content and prosody to the log-mels of a speaker, and its discriminator."""

from __future__ import annotations

import keras

from models import layers
from models.spectral_norm import SpectralConv2D


def speech_decoder(features: int, bins: int, *, domains: int, channels: int, blocks: int, kernel: int) -> keras.Model:
    """Gated residual convolutions over time, conditioned on a domain label by FiLM.

    Args:
      features: of a frame of the input `[batch, frames, features]`.
      bins: mel bands of the output `[batch, frames, bins]`.
      domains: length of the label `[batch, domains]`.
      channels: width.
      blocks: residual blocks, each of one gated convolution.
      kernel: width of a convolution, in frames.
    """
    x, label = keras.Input((None, features), name="features"), keras.Input((domains,), name="domain")
    h = keras.layers.Conv1D(channels, kernel, padding="same")(x)
    for _ in range(blocks):
        h = h + layers.gated_conv1d(layers.film(layers.frame_norm(h), label), channels, kernel)
    last = keras.layers.Conv1D(bins, kernel, padding="same", dtype="float32")
    return keras.Model([x, label], last(layers.film(layers.frame_norm(h), label)), name="speech_decoder")


def speech_decoder_context(*, blocks: int, kernel: int) -> int:
    """Frames on either side that one output frame of :func:`speech_decoder` depends on."""
    return (blocks + 2) * (kernel // 2)


def mel_patch_discriminator(bins: int, *, channels: int, outputs: int, spectral_norm: bool = False) -> keras.Model:
    """Logits `[batch, frames / 4, bins / 8, outputs]` of patches of log-mels, the features of each layer tapped."""
    conv = SpectralConv2D if spectral_norm else keras.layers.Conv2D
    x = keras.Input((None, bins), name="mels")
    h = keras.ops.expand_dims(x, -1)
    for width, kernel, strides in ((1, (3, 5), (1, 2)), (2, (3, 5), (2, 2)), (4, (3, 5), (2, 2)), (4, (3, 3), (1, 1))):
        h = layers.FeatureTap()(layers.leaky_relu(conv(width * channels, kernel, strides, padding="same")(h)))
    return keras.Model(x, conv(outputs, 3, padding="same", dtype="float32")(h), name="mel_patch_discriminator")
