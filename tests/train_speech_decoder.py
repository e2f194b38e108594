"""Trains the initial weights of the decoder of `recognition_synthesis` (`models.synthesis.trained_decoder`).

    python -m tests.train_speech_decoder --speech=DIR [--speech=DIR] --output=models/synthesis/speech_decoder.npz

The folders hold files of LibriSpeech: the name of a file begins with its speaker, and each speaker is a domain. Plugin,
losses and optimizers are those of `recognition_synthesis`; `--set` changes its keys, and `--initial` goes on from
weights of an earlier run.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import argparse
import concurrent.futures
import functools
import pathlib
import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from models.features import audio, stats
from models.features.spec import Spec
from models.synthesis import trained_decoder
from models.synthesis.trained_decoder import SPEC
from pipelines import config as configs
from plugins.recognition_synthesis import RecognitionSynthesis
from tests import speaker_clips

REPORT_STEPS, SAVE_STEPS = 100, 1000


def read_log_mels(path: pathlib.Path) -> np.ndarray:
    """Log-mels `[frames, mels]` of a recording at the front end's level, in half precision."""
    y = audio.normalize_level(audio.read(str(path), SPEC), SPEC)
    return audio.log_mel(y, SPEC).astype(np.float16)


def make_spec(speakers: Mapping[str, Sequence[np.ndarray]]) -> Spec:
    """The front end with a domain of each speaker."""
    moments = {
        name: functools.reduce(stats.merge, (stats.Moments.of(np.float32(x)) for x in recordings))
        for name, recordings in speakers.items()
    }
    return Spec(SPEC, tuple(speakers), moments)


class Batches:
    """Random crops of recordings, each second of speech as probable as any other.

    Args:
      speakers: log-mels of the recordings of each domain.
      config: of the plugin.
    """

    def __init__(self, speakers: Mapping[str, Sequence[np.ndarray]], config):
        self.recordings = [(x, domain) for domain, group in enumerate(speakers.values()) for x in group]
        lengths = np.array([len(x) for x, _ in self.recordings], float)
        self.probabilities, self.config = lengths / lengths.sum(), config
        self.rng = np.random.default_rng(config.seed)

    def draw(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, as a plugin wants it; short recordings are followed by silence."""
        c = self.config
        x = np.full((c.batch_size, c.crop_frames, SPEC.n_mels), SPEC.log_floor, np.float32)
        chosen = self.rng.choice(len(self.recordings), c.batch_size, p=self.probabilities)
        for row, n in zip(x, chosen, strict=True):
            log_mels = self.recordings[n][0]
            begin = self.rng.integers(max(1, len(log_mels) - c.crop_frames + 1))
            crop = log_mels[begin : begin + c.crop_frames]
            row[: len(crop)] = crop
        domains = np.int32([self.recordings[n][1] for n in chosen])
        index = np.arange(c.batch_size, dtype=np.int32)
        return {"x": x, "domain": domains, "index": index, "step": np.full(c.batch_size, step, np.int64)}


def train(plugin: RecognitionSynthesis, batches: Batches, output: str) -> None:
    """All steps; prints the mean losses, and writes the weights every `SAVE_STEPS` steps."""
    config, began, sums = plugin.config, time.monotonic(), {}
    step_fn = tf.function(lambda batch: plugin.train_step(batch, config.batch_size), autograph=False)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(batches.draw, 0)
        for step in range(1, config.steps + 1):
            batch, waiting = waiting.result(), executor.submit(batches.draw, step)
            for name, value in step_fn({key: tf.constant(array) for key, array in batch.items()}).items():
                sums[name] = sums.get(name, 0.0) + float(value)
            if step % REPORT_STEPS == 0:
                shown = ", ".join(f"{name} {value / REPORT_STEPS:.4f}" for name, value in sums.items())
                print(f"step {step} of {config.steps}: {shown}, {time.monotonic() - began:.0f} s", flush=True)
                sums = {}
            if step % SAVE_STEPS == 0 or step == config.steps:
                save(plugin, output)


def networks(plugin: RecognitionSynthesis) -> list[keras.Model]:
    """The networks whose weights are stored."""
    return [plugin.decoder, plugin.voices, plugin.discriminator.network]


def save(plugin: RecognitionSynthesis, output: str) -> None:
    """Write the weights of the networks."""
    with open(output, "wb") as file:
        trained_decoder.write_weights(file, networks(plugin))


def main() -> None:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", required=True, metavar="DIR")
    parser.add_argument("--output", required=True, help="file of the weights")
    parser.add_argument("--initial", help="weights to start from")
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="key of the plugin")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = speaker_clips.list_speakers(options.speech)
    with concurrent.futures.ThreadPoolExecutor() as executor:
        speakers = {name: list(executor.map(read_log_mels, group)) for name, group in paths.items()}
    frames = sum(len(x) for group in speakers.values() for x in group)
    print(f"{len(speakers)} speakers, {frames / SPEC.frame_rate_hz / 3600:.1f} hours", flush=True)
    changes = [f"steps={options.steps}", f"seed={options.seed}", "pretrained=false", *options.set]
    config = configs.override(configs.preset(RecognitionSynthesis, "small", "audio"), changes)
    plugin = RecognitionSynthesis(config, make_spec(speakers))
    if options.initial:
        with open(options.initial, "rb") as file:
            fitting = trained_decoder.assign(networks(plugin), trained_decoder.read_weights(file), SPEC)
        if len(fitting) < len(networks(plugin)):
            parser.error(f"{options.initial} fits {', '.join(fitting) or 'no network'} only")
        plugin.generator_optimizer.reset()
    train(plugin, Batches(speakers, config), options.output)


if __name__ == "__main__":
    main()
