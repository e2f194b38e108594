"""Layers and blocks that the networks have in common."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

MAX_TALL_FILTERS = 4  # convolutions with fewer filters are computed as :class:`TallConv2D`
NORM_EPSILON = 1e-5  # with a smaller one, near-constant input (silence, flat colour) gives NaN gradients


def gated_conv1d(x, channels: int, kernel: int, *, dilation: int = 1, strides: int = 1, name: str | None = None):
    """Convolution over time with a gated linear unit."""
    options = {"strides": strides, "dilation_rate": dilation, "padding": "same", "name": name}
    return gated(keras.layers.Conv1D(2 * channels, kernel, **options)(x))


def gated(x):
    """Gated linear unit: half of the channels times the sigmoid of the other half (Eq. 1 of arXiv:1612.08083)."""
    value, gate = keras.ops.split(x, 2, axis=-1)
    return value * keras.ops.sigmoid(gate)


def convnext1d(x, hidden: int, kernel: int, *, gain: float):
    """A ConvNeXt block over time (Fig. 4 of arXiv:2201.03545, as in Sec. 3.1 of arXiv:2306.00814).

    Args:
      x: `[batch, frames, channels]`.
      hidden: channels between its two dense layers.
      kernel: width of the depthwise convolution, in frames.
      gain: initial value of the factors of the residual branch (layer scale).
    """
    h = frame_norm(keras.layers.DepthwiseConv1D(kernel, padding="same")(x))
    h = keras.layers.Dense(x.shape[-1])(keras.ops.gelu(keras.layers.Dense(hidden)(h), approximate=False))
    return x + Gain(gain)(h)


class Gain(keras.layers.Layer):
    """A learned factor for every channel (layer scale, Eq. 3 of arXiv:2103.17239)."""

    def __init__(self, initial: float, **options):
        super().__init__(**options)
        self.initial = initial

    def build(self, shape):
        """Creates the factors."""
        initializer = keras.initializers.Constant(self.initial)
        self.gain = self.add_weight(shape=shape[-1:], initializer=initializer, name="gain")

    def call(self, x):
        """`x`, each channel times its factor."""
        return x * tf.cast(self.gain, x.dtype)


def frame_norm(x, name: str | None = None):
    """Layer normalisation of every frame over its channels.

    Unlike with instance normalisation over time, the result for a frame does not depend on the length of the clip or
    on the silence in it, so that the chunks of a long recording are consistent.
    """
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name)(x)


class InstanceNorm(keras.layers.Layer):
    """Instance normalisation with scale and shift (arXiv:1607.08022).

    Equal to `GroupNormalization(groups=-1)`, with a third of the operations.
    """

    def build(self, shape):
        """Creates scale and shift, one for each channel."""
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones", name="scale")
        self.shift = self.add_weight(shape=shape[-1:], initializer="zeros", name="shift")

    def call(self, x):
        """`x`, normalised in single precision."""
        wide = tf.cast(x, tf.float32)
        centred = wide - tf.reduce_mean(wide, axis=[1, 2], keepdims=True)
        power = tf.reduce_mean(tf.square(centred), axis=[1, 2], keepdims=True)
        scale, shift = tf.cast(self.scale, tf.float32), tf.cast(self.shift, tf.float32)
        return tf.cast(centred * (tf.math.rsqrt(power + NORM_EPSILON) * scale) + shift, x.dtype)


def instance_norm(x):
    """Instance normalisation: every channel of every image over its pixels (arXiv:1607.08022)."""
    return InstanceNorm()(x)


def pixel_norm(x):
    """Pixel norm: scales the channels of every pixel to a mean square of one (Sec. 4.2 of arXiv:1710.10196)."""
    return x * keras.ops.rsqrt(keras.ops.mean(x * x, axis=-1, keepdims=True) + NORM_EPSILON)


class LearnedLogSigma(keras.layers.Layer):
    """One learned number: the log standard deviation of a Gaussian, at least -6 (Sec. 3.1 of arXiv:2006.13202)."""

    def build(self, shape):
        """Creates the number, before the lower bound is applied."""
        self.free = self.add_weight(shape=(), initializer="zeros", name="free")

    def call(self, code):
        """`[batch, latent]` to `[batch, 1]`."""
        bounded = tf.math.softplus(tf.cast(self.free, tf.float32) + 6.0) - 6.0
        return tf.zeros_like(code[:, :1], tf.float32) + bounded


def log_sigma_network(latent: int) -> keras.Model:
    """Codes `[batch, latent]` to a log standard deviation `[batch, 1]`, the same for all examples."""
    code = keras.Input((latent,), name="code")
    return keras.Model(code, LearnedLogSigma(dtype="float32")(code), name="log_deviation")


def film(x, condition, name: str | None = None):
    """Feature-wise linear modulation by a condition `[batch, n]` (FiLM, Eq. 2 of arXiv:1709.07871)."""
    shape = [-1, *[1] * (len(x.shape) - 2), x.shape[-1]]
    names = [name and f"{name}_{part}" for part in ("scale", "shift")]
    scale, shift = (keras.ops.reshape(keras.layers.Dense(x.shape[-1], name=each)(condition), shape) for each in names)
    return x * (1 + scale) + shift


def leaky_relu(x):
    """Leaky ReLU with slope 0.2, the activation of all discriminators."""
    return keras.ops.leaky_relu(x, negative_slope=0.2)


def reflect_conv2d(x, channels: int, kernel: int, **options):
    """Convolution with reflection padding; zero padding is visible as a border in the output."""
    edge = kernel // 2
    padded = keras.ops.pad(x, [[0, 0], [edge, edge], [edge, edge], [0, 0]], mode="reflect")
    layer = TallConv2D if channels < MAX_TALL_FILTERS and kernel > 3 else keras.layers.Conv2D
    return layer(channels, kernel, kernel_initializer=dcgan_initializer(), **options)(padded)


def resize_conv2d(x, channels: int):
    """Nearest-neighbour upsampling by 2 and a convolution, with reflection padding.

    A transposed convolution leaves checkerboard artefacts (Odena et al. 2016, Distill).
    """
    return DoublingConv2D(channels, reflected=True, kernel_initializer=dcgan_initializer(), use_bias=False)(x)


class DoublingConv2D(keras.layers.Conv2D):
    """Nearest-neighbour upsampling by 2 and a 3 x 3 convolution, with 4/9 of the multiplications.

    In an upsampled image, 3 x 3 pixels are copies of 2 x 2 pixels, aligned in one of four ways. Four kernels of 2 x 2,
    sums of the 3 x 3 kernel's entries, therefore give the same result.

    Args:
      filters: channels of the result.
      reflected: whether edges are padded by reflection; else by zeros.
      options: of a convolution.
    """

    def __init__(self, filters: int, *, reflected: bool = False, **options):
        super().__init__(filters, 3, padding="same", **options)
        self.reflected = reflected

    def call(self, x):
        """`[batch, rows, columns, channels]` to `[batch, 2 rows, 2 columns, filters]`."""
        if self.reflected:  # the first row of a reflected upsampled image occurs three times
            x = tf.concat([x[:, :1], x, x[:, -1:]], axis=1)
            x = tf.concat([x[:, :, :1], x, x[:, :, -1:]], axis=2)
        else:
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        z = tf.nn.conv2d(x, self._folded(x.dtype), 1, "VALID")
        y = tf.nn.depth_to_space(z, 2)[
            :, 1:-1, 1:-1
        ]  # the first output of the valid convolution belongs to an odd pixel
        return self.activation(y + tf.cast(self.bias, y.dtype) if self.use_bias else y)

    def compute_output_shape(self, shape):
        """Twice the rows and columns."""
        return (shape[0], *(size and 2 * size for size in shape[1:3]), self.filters)

    def _folded(self, dtype) -> tf.Tensor:
        """The kernels for odd and even rows and columns, `[2, 2, channels, 4 filters]`."""
        folds = tf.constant([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], dtype)  # [odd or even, of 2, of 3]
        rows = tf.einsum("pau,uvio->pavio", folds, tf.cast(self.kernel, dtype))
        both = tf.einsum("qbv,pavio->abipqo", folds, rows)
        return tf.reshape(both, [2, 2, -1, 4 * self.filters])


class TallConv2D(keras.layers.Conv2D):
    """A convolution with few filters and a tall kernel, computed row by row of the kernel; the same result.

    The kernel's rows become filters of a convolution with a kernel of one row, whose outputs are shifted and summed.
    oneDNN has no fast path for the plain convolution, which takes more than ten times as long for large images.
    """

    def call(self, x):
        """`[batch, rows, columns, channels]` to as many rows and columns, or fewer with padding "valid"."""
        height, _, _, outputs = self.kernel.shape
        rows = tf.concat(tf.unstack(tf.cast(self.kernel, x.dtype)), axis=-1)[None]
        z = tf.nn.conv2d(x, rows, 1, self.padding.upper())
        if self.padding == "same":
            z = tf.pad(z, [[0, 0], [(height - 1) // 2, height // 2], [0, 0], [0, 0]])
        size = tf.shape(z)
        batch, rows_out, columns = size[0], size[1], size[2]
        z = tf.transpose(tf.reshape(z, [batch, rows_out, columns, height, outputs]), [0, 2, 4, 3, 1])
        flat = tf.reshape(z, [batch, columns, outputs, height * rows_out])
        flat = tf.pad(flat, [[0, 0], [0, 0], [0, 0], [0, height]])  # shifts row k by k to the left
        skewed = tf.reshape(flat, [batch, columns, outputs, height, rows_out + 1])
        y = tf.transpose(tf.reduce_sum(skewed[..., : rows_out - height + 1], axis=3), [0, 3, 1, 2])
        return self.activation(y + tf.cast(self.bias, y.dtype) if self.use_bias else y)


class PixelShuffle(keras.layers.Layer):
    """`[batch, rows, columns, 4 c]` to `[batch, 2 rows, 2 columns, c]` (Sec. 3.2 of arXiv:1609.05158)."""

    def call(self, x):
        """The shuffled pixels."""
        return tf.nn.depth_to_space(x, 2)


class FeatureTap(keras.layers.Layer):
    """The identity; its input is a feature tap of the network, see :class:`FeatureTaps`."""

    def call(self, x):
        """`x`."""
        return x


class FeatureTaps:
    """The features at the taps of a network, which shares its weights.

    No `tf.Module`, so that checkpoints and `Plugin.networks` do not treat it as another network.

    Args:
      network: contains layers :class:`FeatureTap`.

    Attributes:
      channels: number of channels at each tap, first to last.
    """

    def __init__(self, network: keras.Model):
        outputs = [layer.output for layer in network.layers if isinstance(layer, FeatureTap)]
        self.channels = [output.shape[-1] for output in outputs]
        self._network = keras.Model(network.input, outputs, name="taps")

    def __call__(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Features `[batch, ..., channels]` at each tap."""
        features = self._network(x)
        return list(features) if isinstance(features, (list, tuple)) else [features]


def dcgan_initializer() -> keras.Initializer:
    """N(0, 0.02), Sec. 4 of arXiv:1511.06434."""
    return keras.initializers.RandomNormal(stddev=0.02)


def fixed_filter(x, kernel: np.ndarray):
    """Convolution over time, in float32, with a kernel `[frames, in, out]` that is not trained."""
    frames, _, channels = kernel.shape
    initializer = keras.initializers.Constant(np.asarray(kernel, np.float32))
    options = {"padding": "same", "use_bias": False, "kernel_initializer": initializer, "trainable": False}
    layer = keras.layers.Conv1D(channels, frames, dtype="float32", **options)
    layer.is_fixed = True
    return layer(x)


def fixed_weights(network: keras.Model) -> list[keras.Variable]:
    """The weights of a network that follow from the data, not from training: those of fixed filters."""
    nested = [weight for layer in network.layers if isinstance(layer, keras.Model) for weight in fixed_weights(layer)]
    return nested + [w for layer in network.layers if getattr(layer, "is_fixed", False) for w in layer.weights]
