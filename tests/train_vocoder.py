"""Trains the universal vocoder of a default front end (`models.vocoders.universal`).

    python -m tests.train_vocoder --speech=DIR [--speech=DIR] --sample_rate_hz=16000 --output=models/vocoders/16000.npz

The folders hold recordings of LibriSpeech at 16 kHz: the name of a file begins with its speaker. Every N-th speaker
(`--held_out=N`, 10 by default) is left out of training; `--copies=DIR` writes, for these and for further files
(`--also=GLOB`), the recordings at the front end's rate and their copy synthesis by the vocoder and by Griffin-Lim, a
folder each, for external metrics, and prints the error and the speed of both (`--steps=0` trains nothing).

A recording is trained on as it is and as altered copies: played faster or slower, which moves pitch and formants, in a
synthetic room, with noise, through an equaliser, or of a narrow band. At 22.05 kHz, only copies that are played faster
have content above 8 kHz. Everything random has a seed, so that the command gives the same weights on the same machine.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import argparse
import functools
import glob
import pathlib
import time
from collections.abc import Sequence

import numpy as np
import soundfile
import tensorflow as tf

from models import spectral
from models.features import audio, inversion, stats
from models.features.audio_spec import AudioSpec
from models.features.spec import Spec
from models.vocoders import universal
from pipelines import config as configs
from pipelines.evaluation import copy_synthesis
from plugins.vocoder import Vocoder
from tests import export_step
from tests.bench_vocoder import griffin_lim
from tests.speech_recordings import make_moments, read_training_copies, sample_batch, split_speakers

LICENCE = "LibriSpeech (Panayotov et al. 2015), CC BY 4.0"


def batch_samples(plugin: Vocoder) -> int:
    """Samples of a training example."""
    return (plugin.config.crop_frames - 1) * plugin.spec.features.hop_length


def train_step(plugin: Vocoder, y: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
    """A training step: waveforms `[batch, samples]` and the number of the step to the losses."""
    size = plugin.config.batch_size
    index, steps = tf.range(size), tf.fill([size], step)
    batch = {"waveform": y, "x": spectral.log_mel(y, plugin.spec.features), "index": index, "step": steps}
    return plugin.train_step(batch, size)


def export(plugin: Vocoder, path: str) -> None:
    """Write the training step for `tests.train_exported_vocoder`."""
    y = tf.Variable(tf.zeros([plugin.config.batch_size, batch_samples(plugin)]), name="batch")
    number = tf.Variable(0, dtype=tf.int64, name="number")
    networks = [plugin.generator, *(d.network for d in plugin.discriminators)]
    redrawn = [v.value for network in networks for v in network.trainable_variables if len(v.shape) > 1]
    average = plugin.generator_optimizer.average  # forgets its initial value within a few steps

    def step():
        return train_step(plugin, y.read_value(), number.read_value())

    export_step.write(path, plugin, step, batch=y, number=number, networks=networks, redrawn=[*redrawn, average])


def train(plugin: Vocoder, recordings: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """All steps; prints the mean loss."""
    config = plugin.config
    samples = batch_samples(plugin)
    signature = [tf.TensorSpec([config.batch_size, samples], tf.float32), tf.TensorSpec([], tf.int64)]
    step = tf.function(functools.partial(train_step, plugin), input_signature=signature, autograph=False)
    began, losses = time.monotonic(), []
    for n in range(config.steps):
        batch = sample_batch(recordings, samples, config.batch_size, rng)
        losses.append(step(tf.constant(batch), tf.constant(n, tf.int64)))
        if (n + 1) % 500 == 0 or n + 1 == config.steps:
            means = {name: np.mean([float(loss[name]) for loss in losses]) for name in losses[0]}
            shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"step {n + 1} of {config.steps}: {shown}, {time.monotonic() - began:.0f} s", flush=True)
            losses = []


def build_plugin(options, moments: stats.Moments) -> Vocoder:
    """The vocoder with initial weights."""
    spec = AudioSpec.at(options.sample_rate_hz)
    changes = [f"steps={options.steps}", f"seed={options.seed}", *options.set]
    config = configs.override(configs.preset(Vocoder, "small", "audio"), changes)
    plugin = Vocoder(config, Spec(spec, ("speech",), {"speech": moments}))
    if options.initial:
        source = universal.UniversalVocoder(pathlib.Path(options.initial).read_bytes())
        transfer(source.network, plugin.generator)
    return plugin


def read_recordings(options, paths: Sequence[pathlib.Path]) -> list[np.ndarray]:
    """Recordings and altered copies, at the rate and the level of the front end."""
    settings = options.sample_rate_hz, options.altered, options.seed
    return [y for n, path in enumerate(paths) for y in read_training_copies(n, path, *settings)]


def make_vocoder(options, paths: Sequence[pathlib.Path]) -> None:
    """Train on the files, or take weights that were trained elsewhere, and write them."""
    plugin = build_plugin(options, make_moments(paths, AudioSpec.at(options.sample_rate_hz)))
    if options.export_step:
        export(plugin, options.export_step)
        return
    recordings = read_recordings(options, paths)
    if options.average:
        average = np.load(options.average)
        parts = np.split(average, np.cumsum([tf.size(v) for v in plugin.generator.trainable_variables])[:-1])
        for variable, part in zip(plugin.generator.trainable_variables, parts, strict=True):
            variable.assign(part.reshape(variable.shape))
    else:
        train(plugin, recordings, np.random.default_rng(options.seed))
    hours = sum(map(len, recordings)) / options.sample_rate_hz / 3600
    made = {"speakers": len({path.name.split("-")[0] for path in paths}), "hours": round(hours, 2)}
    write_vocoder(options, plugin, {"data": LICENCE, **made})


def write_vocoder(options, plugin: Vocoder, made: dict) -> None:
    """Write the weights, with how they were made."""
    config = plugin.config
    sizes = {name: getattr(config, name) for name in (*universal.SIZES, "projections")}
    trained = {name: getattr(config, name) for name in ("steps", "batch_size", "crop_frames", "seed")}
    moments, spec = plugin.spec.overall, plugin.spec.features
    with open(options.output, "wb") as file:
        universal.write_weights(file, plugin.generator, moments, spec, {**sizes, **made, **trained})


def transfer(source, target) -> None:
    """Take the weights of another network where the shapes are equal."""
    pairs = zip(source.get_weights(), target.get_weights(), strict=True)
    target.set_weights([a if a.shape == b.shape else b for a, b in pairs])


def write_copies(vocoder: universal.UniversalVocoder, paths: Sequence[pathlib.Path], out: pathlib.Path) -> None:
    """Write the recordings and their copy synthesis; print the errors and the speed of each inverter."""
    spec = vocoder.spec
    recordings = {path.stem: audio.normalize_level(audio.read(str(path), spec), spec) for path in paths}
    edge = inversion.edge(vocoder.context)

    def vocode(log_mels, _):
        padded = np.pad(log_mels, ((edge, edge), (0, 0)), constant_values=spec.log_floor)
        return vocoder.vocode(padded[None])[0].numpy()[edge * spec.hop_length : -edge * spec.hop_length]

    for name, invert in {"vocoder": vocode, "griffin_lim": griffin_lim(spec, 32)}.items():
        scores, _ = copy_synthesis.score_inverter(invert, list(recordings.values()), spec)
        print(name, " ".join(f"{key} {value:.3f}" for key, value in scores.items()), flush=True)
        for stem, y in recordings.items():
            write(out / name / f"{stem}.wav", copy_synthesis.resynthesize(y, invert, spec), spec)
    for stem, y in recordings.items():
        write(out / "recording" / f"{stem}.wav", y, spec)


def write(path: pathlib.Path, y: np.ndarray, spec: AudioSpec) -> None:
    """Write a WAV file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y / max(1.0, np.abs(y).max()), spec.sample_rate_hz, "PCM_16")


def main() -> None:
    """Train, write, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", required=True, metavar="DIR")
    parser.add_argument("--sample_rate_hz", type=int, choices=universal.RATES_HZ, required=True)
    parser.add_argument("--output", help="file of the weights")
    parser.add_argument("--held_out", type=int, default=10, help="every N-th speaker is not trained on; 0 for none")
    parser.add_argument("--altered", type=int, default=3, help="altered copies of each recording")
    parser.add_argument("--initial", help="weights to start from, of any front end")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="key of plugin vocoder")
    parser.add_argument("--export_step", help="write the training step for tests.train_exported_vocoder, and end")
    parser.add_argument("--average", help="weights from tests.train_exported_vocoder, instead of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", type=pathlib.Path, help="folder of copy synthesis")
    parser.add_argument("--also", action="append", default=[], metavar="GLOB", help="further files of --copies")
    options = parser.parse_args()
    training, held_out = split_speakers(options.speech, options.held_out)
    if options.steps:
        make_vocoder(options, training)
    if options.export_step:
        return
    vocoder = universal.UniversalVocoder(pathlib.Path(options.output).read_bytes())
    print(f"{options.output}: sha256 {vocoder.sha256}, {os.path.getsize(options.output)} bytes")
    if options.copies:
        also = [pathlib.Path(path) for pattern in options.also for path in sorted(glob.glob(pattern))]
        write_copies(vocoder, [*held_out, *also], options.copies)


if __name__ == "__main__":
    main()
