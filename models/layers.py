"""Blocks that networks are made of, and the image pool."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from models.replicas import gathered
from models.stateless_random import Draws, uniform

FEW = 4  # outputs of a convolution; fewer are computed by rows of a tall kernel
NORM_EPSILON = 1e-5  # below it, near-constant input (silence, flat colour) gives NaN gradients


def gated_conv1d(x, channels: int, kernel: int, *, dilation: int = 1, strides: int = 1):
    """Convolution over time whose output is gated by another."""
    return gated(keras.layers.Conv1D(2 * channels, kernel, strides=strides, dilation_rate=dilation, padding="same")(x))


def gated(x):
    """Half the channels, gated by the other half: GLU (Eq. 1 of arXiv:1612.08083)."""
    value, gate = keras.ops.split(x, 2, axis=-1)
    return value * keras.ops.sigmoid(gate)


def convnext1d(x, hidden: int, kernel: int, *, gain: float):
    """A ConvNeXt block over time (Fig. 4 of arXiv:2201.03545, as in Sec. 3.1 of arXiv:2306.00814).

    Args:
      x: `[batch, frames, channels]`.
      hidden: channels between its two maps.
      kernel: frames that its convolution of single channels sees.
      gain: what each channel of its result is multiplied by at first.
    """
    h = frame_norm(keras.layers.DepthwiseConv1D(kernel, padding="same")(x))
    h = keras.layers.Dense(x.shape[-1])(keras.ops.gelu(keras.layers.Dense(hidden)(h), approximate=False))
    return x + Gain(gain)(h)


class Gain(keras.layers.Layer):
    """A learnt factor for every channel."""

    def __init__(self, begin: float, **options):
        super().__init__(**options)
        self.begin = begin

    def build(self, shape):
        """The factors, all the same at first."""
        begin = keras.initializers.Constant(self.begin)
        self.gain = self.add_weight(shape=shape[-1:], initializer=begin, name="gain")

    def call(self, x):
        """`x`, each channel times its factor."""
        return x * tf.cast(self.gain, x.dtype)


def frame_norm(x):
    """Normalises every frame over its channels (layer normalisation).

    Unlike instance normalisation over time, a frame's result does not depend on the length of the
    clip or the share of silence in it: chunks of a long recording join without a seam.
    """
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON)(x)


class InstanceNorm(keras.layers.Layer):
    """Normalises every channel of every picture over its pixels, then scales and shifts it (arXiv:1607.08022).

    The same as `GroupNormalization(groups=-1)`, in a third of the operations.
    """

    def build(self, shape):
        """Scale and shift, one a channel."""
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
    """Normalises every channel of every picture over its pixels (arXiv:1607.08022)."""
    return InstanceNorm()(x)


def pixel_norm(x):
    """Every pixel's channels to a mean square of one (Eq. 1 of arXiv:1710.10196)."""
    return x * keras.ops.rsqrt(keras.ops.mean(x * x, axis=-1, keepdims=True) + NORM_EPSILON)


class LogDeviation(keras.layers.Layer):
    """One learnt number for every example: the logarithm of a deviation, -6 at least (Sec. 3.1 of arXiv:2006.13202)."""

    def build(self, shape):
        """The number, before it is bounded."""
        self.free = self.add_weight(shape=(), initializer="zeros", name="free")

    def call(self, code):
        """`[batch, any]` to `[batch, 1]`."""
        bounded = tf.math.softplus(tf.cast(self.free, tf.float32) + 6.0) - 6.0
        return tf.zeros_like(code[:, :1], tf.float32) + bounded


def log_deviation(latent: int) -> keras.Model:
    """Codes `[batch, latent]` to the logarithm of a deviation `[batch, 1]`, the same for all."""
    code = keras.Input((latent,), name="code")
    return keras.Model(code, LogDeviation(dtype="float32")(code), name="log_deviation")


def told(x, code):
    """`x` scaled and shifted, channel by channel, by linear functions of a code `[batch, any]`."""
    shape = [-1, *[1] * (len(x.shape) - 2), x.shape[-1]]
    scale, shift = (keras.ops.reshape(keras.layers.Dense(x.shape[-1])(code), shape) for _ in range(2))
    return x * (1 + scale) + shift


def leaky(x):
    """Leaky ReLU of slope 0.2, as every discriminator here uses."""
    return keras.ops.leaky_relu(x, negative_slope=0.2)


def reflect_conv2d(x, channels: int, kernel: int, **options):
    """Convolution with reflected instead of zero edges, which show as a frame around the output."""
    edge = kernel // 2
    padded = keras.ops.pad(x, [[0, 0], [edge, edge], [edge, edge], [0, 0]], mode="reflect")
    layer = TallConv2D if channels < FEW and kernel > 3 else keras.layers.Conv2D
    return layer(channels, kernel, kernel_initializer=dcgan_init(), **options)(padded)


def resize_conv2d(x, channels: int):
    """Doubles height and width by nearest neighbour, then convolves, with reflected edges.

    A transposed convolution leaves checkerboards (Odena et al. 2016, Distill).
    """
    return DoublingConv2D(channels, reflected=True, kernel_initializer=dcgan_init(), use_bias=False)(x)


class DoublingConv2D(keras.layers.Conv2D):
    """Doubles height and width by nearest neighbour and convolves 3 x 3; the same numbers for 4/9 of the work.

    In a doubled picture 3 x 3 pixels are 2 x 2 different ones, in one of four ways: four kernels of 2 x 2 say it all.

    Args:
      filters: channels of the result.
      reflected: whether edges are reflected; else they are zero.
      options: of a convolution.
    """

    def __init__(self, filters: int, *, reflected: bool = False, **options):
        super().__init__(filters, 3, padding="same", **options)
        self.reflected = reflected

    def call(self, x):
        """`[batch, rows, columns, channels]` to `[batch, 2 rows, 2 columns, filters]`."""
        if self.reflected:  # a doubled picture that is reflected has its first row three times
            x = tf.concat([x[:, :1], x, x[:, -1:]], axis=1)
            x = tf.concat([x[:, :, :1], x, x[:, :, -1:]], axis=2)
        else:
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        z = tf.nn.conv2d(x, self._folded(x.dtype), 1, "VALID")
        y = tf.nn.depth_to_space(z, 2)[:, 1:-1, 1:-1]  # what two neighbours see begins at an odd pixel
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
    """A convolution of few outputs whose kernel is tall, by rows of the kernel; the same numbers.

    The rows become outputs of a convolution of one row, whose results are shifted and added up. oneDNN
    has no fast path for the whole of it, and takes ten times as long and more where pictures are large.
    """

    def call(self, x):
        """`[batch, rows, columns, channels]` to as many rows and columns, or fewer with padding "valid"."""
        tall, _, _, outputs = self.kernel.shape
        rows = tf.concat(tf.unstack(tf.cast(self.kernel, x.dtype)), axis=-1)[None]
        z = tf.nn.conv2d(x, rows, 1, self.padding.upper())
        if self.padding == "same":
            z = tf.pad(z, [[0, 0], [(tall - 1) // 2, tall // 2], [0, 0], [0, 0]])
        size = tf.shape(z)
        batch, high, columns = size[0], size[1], size[2]
        z = tf.transpose(tf.reshape(z, [batch, high, columns, tall, outputs]), [0, 2, 4, 3, 1])
        flat = tf.reshape(z, [batch, columns, outputs, tall * high])
        flat = tf.pad(flat, [[0, 0], [0, 0], [0, 0], [0, tall]])  # so that row k begins k to the left
        skewed = tf.reshape(flat, [batch, columns, outputs, tall, high + 1])
        y = tf.transpose(tf.reduce_sum(skewed[..., : high - tall + 1], axis=3), [0, 3, 1, 2])
        return self.activation(y + tf.cast(self.bias, y.dtype) if self.use_bias else y)


class PixelShuffle(keras.layers.Layer):
    """`[batch, rows, columns, 4 c]` to `[batch, 2 rows, 2 columns, c]` (Sec. 3.2 of arXiv:1609.05158)."""

    def call(self, x):
        """The shuffled pixels."""
        return tf.nn.depth_to_space(x, 2)


class Tap(keras.layers.Layer):
    """Marks a place inside a network whose features :func:`tapped` gives; passes on what it is given."""

    def call(self, x):
        """`x`."""
        return x


def tapped(network: keras.Model) -> keras.Model:
    """The same network up to its taps: a list of their features, first to last."""
    taps = [layer.output for layer in network.layers if isinstance(layer, Tap)]
    return keras.Model(network.input, taps, name="taps")


def dcgan_init() -> keras.Initializer:
    """N(0, 0.02), Sec. 4 of arXiv:1511.06434."""
    return keras.initializers.RandomNormal(stddev=0.02)


def fixed_filter(x, kernel: np.ndarray):
    """Convolution over time with a kernel `[frames, in, out]` that is not trained."""
    frames, _, channels = kernel.shape
    initializer = keras.initializers.Constant(np.asarray(kernel, np.float32))
    options = {"padding": "same", "use_bias": False, "kernel_initializer": initializer, "trainable": False}
    return keras.layers.Conv1D(channels, frames, **options)(x)


class _Spectral:
    """A convolution whose kernel is divided by its largest singular value (arXiv:1802.05957, Algorithm 1)."""

    def build(self, input_shape):
        super().build(input_shape)
        start = keras.initializers.RandomNormal(stddev=1.0)
        shared = {"trainable": False, "aggregation": "only_first_replica"}
        self.direction = self.add_weight(shape=[1, self.filters], initializer=start, name="direction", **shared)

    @property
    def kernel(self):
        kernel = super().kernel
        return kernel / keras.ops.cast(self._length(kernel), kernel.dtype) if hasattr(self, "direction") else kernel

    def _length(self, kernel):
        matrix = tf.reshape(tf.cast(kernel, tf.float32), [-1, self.filters])
        v = tf.stop_gradient(tf.linalg.l2_normalize(tf.cast(self.direction, tf.float32) @ tf.transpose(matrix)))
        u = tf.stop_gradient(tf.linalg.l2_normalize(v @ matrix))
        return tf.reduce_sum((v @ matrix) * u)

    def iterate(self):
        """One step of the power method towards the first singular vector."""
        matrix = tf.reshape(super().kernel, [-1, self.filters])
        v = tf.linalg.l2_normalize(self.direction @ tf.transpose(matrix))
        self.direction.assign(tf.linalg.l2_normalize(v @ matrix))


class SpectralConv1D(_Spectral, keras.layers.Conv1D):
    """Convolution over time with spectral normalisation."""


class SpectralConv2D(_Spectral, keras.layers.Conv2D):
    """Convolution over pixels with spectral normalisation."""


def iterate_spectral_norms(network: keras.Model) -> None:
    """One power iteration in each layer that has spectral normalisation; once for each step of the network."""
    for layer in network.layers:
        if isinstance(layer, _Spectral):
            layer.iterate()


class ImagePool(tf.Module):
    """A history of fakes for the discriminator (arXiv:1612.07828, Sec. 2.3), in the graph.

    Half the fakes it is asked about are swapped for older ones, so that the discriminator does not
    forget what the generator did before. The history is a variable: it is saved and restored with
    the rest. Under several replicas it is one history, filled in the order of the global batch.

    Args:
      size: fakes kept; 0 gives back what it is given.
      shape: shape of one fake, fully known.
    """

    def __init__(self, size: int, shape: tuple[int, ...], name: str = "pool"):
        super().__init__(name=name)
        self.size = size
        options = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        if size:
            self.fakes = tf.Variable(tf.zeros([size, *shape]), name="fakes", **options)
            self.filled = tf.Variable(0, name="filled", **options)

    def query(self, fakes: tf.Tensor, draws: Draws, salt: int) -> tf.Tensor:
        """Each fake, or an older one in its place.

        Args:
          fakes: `[batch, ...]`, this replica's.
          draws: of this step.
          salt: which of its draws to use.

        Returns:
          `[batch, ...]`.
        """
        if not self.size:
            return fakes
        index, seed = draws.index, draws.of(salt)
        everyone = gathered(fakes, index)
        count = min(draws.global_batch_size, self.size)
        head = everyone[:count]
        slot, fresh = self._slots(count, seed)
        swap = ~fresh & (uniform([count], seed + 1) < 0.5)
        older = tf.gather(self.fakes, slot)
        answer = tf.where(_like(swap, head), older, head)
        kept = tf.where(_like(swap | fresh, head), head, older)
        self.fakes.assign(tf.tensor_scatter_nd_update(self.fakes, slot[:, None], kept))
        self.filled.assign(tf.minimum(self.filled + count, self.size))
        return tf.gather(tf.concat([answer, everyone[count:]], axis=0), index)

    def _slots(self, count: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct slots `[count]`, free ones first, then random full ones; and which were free."""
        row = tf.range(count)
        free = self.size - self.filled
        full_first = uniform([self.size], seed) + tf.cast(tf.range(self.size) >= self.filled, tf.float32)
        order = tf.argsort(full_first)
        return tf.where(row < free, self.filled + row, tf.gather(order, tf.maximum(row - free, 0))), row < free


def _like(mask: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(mask, [-1] + [1] * (len(x.shape) - 1))
