"""Trained initial weights of the decoder of `recognition_synthesis` and of its discriminator.

They were trained on LibriSpeech (Panayotov et al. 2015, CC BY 4.0) with the front end `AudioSpec.at(16000)`, by an
earlier form of `python -m tests.train_speech_decoder` (docs/results.md lists the differences). From them, the decoder
of a new voice learns in what it differs from the average of many voices, instead of learning from minutes of speech
how phonemes sound. For other front ends, the layers whose outputs are bands are interpolated.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterator
from typing import BinaryIO

import keras
import numpy as np

from models.features.audio_spec import AudioSpec
from models.recognition import content_encoder

SPEC = AudioSpec.at(16000)
WEIGHTS = "speech_decoder.npz"
BAND_LAYERS = ("speech_decoder/log_mels/", "speech_decoder/harmonic_gain/")  # whose outputs are bands of log-mels
EMBEDDING = "domain_embedding/table/kernel"  # of which the mean over the trained voices is stored

Weights = dict[str, np.ndarray]  # by network, layer and name, such as `speech_decoder/block_0/kernel`


def initialize(networks: list[keras.Model], spec: AudioSpec) -> None:
    """Assign the trained weights of the package; a network of other sizes than the trained one stays as it is.

    The number of mel bands may differ.

    Args:
      networks: of `models.networks.speech_decoder`: decoder, domain embedding, all of whose rows begin as the average
        voice, and perhaps the discriminator.
      spec: their front end.
    """
    assign(networks, _package_weights(), spec)


def assign(networks: list[keras.Model], weights: Weights, spec: AudioSpec) -> list[str]:
    """As :func:`initialize`, with any weights; return the names of the networks that they fit."""
    fitting = []
    for network in networks:
        trained = {
            path: _interpolate_bands(path, value, spec)
            for path, value in weights.items()
            if path.startswith(f"{network.name}/")
        }
        variables = dict(_variables(network))
        if variables.keys() == trained.keys() and all(_fits(variables[path], trained[path]) for path in trained):
            fitting.append(network.name)
            for path, variable in variables.items():
                variable.assign(np.broadcast_to(trained[path], variable.shape))
    return fitting


def _interpolate_bands(path: str, value: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Weights for the bands of a front end: those of `BAND_LAYERS` are interpolated linearly between the bands."""
    if path.startswith(BAND_LAYERS):
        return value @ content_encoder.band_interpolation(SPEC, spec)[0]
    return value


def write_weights(file: BinaryIO, networks: list[keras.Model]) -> None:
    """Write the weights of all three networks in half precision."""
    arrays = {path: variable.numpy() for network in networks for path, variable in _variables(network)}
    arrays[EMBEDDING] = arrays[EMBEDDING].mean(axis=0, keepdims=True)
    np.savez_compressed(file, **{path: np.float16(value) for path, value in arrays.items()})


def read_weights(file: BinaryIO) -> Weights:
    """Read what :func:`write_weights` has written; float32."""
    with np.load(file) as arrays:
        return {path: np.float32(arrays[path]) for path in arrays.files}


@functools.cache
def _package_weights() -> Weights:
    with (importlib.resources.files(__package__) / WEIGHTS).open("rb") as file:
        return read_weights(file)


def _variables(network: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Paths and variables of a network."""
    for layer in network.layers:
        yield from ((f"{network.name}/{layer.name}/{v.name}", v) for v in layer.weights)


def _fits(variable: keras.Variable, value: np.ndarray) -> bool:
    """Whether the shapes are equal, or broadcast: of the mean embedding to all domains."""
    return all(trained in (1, size) for trained, size in zip(value.shape, variable.shape, strict=True))
