"""Decoder of content and prosody to the log-mels of a speaker, and its discriminator."""

from __future__ import annotations

import functools

import keras

from models import layers
from models.spectral_norm import SpectralConv2D

INITIAL_GAIN = 0.3  # of harmonics in the normalised log-mels
REFINING_LAYERS, REFINING_CHANNELS = 2, 24  # of 5 x 5 convolutions
REFINING_OUTPUT = (3, 5)  # frames and bands of the last convolution


def domain_embedding(domains: int, size: int) -> keras.Model:
    """Embeddings `[batch, size]` of domain labels `[batch, domains]`, zero at first."""
    label = keras.Input((domains,), name="domain")
    table = keras.layers.Dense(size, use_bias=False, kernel_initializer="zeros", name="table", dtype="float32")
    return keras.Model(label, table(label), name="domain_embedding")


def speech_decoder(features: int, bins: int, *, embedding: int, channels: int, blocks: int, kernel: int) -> keras.Model:
    """Gated residual convolutions over time, conditioned on the embedding of a voice by FiLM; then harmonics are added.

    Their output is a spectral envelope plus the log-mels of the harmonics of F0, each band of these scaled by the
    share of the harmonics in it, as the network estimates it. F0 is no input of these convolutions, so that phonemes
    cannot be inferred from it. Then :func:`refine` shapes each harmonic by its neighbours in time and frequency.

    Every layer has a name of its own, by which trained weights are found. `log_mels` and `harmonic_gain` depend on the
    front end, all others on the sizes only.

    Args:
      features: of a frame of the first input `[batch, frames, features]`.
      bins: mel bands of the second input, the log-mels of the harmonics of F0, and of the output
        `[batch, frames, bins]`.
      embedding: length of the third input, `[batch, embedding]`.
      channels: width.
      blocks: residual blocks, each of one gated convolution.
      kernel: width of a convolution, in frames.
    """
    x, tones = keras.Input((None, features), name="features"), keras.Input((None, bins), name="tones")
    voice = keras.Input((embedding,), name="voice")
    conv = functools.partial(keras.layers.Conv1D, kernel_size=kernel, padding="same")
    h = conv(channels, name="input")(x)
    for n in range(blocks):
        name = f"block_{n}"
        inner = layers.film(layers.frame_norm(h, f"{name}_norm"), voice, f"{name}_film")
        h = h + layers.gated_conv1d(inner, channels, kernel, name=name)
    h = layers.film(layers.frame_norm(h, "output_norm"), voice, "output_film")
    bias = keras.initializers.Constant(INITIAL_GAIN)
    gain = conv(bins, kernel_initializer="zeros", bias_initializer=bias, dtype="float32", name="harmonic_gain")(h)
    envelope = conv(bins, dtype="float32", name="log_mels")(h)
    return keras.Model([x, tones, voice], refine(envelope, gain, tones), name="speech_decoder")


def refine(envelope, gain, tones):
    """Sum of the envelope, of the scaled harmonics, and of what local convolutions find missing from both.

    Where two harmonics meet in a band, or F0 moves within a window, the log-mels are no sum of an envelope and of the
    log-mels of steady harmonics. The last convolution is zero at first.

    Args:
      envelope: log-mels `[batch, frames, bins]`.
      gain: factor of the harmonics, of the same shape.
      tones: log-mels of the harmonics, of the same shape.
    """
    total = envelope + gain * tones
    h = keras.ops.stack([total, envelope, gain * tones, tones], axis=-1)
    for n in range(REFINING_LAYERS):
        h = layers.leaky_relu(keras.layers.Conv2D(REFINING_CHANNELS, 5, padding="same", name=f"refine_{n}")(h))
    last = keras.layers.Conv2D(
        1, REFINING_OUTPUT, padding="same", kernel_initializer="zeros", dtype="float32", name="refine_output"
    )
    return total + keras.ops.squeeze(last(h), -1)


def speech_decoder_context(*, blocks: int, kernel: int) -> int:
    """Frames on either side that one output frame of :func:`speech_decoder` depends on."""
    return (blocks + 2) * (kernel // 2) + 2 * REFINING_LAYERS + REFINING_OUTPUT[0] // 2


def mel_patch_discriminator(bins: int, *, channels: int, spectral_norm: bool = False) -> keras.Model:
    """Logits `[batch, frames / 4, bins / 8, 1]` of patches of log-mels, the features of each layer tapped."""
    conv = SpectralConv2D if spectral_norm else keras.layers.Conv2D
    x = keras.Input((None, bins), name="mels")
    h = keras.ops.expand_dims(x, -1)
    sizes = ((1, (3, 5), (1, 2)), (2, (3, 5), (2, 2)), (4, (3, 5), (2, 2)), (4, (3, 3), (1, 1)))
    for n, (width, kernel, strides) in enumerate(sizes):
        layer = conv(width * channels, kernel, strides, padding="same", name=f"conv_{n}")
        h = layers.FeatureTap()(layers.leaky_relu(layer(h)))
    logits = conv(1, 3, padding="same", dtype="float32", name="logits")
    return keras.Model(x, logits(h), name="mel_patch_discriminator")
