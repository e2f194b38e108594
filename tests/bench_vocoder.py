"""How near to the recordings each way from log-mels to waveforms comes, and how fast it is.

  python -m tests.bench_vocoder --output_dir=out/vocoder \\
      --speaker=anna='corpus/anna/train/*.wav'='corpus/anna/held_out/*.wav' --speaker=bert=... \\
      --speaker=carl=='corpus/carl/*.wav'

Preprocesses and trains `vocoder` (what follows `--` goes to train) on the speakers that have training recordings,
unless OUTPUT_DIR/run is there; carl is not trained on. Then each held-out recording is analysed and made again. MCD,
log-spectral distance and the others are those of `models.metrics.speech`. The row of a vocoder that
says nothing is its projections alone, without what the network has learnt. A speaker's STOI (of
`pystoi`) is that of all recordings one after the other, because single words are too short for it. Seconds of speech
a second of work are of the first 10 s of that, the best of three.
"""

from __future__ import annotations

import argparse
import glob
import os
import pathlib

import numpy as np
import tensorflow as tf

from models import spectral
from models.features import audio, recording
from models.features.audio import AudioSpec
from models.networks import vocoder as vocoder_networks
from pipelines.evaluation import copy_synthesis
from pipelines.inference import exported_model
from tests.jobs import script

ITERATIONS = 60  # of Griffin-Lim


def speakers(flags: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Name to globs of training and held-out recordings."""
    parted = (flag.split("=") for flag in flags)
    return {name: (training.split(",") if training else [], held_out.split(",")) for name, training, held_out in parted}


def trained(out: pathlib.Path, found: dict, training: list[str]) -> None:
    """Trains on the speakers that have training recordings; says what that took."""
    domains = [f"--domain={name}={each}" for name, (globs, _) in found.items() for each in globs]
    script("preprocess", *domains, f"--data_dir={out}/records", "--keep_waveforms", "--test_fraction=0")
    arguments = [f"--data_dir={out}/records", f"--run_dir={out}/run", "--plugin=vocoder", *training]
    seconds, of_cores = script("train", *arguments)
    print(f"trained in {seconds:.0f} s ({of_cores:.0f} of CPU)", flush=True)


def griffin_lim(spec: AudioSpec, iterations: int) -> copy_synthesis.Inverter:
    """A function of log-mels `[frames, mels]` and what they are of to samples `[(frames - 1) * hop_length]`."""

    @tf.function(input_signature=[tf.TensorSpec([None, spec.n_mels], tf.float32)])
    def invert(log_mels):
        return spectral.griffin_lim(spectral.mel_to_magnitude(log_mels, spec), spec, iterations=iterations)

    return lambda log_mels, _: invert(log_mels).numpy()


def source_phase(spec: AudioSpec) -> copy_synthesis.Inverter:
    """The same, beginning at the recording's own phases."""
    shapes = [tf.TensorSpec([None, size], tf.float32) for size in (spec.n_mels, spec.n_fft // 2 + 1)]

    @tf.function(input_signature=shapes)
    def invert(log_mels, phase):
        return spectral.griffin_lim(spectral.mel_to_magnitude(log_mels, spec), spec, phase=phase)

    return lambda log_mels, y: invert(log_mels, np.float32(np.angle(audio.stft(y, spec)))).numpy()


def inverters(vocoder: exported_model.Model) -> dict[str, copy_synthesis.Inverter]:
    """Name to such a function."""
    spec = vocoder.spec.features

    @tf.function(input_signature=[tf.TensorSpec([None, spec.n_mels], tf.float32)])
    def mute(log_mels):
        said = tf.zeros([1, tf.shape(log_mels)[0], 2 * (spec.n_fft // 2 + 1)])
        frames = vocoder_networks.complex_frames(said, log_mels[None], spec)
        projections = vocoder.facts["run"]["config"]["projections"]
        return vocoder_networks.waveform(frames, log_mels[None], spec, projections=projections)[0]

    ways = copy_synthesis.inverters(vocoder)
    return {
        f"griffin_lim, {ITERATIONS} iterations": griffin_lim(spec, ITERATIONS),
        "vocoder that says nothing": lambda x, _: mute(x).numpy(),
        **ways,
    }


def read(globs: list[str], spec: AudioSpec) -> list[np.ndarray]:
    """The recordings at the level that models know."""
    found = [recording.read(path, spec.sample_rate_hz) for each in globs for path in sorted(glob.glob(each))]
    return [audio.normalize_level(y, spec) for y in found]


def shown(way: str, found: dict[str, float]) -> str:
    """A line of a table."""
    return f"  {way:28} " + "  ".join(f"{column} {value:.3f}" for column, value in found.items() if column != "n")


def main() -> None:
    """Every speaker; prints a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--speaker", action="append", required=True, metavar="NAME=TRAINING=HELD_OUT")
    parser.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    found = speakers(flags.speaker)
    if not os.path.exists(flags.output_dir / "run" / "export"):
        trained(flags.output_dir, found, flags.training)
    vocoder = exported_model.Model(f"{flags.output_dir}/run")
    spec = vocoder.spec.features
    for name, (training, held_out) in found.items():
        recordings = read(held_out, spec)
        heard = "trained on others of these" if training else "never heard in training"
        print(f"{name} ({len(recordings)} recordings, {heard})", flush=True)
        for way, invert in inverters(vocoder).items():
            print(shown(way, copy_synthesis.score_inverter(invert, recordings, spec)[0]), flush=True)


if __name__ == "__main__":
    main()
