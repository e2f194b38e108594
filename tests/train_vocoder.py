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
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.signal
import soundfile
import soxr
import tensorflow as tf

from models import spectral
from models.features import audio, stats
from models.features.audio_spec import AudioSpec
from models.features.spec import Spec
from models.vocoders import universal
from pipelines import config as configs
from pipelines.evaluation import copy_synthesis
from plugins.vocoder import Vocoder
from tests.bench_vocoder import griffin_lim
from tests.speaker_clips import RATE_HZ, degrade, list_speakers, read_recording

SPEEDS = {8000: (0.8, 1.35), 16000: (0.8, 1.35), 22050: (0.9, 1.45)}  # of altered copies
ROOM_SHARE, REVERBERATION_S = 0.2, (0.1, 0.6)  # of altered copies in a room; the time of a decay by 60 dB
CROP_GAIN_DB = (-12.0, 6.0)  # of a training example: translated log-mels are not at the level of recordings
LICENCE = "LibriSpeech (Panayotov et al. 2015), CC BY 4.0"


def split_speakers(folders: Sequence[str], every: int) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Files of the speakers to train on, and of each `every`-th speaker, who is held out."""
    speakers = list_speakers(list(folders))
    held_out = list(speakers)[::every] if every else []
    training = [path for name, paths in speakers.items() if name not in held_out for path in paths]
    return training, [path for name in held_out for path in speakers[name]]


def reverberate(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The recording in a room: noise that decays exponentially, after the direct sound."""
    decay_s, direct_db = rng.uniform(*REVERBERATION_S), rng.uniform(0, 12)
    t = np.arange(int(decay_s * RATE_HZ)) / RATE_HZ
    tail = rng.normal(size=len(t)) * 10 ** (-3 * t / decay_s)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    return y + scipy.signal.fftconvolve(y, np.concatenate([np.zeros(RATE_HZ // 200), tail]))[: len(y)]


def alter(y: np.ndarray, speeds: tuple[float, float], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """An altered recording at 16 kHz, and the speed at which to play it."""
    if rng.random() < ROOM_SHARE:
        y = reverberate(y, rng)
    return degrade(y, rng), float(np.exp(rng.uniform(*np.log(speeds))))


def read_copies(path: pathlib.Path, spec: AudioSpec, copies: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The recording `[samples]` at the front end's rate and level, and its altered copies, in half precision."""
    y, rate_hz = read_recording(path)
    y = soxr.resample(y, rate_hz, RATE_HZ)
    altered = [alter(y, SPEEDS[spec.sample_rate_hz], rng) for _ in range(copies)]
    for z, speed in [(y, 1.0), *altered]:
        resampled = soxr.resample(z, RATE_HZ * speed, spec.sample_rate_hz)
        yield audio.normalize_level(resampled, spec).astype(np.float16)


def make_moments(recordings: Sequence[np.ndarray], spec: AudioSpec) -> stats.Moments:
    """Moments of the log-mels of recordings."""
    return functools.reduce(
        stats.merge, (stats.Moments.of(audio.log_mel(np.float32(y), spec)) for y in recordings[::7])
    )


def sample_batch(recordings: Sequence[np.ndarray], samples: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random crops `[size, samples]`, each at a random level; zeros after the end of a short recording."""
    batch = np.zeros((size, samples), np.float32)
    for row in batch:
        y = recordings[rng.integers(len(recordings))]
        begin = rng.integers(max(1, len(y) - samples))
        crop = y[begin : begin + samples]
        row[: len(crop)] = crop * 10 ** (rng.uniform(*CROP_GAIN_DB) / 20)
    return batch


def build_step(plugin: Vocoder):
    """A training step: waveforms `[batch, samples]` and the number of the step to the losses."""
    config, spec = plugin.config, plugin.spec.features
    waveforms = tf.TensorSpec([config.batch_size, (config.crop_frames - 1) * spec.hop_length], tf.float32)

    @tf.function(input_signature=[waveforms, tf.TensorSpec([], tf.int64)], autograph=False)
    def train_step(y, step):
        index, steps = tf.range(config.batch_size), tf.fill([config.batch_size], step)
        batch = {"waveform": y, "x": spectral.log_mel(y, spec), "index": index, "step": steps}
        return plugin.train_step(batch, config.batch_size)

    return train_step


def train(plugin: Vocoder, recordings: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """All steps; prints the mean loss."""
    config = plugin.config
    step, samples = build_step(plugin), (config.crop_frames - 1) * plugin.spec.features.hop_length
    began, losses = time.monotonic(), []
    for n in range(config.steps):
        batch = sample_batch(recordings, samples, config.batch_size, rng)
        losses.append(step(tf.constant(batch), tf.constant(n, tf.int64)))
        if (n + 1) % 500 == 0 or n + 1 == config.steps:
            means = {name: np.mean([float(loss[name]) for loss in losses]) for name in losses[0]}
            shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"step {n + 1} of {config.steps}: {shown}, {time.monotonic() - began:.0f} s", flush=True)
            losses = []


def trained_vocoder(options, paths: Sequence[pathlib.Path]) -> None:
    """Train on the files and write the weights."""
    spec, rng = AudioSpec.at(options.sample_rate_hz), np.random.default_rng(options.seed)
    recordings = [y for path in paths for y in read_copies(path, spec, options.altered, rng)]
    hours = sum(map(len, recordings)) / spec.sample_rate_hz / 3600
    print(f"{len(paths)} files, {len(recordings)} recordings with copies, {hours:.1f} hours", flush=True)
    moments = make_moments(recordings, spec)
    changes = [f"steps={options.steps}", f"seed={options.seed}", *options.set]
    config = configs.override(configs.preset(Vocoder, "small", "audio"), changes)
    plugin = Vocoder(config, Spec(spec, ("speech",), {"speech": moments}))
    if options.initial:
        source = universal.UniversalVocoder(pathlib.Path(options.initial).read_bytes())
        transfer(source.network, plugin.generator)
    train(plugin, recordings, rng)
    sizes = {name: getattr(config, name) for name in (*universal.SIZES, "projections")}
    made = {"data": LICENCE, "speakers": len({path.name.split("-")[0] for path in paths}), "hours": round(hours, 2)}
    trained = {name: getattr(config, name) for name in ("steps", "batch_size", "crop_frames", "seed")}
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
    floor, margin = spec.log_floor, vocoder.context * spec.hop_length

    def vocode(log_mels, _):
        padded = np.pad(log_mels, ((vocoder.context, vocoder.context), (0, 0)), constant_values=floor)
        return vocoder.vocode(padded[None])[0].numpy()[margin:-margin]

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
    parser.add_argument("--output", required=True, help="file of the weights")
    parser.add_argument("--held_out", type=int, default=10, help="every N-th speaker is not trained on; 0 for none")
    parser.add_argument("--altered", type=int, default=3, help="altered copies of each recording")
    parser.add_argument("--initial", help="weights to start from, of any front end")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="key of plugin vocoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", type=pathlib.Path, help="folder of copy synthesis")
    parser.add_argument("--also", action="append", default=[], metavar="GLOB", help="further files of --copies")
    options = parser.parse_args()
    training, held_out = split_speakers(options.speech, options.held_out)
    if options.steps:
        trained_vocoder(options, training)
    vocoder = universal.UniversalVocoder(pathlib.Path(options.output).read_bytes())
    print(f"{options.output}: sha256 {vocoder.sha256}, {os.path.getsize(options.output)} bytes")
    if options.copies:
        also = [pathlib.Path(path) for pattern in options.also for path in sorted(glob.glob(pattern))]
        write_copies(vocoder, [*held_out, *also], options.copies)


if __name__ == "__main__":
    main()
