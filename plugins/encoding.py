"""What plugins that encode and decode share: keys, networks, windows of speech, signatures.

Speech of any length is coded window by window: codes are `[batch, windows, latent]` for it and
`[batch, latent]` for pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

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
    rate: float = option(1e-3, "learning rate of Adam")

    def __post_init__(self):
        super().__post_init__()
        base.at_least(self, latent=1, channels=1, rate=0)
        if self.crop_frames % 4:
            raise UserError(f"crop_frames={self.crop_frames}; coding wants a multiple of 4")


PRESETS = {
    "small": {"image": {"channels": 32}},
    "full": {"audio": {"steps": 50000, "channels": 256, "latent": 128}, "image": {"steps": 50000, "latent": 128}},
}


def coders(plugin: base.Plugin, *, outputs: int, logits: bool = False) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder of pictures or of windows of speech, as the plugin's configuration says.

    Args:
      plugin: whose data and configuration they are for.
      outputs: numbers that the encoder gives.
      logits: whether the decoder gives logits of pixels, not pixels in [-1, 1]. Of speech it gives any number.
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
    """`encode`, `decode` and `reconstruct`, of speech at any length; on request `sample`, and what else there is.

    Args:
      plugin: whose they are.
      encode: features of pictures or windows, `[n, ...]`, to codes `[n, latent]`.
      decode: the inverse.
      samples: whether codes drawn from the standard normal distribution decode to something.
      others: more signatures by name: functions of features of pictures or windows, `[n, ...]` to `[n, ...]`.
    """
    spec, latent = plugin.spec, plugin.config.latent
    codes = [None, latent] if spec.kind == "image" else [None, None, latent]

    def by_windows(fn):
        def called(features):
            if spec.kind == "image":
                return fn(features)
            found = fn(_windows(features, plugin))
            return tf.reshape(found, [tf.shape(features)[0], -1, *found.shape[1:]])

        return called

    def function(fn):
        return tf.function(fn, input_signature=[plugin.features_in()], autograph=False)

    encoded = by_windows(encode)

    def decoded(code):
        if spec.kind == "image":
            return decode(code)
        return tf.reshape(decode(tf.reshape(code, [-1, latent])), [tf.shape(code)[0], -1, spec.bins])

    made = {
        "encode": function(encoded),
        "decode": tf.function(decoded, input_signature=[tf.TensorSpec(codes, tf.float32, "code")], autograph=False),
    }

    def reconstruct(features):
        return decoded(encoded(features))[:, : tf.shape(features)[1]]

    made |= {name: function(by_windows(fn)) for name, fn in (others or {}).items()}
    return {**made, "reconstruct": function(reconstruct), **({"sample": sampler(decode, latent)} if samples else {})}


def sampler(decode: Callable, latent: int) -> Callable:
    """`sample`: so many examples decoded from standard normal codes, the same for the same seed."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name) for name in ("count", "seed")], autograph=False)
    def sample(count, seed):
        return decode(tf.random.stateless_normal([count, latent], tf.stack([seed, 0]), alg="philox"))

    return sample


def _windows(features: tf.Tensor, plugin: base.Plugin) -> tf.Tensor:
    """Speech cut into windows of `crop_frames` frames, the last filled up with silence."""
    window, spec = plugin.config.crop_frames, plugin.spec
    missing = [[0, 0], [0, base.lacking(tf.shape(features)[1], window)], [0, 0]]
    filled = tf.pad(features, missing, constant_values=spec.features.log_floor)
    return tf.reshape(filled, [-1, window, spec.bins])
