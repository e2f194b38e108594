"""Networks of MaskCycleGAN-VC (arXiv:2102.12841, Fig. 2), sizes as arguments.

The 2-1-2-D generator treats mels `[batch, frames, mels]` as an image at its input and output and as a sequence in the
middle, so that formants are processed locally and prosody over long intervals.
"""

from __future__ import annotations

import keras
import numpy as np

from models import layers
from models.spectral_norm import SpectralConv2D


def masked_generator(
    bins: int, *, channels: int, blocks: int, masks: bool = True, transport: np.ndarray | None = None
) -> keras.Model:
    """``[mels, mask]`` to mels: 2-D, then 1-D, then 2-D convolutions, all gated.

    `channels` 128 and 6 blocks are the paper's: 16.5 million parameters for 80 mels. Two differences: frame norm in
    place of instance norm over time, so that the chunks of a long recording are consistent; and with a linear
    transport, the network adds a residual to it, which is zero at first.

    Args:
      bins: mel bands, a multiple of 4.
      channels: outputs of the first convolution before its gate, which halves them; an even number.
      blocks: residual blocks in the middle.
      masks: whether there is a second input `[batch, frames, mels]` of 0 and 1, 0 where frames are masked.
      transport: `[frames, bins, bins]`, from `models.features.transport`; None for none.
    """
    x = keras.Input((None, bins), name="mels")
    mask = keras.Input((None, bins), name="mask") if masks else None
    inputs = [x * mask, mask] if masks else [x]
    h = layers.gated(_conv2d(keras.ops.stack(inputs, axis=-1), channels, (15, 5)))
    for width in (2, 4):
        h = layers.gated(_norm2d(_conv2d(h, width * channels, (5, 5), strides=2)))
    rows = bins // 4
    h = keras.layers.Reshape((-1, rows * 2 * channels))(h)
    h = layers.frame_norm(keras.layers.Conv1D(2 * channels, 1)(h))
    for _ in range(blocks):
        inner = layers.gated(layers.frame_norm(keras.layers.Conv1D(4 * channels, 3, padding="same")(h)))
        h = h + layers.frame_norm(keras.layers.Conv1D(2 * channels, 3, padding="same")(inner))
    h = layers.frame_norm(keras.layers.Conv1D(rows * 2 * channels, 1)(h))
    h = keras.layers.Reshape((-1, rows, 2 * channels))(h)
    for width in (8, 4):  # upsampling by 2 by pixel shuffle (arXiv:1609.05158)
        h = layers.gated(_norm2d(layers.PixelShuffle()(_conv2d(h, width * channels, (5, 5)))))
    initializer = "glorot_uniform" if transport is None else "zeros"
    last = layers.TallConv2D(1, (15, 5), padding="same", kernel_initializer=initializer, dtype="float32")
    y = keras.layers.Reshape((-1, bins), dtype="float32")(last(h))
    if transport is not None:
        y = y + layers.fixed_filter(x, transport)
    return keras.Model([x, mask] if masks else x, y, name="masked_generator")


def masked_generator_context(*, blocks: int) -> int:
    """Frames on either side that one output frame of :func:`masked_generator` depends on, a multiple of 4."""
    edge = 7 + 2 + 2 * 2  # convolutions of 15, 5 and 5 frames, the last at half the rate
    middle = 4 * 2 * blocks  # at a quarter of the rate
    back = 2 * 4 + 2 * 2 + 7  # gated convolutions of 5 frames at a quarter and a half, and the last
    return -(-(edge + middle + back + 4) // 4) * 4


def _conv2d(x, channels: int, kernel: tuple[int, int], strides: int = 1):
    return keras.layers.Conv2D(channels, kernel, strides, padding="same")(x)


def _norm2d(x):
    """Layer normalisation of every frame over its bands and channels."""
    return keras.layers.LayerNormalization(axis=(-2, -1), epsilon=layers.NORM_EPSILON)(x)


def mel_patch_discriminator(bins: int, *, channels: int, spectral_norm: bool = False) -> keras.Model:
    """Logits of patches of time and frequency, `[batch, frames / 8, mels / 8, 1]` (Fig. 2 right).

    `channels` 128 is the paper's: outputs of the first convolution before its gate, which halves them.
    """
    conv = SpectralConv2D if spectral_norm else keras.layers.Conv2D
    x = keras.Input((None, bins), name="mels")
    h = keras.layers.Reshape((-1, bins, 1))(x)
    h = layers.gated(conv(channels, 3, padding="same")(h))
    for width in (2, 4, 8):
        h = layers.gated(_norm2d(conv(width * channels, 3, 2, padding="same")(h)))
    return keras.Model(x, conv(1, 3, padding="same", dtype="float32")(h), name="mel_patch_discriminator")
