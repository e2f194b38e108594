"""The autoencoder: a code through a bottleneck, and back (Hinton & Salakhutdinov 2006)."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models import losses, networks
from plugins import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys of `ae`.

    Attributes:
      latent: numbers in the code of one picture or of one window of `crop_frames` frames.
      channels: width of encoder and decoder.
      rate: Adam's learning rate.
    """

    batch_size: int = 32
    latent: int = 32
    channels: int = 64
    rate: float = 1e-3

    def __post_init__(self):
        super().__post_init__()
        if self.crop_frames % 4:
            raise ValueError(f"crop_frames={self.crop_frames}; the autoencoder wants a multiple of 4")


class Autoencoder(base.Plugin):
    """Minimises ``||x - decode(encode(x))||^2`` over the examples of all domains.

    Speech of any length is coded window by window: `encode` gives `[batch, windows, latent]` for it
    and `[batch, latent]` for pictures.
    """

    Config = Config
    PRESETS = {
        "small": {"image": {"channels": 32}},
        "full": {"audio": {"steps": 50000, "channels": 256, "latent": 128}, "image": {"steps": 50000, "latent": 128}},
    }

    def __init__(self, config: Config, spec: base.Spec):
        super().__init__(config, spec)
        if spec.kind == "audio":
            size = {"bins": spec.bins, "frames": config.crop_frames, "channels": config.channels}
            self.encoder = networks.mel_encoder(**size, outputs=config.latent)
            self.decoder = networks.mel_decoder(**size, latent=config.latent)
        else:
            self.encoder = networks.image_encoder(spec.features, channels=config.channels, outputs=config.latent)
            self.decoder = networks.image_decoder(spec.features, channels=config.channels, latent=config.latent)
        self.mover = self.player(config.rate, [self.encoder, self.decoder])

    def train_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """One step of Adam.

        1. Encode and decode the batch.
        2. Move both networks down the gradient of the squared error.
        """
        with tf.GradientTape() as tape:
            values = self._losses(self.encoder, self.decoder, batch, global_batch_size)
        self.mover.minimise(tape, values["reconstruction"])
        return values

    def eval_step(self, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        """The mean squared error, of normalised features, by the averaged networks."""
        encoder, decoder = (self.mover.averaged(network) for network in (self.encoder, self.decoder))
        return self._losses(encoder, decoder, batch, global_batch_size)

    def _losses(self, encoder, decoder, batch: base.Batch, global_batch_size: int) -> dict[str, tf.Tensor]:
        x = self.normalise(batch["x"], self.spec.overall)
        return {"reconstruction": losses.batch_mean(losses.l2(x, decoder(encoder(x))), global_batch_size)}

    def signatures(self) -> dict:
        """`encode`, `decode` and `reconstruct`, at any length."""
        codes = [None, self.config.latent] if self.spec.kind == "image" else [None, None, self.config.latent]

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def encode(features):
            return self._encode(features)

        @tf.function(input_signature=[tf.TensorSpec(codes, tf.float32, "code")], autograph=False)
        def decode(code):
            return self._decode(code)

        @tf.function(input_signature=[self.features_in()], autograph=False)
        def reconstruct(features):
            return self._decode(self._encode(features))[:, : tf.shape(features)[1]]

        return {"encode": encode, "decode": decode, "reconstruct": reconstruct}

    def _encode(self, features: tf.Tensor) -> tf.Tensor:
        x = self.normalise(features, self.spec.overall)
        if self.spec.kind == "image":
            return self.mover.averaged(self.encoder)(x)
        window = self.config.crop_frames
        missing = -tf.shape(features)[1] % window
        silence = self.normalise(tf.fill([1, 1, self.spec.bins], self.spec.features.log_floor), self.spec.overall)
        tail = tf.tile(silence, [tf.shape(features)[0], missing, 1])
        windows = tf.reshape(tf.concat([x, tail], axis=1), [-1, window, self.spec.bins])
        return tf.reshape(self.mover.averaged(self.encoder)(windows), [tf.shape(features)[0], -1, self.config.latent])

    def _decode(self, code: tf.Tensor) -> tf.Tensor:
        decoder = self.mover.averaged(self.decoder)
        if self.spec.kind == "image":
            return self.denormalise(decoder(code), self.spec.overall)
        windows = decoder(tf.reshape(code, [-1, self.config.latent]))
        mels = tf.reshape(windows, [tf.shape(code)[0], -1, self.spec.bins])
        return self.denormalise(mels, self.spec.overall)
