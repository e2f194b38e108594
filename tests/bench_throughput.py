"""Throughput of `preprocess` and `translate` against plain loops, in one run; start-up apart.

  python -m tests.bench_throughput --speech='vcc2016/*/*/*.flac' --speech='librispeech/*/*.flac' [--run_dir=RUN]

Without `--speech`, synthetic recordings are written first. `preprocess` runs with one process and with two; beside it
run a loop of `librosa.load`, `librosa.feature.melspectrogram` and `TFRecordWriter`, and the same loop in a pool of two
processes. With `--run_dir`, `translate` runs on at most `--translations` of the recordings, and beside it a loop of
`librosa.load`, the front end, the signatures of the SavedModel and `soundfile.write`. The start-up of a script is what
it takes for one file. Seconds of audio in a second.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import argparse
import glob
import multiprocessing
import pathlib
import tempfile
import time
from collections.abc import Sequence

import librosa
import numpy as np
import soundfile

from models.features.audio_spec import AudioSpec
from tests import testbed
from tests.jobs import script

SYNTHETIC_FILES, SYNTHETIC_SECONDS = 300, 4.0


def write_records(paths: Sequence[str], output: str, rate_hz: int) -> None:
    """The plain loop: log-mels of all recordings into one TFRecord file."""
    import tensorflow as tf

    spec = AudioSpec.at(rate_hz)
    options = {"n_fft": spec.n_fft, "hop_length": spec.hop_length, "n_mels": spec.n_mels, "power": 1.0}
    with tf.io.TFRecordWriter(output) as writer:
        for path in paths:
            y, _ = librosa.load(path, sr=rate_hz)
            mels = librosa.feature.melspectrogram(y=y, sr=rate_hz, **options)
            content = np.log(np.maximum(mels, spec.floor)).T.astype(np.float16).tobytes()
            features = {"log_mel": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def timed_loop(paths: Sequence[str], rate_hz: int, processes: int) -> float:
    """Seconds of the plain loop, shared by processes that have loaded all packages."""
    with tempfile.TemporaryDirectory() as folder:
        shares = [(paths[n::processes], f"{folder}/{n}", rate_hz) for n in range(processes)]
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.starmap(write_records, [(paths[:1], f"{folder}/first", rate_hz)] * processes, chunksize=1)
            began = time.monotonic()
            pool.starmap(write_records, shares, chunksize=1)
            return time.monotonic() - began


def timed_preprocess(paths: Sequence[str], folder: pathlib.Path, rate_hz: int, workers: int) -> float:
    """Seconds of the script with so many processes."""
    inputs = folder / "inputs.jsonl"
    inputs.write_text("".join(f'{{"path": "{path}", "domain": "speech"}}\n' for path in paths))
    mode = "multi_processing" if workers > 1 else "in_memory"
    beam = ["--", f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    flags = [f"--list={inputs}", f"--data_dir={folder / 'records'}", f"--set=sample_rate_hz={rate_hz}"]
    return script("preprocess", *flags, *beam)[0]


def bench_preprocess(paths: Sequence[str], seconds: float, rate_hz: int) -> None:
    """All rows of `preprocess`."""
    for processes in (1, 2):
        taken = timed_loop(paths, rate_hz, processes)
        print(f"loop, {processes} processes: {taken:.1f} s, {seconds / taken:.0f} times real time", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            start = timed_preprocess(paths[:1], pathlib.Path(folder), rate_hz, workers)
            taken = timed_preprocess(paths, pathlib.Path(folder), rate_hz, workers) - start
            text = f"{taken:.1f} s and {start:.1f} s of start-up, {seconds / taken:.0f} times real time"
            print(f"preprocess, {workers} processes: {text}", flush=True)


def bench_translate(paths: Sequence[str], run_dir: str) -> None:
    """The script and the loop over the SavedModel."""
    from models.features import audio
    from pipelines.inference.exported_model import Model

    seconds = sum(soundfile.info(path).duration for path in paths)
    model = Model(run_dir)
    target, spec = model.spec.domains[0], model.spec.features
    translate = model.translation(target, None if model.any_source else model.spec.domains[1])[1]
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, len(paths)):  # the first call traces
            began = time.monotonic()
            for n, path in enumerate(paths[:count]):
                y, _ = librosa.load(path, sr=spec.sample_rate_hz)
                mels = translate(audio.log_mel(audio.normalize_level(y, spec), spec)[None])
                made = model.call("invert", features=mels, frames=np.int32([mels.shape[1]]), first_frame=np.int32(0))
                soundfile.write(f"{folder}/{n}.wav", made[0], spec.sample_rate_hz)
            taken = time.monotonic() - began
        print(f"loop over the SavedModel: {taken:.1f} s, {seconds / taken:.1f} times real time", flush=True)
        inputs = pathlib.Path(folder) / "inputs"
        flags = [f"--run_dir={run_dir}", f"--target={target}", f"--source={model.spec.domains[1]}"]
        times = []
        for count in (1, len(paths)):
            inputs.mkdir(exist_ok=True)
            for n, path in enumerate(paths[:count]):
                (inputs / f"{n}{pathlib.Path(path).suffix}").unlink(missing_ok=True)
                (inputs / f"{n}{pathlib.Path(path).suffix}").symlink_to(path)
            output = f"--output_dir={folder}/out{count}"
            times.append(script("translate", *flags, f"--input={inputs}", output)[0])
        taken = times[1] - times[0]
        text = f"{taken:.1f} s and {times[0]:.1f} s of start-up, {seconds / taken:.1f} times real time"
        print(f"translate: {text}", flush=True)


def run(patterns: Sequence[str], *, rate_hz: int = 16000, run_dir: str = "", translations: int = 100) -> None:
    """All rows, of synthetic recordings if no patterns are given."""
    with tempfile.TemporaryDirectory() as folder:
        for n in range(0 if patterns else SYNTHETIC_FILES):
            y = testbed.voice(100.0 + n, SYNTHETIC_SECONDS, rate_hz, seed=n)
            soundfile.write(f"{folder}/{n}.flac", y, rate_hz)
        patterns = patterns or [f"{folder}/*.flac"]
        paths = sorted(os.path.realpath(path) for pattern in patterns for path in glob.glob(pattern))
        seconds = sum(soundfile.info(path).duration for path in paths)
        print(f"{len(paths)} recordings, {seconds / 3600:.2f} hours")
        bench_preprocess(paths, seconds, rate_hz)
        if run_dir:
            bench_translate(paths[:: max(1, len(paths) // translations)][:translations], run_dir)


def main() -> None:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", default=[], metavar="GLOB")
    parser.add_argument("--sample_rate_hz", type=int, default=16000)
    parser.add_argument("--run_dir", default="")
    parser.add_argument("--translations", type=int, default=100)
    flags = parser.parse_args()
    options = {"rate_hz": flags.sample_rate_hz, "run_dir": flags.run_dir, "translations": flags.translations}
    run(flags.speech, **options)


if __name__ == "__main__":
    main()
