"""Shared by plugins with an encoder and a decoder: configuration keys, networks, windows of speech, signatures.

Speech of any length is encoded window by window, to codes `[batch, windows, latent]`; images to `[batch, latent]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import keras
import tensorflow as tf

from models.config_fields import option
from models.errors import UserError
from models.networks import images, mels
from plugins import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys that plugins with an encoder and a decoder share."""

    batch_size: int = 32
    latent: int = option(32, "latent dimensions of one image, or of one window of crop_frames frames of speech")
    channels: int = option(64, "base number of channels of the encoder and the decoder")
    learning_rate: float = option(1e-3, "learning rate of Adam")
    RENAMED: ClassVar[Mapping[str, str]] = {"rate": "learning_rate"}

    def __post_init__(self):
        super().__post_init__()
        base.require_at_least(self, latent=1, channels=1, learning_rate=0)
        if self.crop_frames % 4:
            raise UserError(f"crop_frames={self.crop_frames}; the encoder wants a multiple of 4")


PRESETS = {
    "small": {"image": {"channels": 32}},
    "full": {"audio": {"steps": 50000, "channels": 256, "latent": 128}, "image": {"steps": 50000, "latent": 128}},
}


def build_encoder_decoder(
    plugin: base.Plugin, *, outputs: int, logits: bool = False
) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder of images or of windows of speech, by the plugin's configuration.

    Args:
      plugin: the plugin.
      outputs: number of the encoder's outputs.
      logits: whether the image decoder returns logits of pixels instead of pixels in [-1, 1].
    """
    c, spec = plugin.config, plugin.spec
    if spec.kind == "audio":
        size = {"bins": spec.bins, "frames": c.crop_frames, "channels": c.channels}
        return mels.mel_encoder(**size, outputs=outputs), mels.mel_decoder(**size, latent=c.latent)
    decoder = images.image_decoder(spec.features, channels=c.channels, latent=c.latent, logits=logits)
    return images.image_encoder(spec.features, channels=c.channels, outputs=outputs), decoder


def signatures(
    plugin: base.Plugin,
    encode: Callable,
    decode: Callable,
    *,
    samples: bool = False,
    others: Mapping[str, Callable] | None = None,
) -> dict:
    """The signatures `encode`, `decode`, `reconstruct`, optionally `sample`, and others; speech at any length.

    Args:
      plugin: the plugin.
      encode: function of features of images or windows `[n, ...]` to codes `[n, latent]`.
      decode: function of codes `[n, latent]` to features.
      samples: whether to add `sample`, which decodes codes from the standard normal distribution.
      others: further signatures by name: functions of features of images or windows, `[n, ...]` to `[n, ...]`.
    """
    spec, latent = plugin.spec, plugin.config.latent
    code_shape = [None, latent] if spec.kind == "image" else [None, None, latent]
    code_input = [tf.TensorSpec(code_shape, tf.float32, "code")]

    def decode_all(code):
        if spec.kind == "image":
            return decode(code)
        return tf.reshape(decode(tf.reshape(code, [-1, latent])), [tf.shape(code)[0], -1, spec.bins])

    encode_all = _by_windows(encode, plugin)

    def reconstruct(features):
        return decode_all(encode_all(features))[:, : tf.shape(features)[1]]

    by_name = {"encode": encode_all, "reconstruct": reconstruct}
    by_name |= {name: _by_windows(fn, plugin) for name, fn in (others or {}).items()}
    features_in = [plugin.features_in()]
    functions = {name: tf.function(fn, input_signature=features_in, autograph=False) for name, fn in by_name.items()}
    functions["decode"] = tf.function(decode_all, input_signature=code_input, autograph=False)
    return functions | ({"sample": sample_signature(decode, latent)} if samples else {})


def _by_windows(fn: Callable, plugin: base.Plugin) -> Callable:
    """A function of images or windows `[n, ...]` as a function of images, or of speech window by window."""

    def apply(features):
        if plugin.spec.kind == "image":
            return fn(features)
        outputs = fn(_split_windows(features, plugin))
        return tf.reshape(outputs, [tf.shape(features)[0], -1, *outputs.shape[1:]])

    return apply


def sample_signature(decode: Callable, latent: int) -> Callable:
    """The signature `sample`: `count` examples decoded from standard normal codes; the same for the same seed."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name) for name in ("count", "seed")], autograph=False)
    def sample(count, seed):
        return decode(tf.random.stateless_normal([count, latent], tf.stack([seed, 0]), alg="philox"))

    return sample


def _split_windows(features: tf.Tensor, plugin: base.Plugin) -> tf.Tensor:
    """Log-mels split into windows of `crop_frames` frames, the last padded with silence."""
    window, spec = plugin.config.crop_frames, plugin.spec
    padding = [[0, 0], [0, base.padding_to_multiple(tf.shape(features)[1], window)], [0, 0]]
    padded = tf.pad(features, padding, constant_values=spec.features.log_floor)
    return tf.reshape(padded, [-1, window, spec.bins])
