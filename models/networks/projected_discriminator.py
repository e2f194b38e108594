"""A discriminator on the features of a pretrained network (Projected GANs, arXiv:2111.01007).

The features of the pretrained network distinguish animals and textures, so that only small networks on them have to be
trained. As in Sec. 3.2 of the paper, the features of four scales are mixed by fixed random convolutions, first across
channels, then across scales, so that no discriminator can rely on a few of them. Unlike in the paper, the
discriminators have a logit for each patch.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from models import layers
from models.features.image import ImageSpec
from models.networks import efficientnet_lite
from models.spectral_norm import SpectralConv2D

MIXED_CHANNELS = 64
MIN_STRIDED_SIZE = 8  # features with fewer rows or columns are not downsampled further


class PretrainedFeatures(keras.layers.Layer):
    """Fixed features of images `[batch, height, width, 1 or 3]` in [-1, 1] at four scales, in single precision.

    Args:
      size: pixels of the longer side to which images are resized first; larger images keep their size.
    """

    def __init__(self, size: int, **options):
        super().__init__(trainable=False, dtype="float32", **options)
        self.size = size

    def call(self, x):
        """Features of `models.networks.efficientnet_lite`, from the finest to the coarsest scale."""
        height, width, channels = x.shape[1:]
        size = efficientnet_lite.scaled_size(height, width, max(1.0, self.size / max(height, width)))
        if size != [height, width]:
            x = tf.image.resize(x, size)
        x = tf.repeat(x, 3 // channels, axis=-1) * efficientnet_lite.PIXEL_SCALE
        return efficientnet_lite.feature_maps(x, efficientnet_lite.layers())


def projected_discriminator(spec: ImageSpec, *, channels: int, size: int) -> keras.Model:
    """Logits `[batch, rows, columns, 4]`: of patches at four scales, repeated to the grid of the finest.

    So each scale has the same weight in a mean over all logits.

    Args:
      spec: the image format.
      channels: width of the trained networks, whose convolutions have spectral normalisation.
      size: pixels of the longer side to which smaller images are enlarged for the pretrained network.

    Raises:
      UserError: the package with the pretrained weights is not installed.
    """
    efficientnet_lite.layers()
    x = keras.Input((spec.height, spec.width, spec.channels), name="pictures")
    logits = [_patch_logits(h, channels) for h in _mix_scales(PretrainedFeatures(size)(x))]
    rows, columns = (max(h.shape[axis] for h in logits) for axis in (1, 2))
    logits = [keras.layers.Resizing(rows, columns, interpolation="nearest", dtype="float32")(h) for h in logits]
    return keras.Model(x, keras.ops.concatenate(logits, axis=-1), name="projected_discriminator")


def _mix_scales(features: list) -> list:
    """Random 1 x 1 convolutions, then from the coarsest to the finest scale sums and random 3 x 3 convolutions."""
    mixed, coarser = [], None
    for n, h in reversed(list(enumerate(features))):
        h = _random_conv(h, 1, seed=2 * n)
        if coarser is not None:
            rows, columns = h.shape[1:3]
            h = h + keras.layers.UpSampling2D(interpolation="bilinear")(coarser)[:, :rows, :columns]
        coarser = _random_conv(h, 3, seed=2 * n + 1)
        mixed.insert(0, coarser)
    return mixed


def _random_conv(h, kernel: int, seed: int):
    initializer = keras.initializers.HeNormal(seed)
    options = {"padding": "same", "use_bias": False, "kernel_initializer": initializer, "trainable": False}
    return keras.layers.Conv2D(MIXED_CHANNELS, kernel, **options)(h)


def _patch_logits(h, channels: int):
    """Two strided convolutions, or one without stride where the features are small, and the logits."""
    strides = (2, 2) if min(h.shape[1:3]) >= MIN_STRIDED_SIZE else (1,)
    for stride in strides:
        h = layers.leaky_relu(SpectralConv2D(channels, 4, stride, padding="same")(h))
    return SpectralConv2D(1, 3, padding="same", dtype="float32")(h)
