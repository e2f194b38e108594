"""Universal vocoders: log-mels of any voice to waveforms, by trained weights that are part of the package.

There is one for each of the front ends `AudioSpec.at(8000)`, `at(16000)` and `at(22050)`. The network, its losses and
the alternating projections are those of plugin `vocoder`: preset small at 8 and 22.05 kHz; at 16 kHz a larger network
that was trained with discriminators. `python -m tests.train_vocoder` trained them on recordings of LibriSpeech
(Panayotov et al. 2015, CC BY 4.0), with copies at other speeds, in rooms, with noise and through equalisers. Weights
are stored in half precision and run in single precision.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.resources
import io
import json
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from models.features.audio_spec import AudioSpec
from models.networks import vocoder

SHA256 = {  # of the files, by the sample rate of their front ends in Hz
    8000: "37a740bdb266f11d7a2c69826882f98c6a52b9e0a68f593578f67f3dfeb943d5",
    16000: "87ca2049e87a395f6736a3a277a353864c781b5ccffd6518cf61c7a009cba42d",
    22050: "d85fb2896621734af0a3b8dabcd0be116b38643676d40f44b6e6eeb9971e98ff",
}
RATES_HZ = tuple(SHA256)
SIZES = ("channels", "blocks", "kernel")  # arguments of the network


class UniversalVocoder(tf.Module):
    """A vocoder with trained weights.

    Args:
      content: of a file of weights, see :func:`write_weights`.

    Attributes:
      spec: the front end.
      context: frames on either side that the samples of one hop depend on.
      sha256: of the file, hexadecimal.
      description: how it was trained: `data`, `speakers`, `hours`, `steps`, `seed` and others by name.
    """

    def __init__(self, content: bytes):
        super().__init__(name="universal_vocoder")
        self.sha256 = hashlib.sha256(content).hexdigest()
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            fields = json.loads(str(arrays["description"]))
            weights = [np.float32(arrays[f"weight_{n:02}"]) for n in range(fields.pop("weights"))]
            self.mean, self.std = arrays["mean"], arrays["std"]
        self.spec = AudioSpec(**fields.pop("spec"))
        sizes = {name: fields.pop(name) for name in SIZES}
        self.projections = fields.pop("projections")
        self.description = fields
        reach = {"blocks": sizes["blocks"], "kernel": sizes["kernel"], "projections": self.projections}
        self.context = vocoder.context(self.spec, **reach)
        self.network = vocoder.backbone(self.spec, **sizes)
        self.network.set_weights(weights)

    @property
    def name_and_hash(self) -> str:
        """For logs and reports, such as `universal vocoder of 16000 Hz (sha256 1f2e3d4c)`."""
        return f"universal vocoder of {self.spec.sample_rate_hz} Hz (sha256 {self.sha256[:8]})"

    @functools.cached_property
    def vocode(self):
        """The graph: log-mels `[batch, frames, mels]` to waveforms `[batch, (frames - 1) * hop_length]`.

        Clips are vocoded one by one. So the result does not depend on other clips.
        """
        features = tf.TensorSpec([None, None, self.spec.n_mels], tf.float32, "features")
        waveform = tf.TensorSpec([None], tf.float32)

        def vocode_clip(log_mels):
            x = log_mels[None]
            frames = vocoder.complex_frames(self.network((x - self.mean) / self.std), x, self.spec)
            return vocoder.waveform(frames, x, self.spec, projections=self.projections)[0]

        @tf.function(input_signature=[features], autograph=False)
        def vocode(features):
            return tf.map_fn(vocode_clip, features, parallel_iterations=1, fn_output_signature=waveform)

        return vocode


def find(spec: AudioSpec) -> UniversalVocoder | None:
    """Return the vocoder of a front end, or None if there is none for exactly this one."""
    rate_hz = spec.sample_rate_hz
    return load(rate_hz) if rate_hz in RATES_HZ and spec == AudioSpec.at(rate_hz) else None


@functools.cache
def load(sample_rate_hz: int) -> UniversalVocoder:
    """Return the vocoder of the default front end at a sample rate of `RATES_HZ`."""
    return UniversalVocoder((importlib.resources.files(__package__) / f"{sample_rate_hz}.npz").read_bytes())


def write_weights(file: BinaryIO, network, moments, spec: AudioSpec, description: dict) -> None:
    """Write a file of weights: half precision, the bands' means and deviations, the description as JSON.

    Args:
      file: to write to.
      network: of `models.networks.vocoder.backbone`.
      moments: `Moments` of the training log-mels.
      spec: the front end.
      description: sizes of the network, `projections`, and how it was trained.
    """
    weights = network.get_weights()
    fields = {"spec": dataclasses.asdict(spec), "weights": len(weights), **description}
    arrays = {f"weight_{n:02}": np.float16(value) for n, value in enumerate(weights)}
    statistics = {name: np.float32(getattr(moments, name)) for name in ("mean", "std")}
    np.savez_compressed(file, description=json.dumps(fields), **statistics, **arrays)
