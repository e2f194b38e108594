"""Throughput of `preprocess` and `translate` against plain loops, in one run; start-up apart.

  python -m tests.bench_throughput --speech='vcc2016/*/*/*.flac' --speech='librispeech/*/*.flac' \
      [--pictures='photographs/*.jpg'] [--run_dir=RUN]

Without `--speech`, synthetic recordings are written first. `preprocess` runs with one process and with two; beside it
run a loop of `librosa.load`, `librosa.feature.melspectrogram` and `TFRecordWriter`, or of Pillow and `TFRecordWriter`,
and the same loop in a pool of two processes. With `--run_dir`, `translate` runs on at most `--translations` of the
recordings, and beside it a loop of `librosa.load`, the front end, the signatures of the SavedModel and
`soundfile.write`. The start-up of a script is what it takes for one file. Seconds of audio, or pictures, in a second.

The memory of `preprocess` is the peak of its largest process, for a fifth of the recordings and for all of them.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import argparse
import functools
import glob
import multiprocessing
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import librosa
import numpy as np
import PIL.Image
import soundfile

from models.features.audio_spec import AudioSpec
from tests import testbed
from tests.jobs import script

SYNTHETIC_FILES, SYNTHETIC_SECONDS = 300, 4.0
MEASURE = """
import resource, subprocess, sys  # a small process: the peak of a child includes that of its parent before exec
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def log_mel_features(path: str, rate_hz: int) -> np.ndarray:
    """Log-mels of a recording by librosa, as records store them."""
    spec = AudioSpec.at(rate_hz)
    y, _ = librosa.load(path, sr=rate_hz)
    options = {"n_fft": spec.n_fft, "hop_length": spec.hop_length, "n_mels": spec.n_mels, "power": 1.0}
    mels = librosa.feature.melspectrogram(y=y, sr=rate_hz, **options)
    return np.log(np.maximum(mels, spec.floor)).T.astype(np.float16)


def pixels(path: str, size: int) -> np.ndarray:
    """Pixels of a picture by Pillow."""
    with PIL.Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((size, size), PIL.Image.Resampling.LANCZOS))


def write_records(paths: Sequence[str], output: str, extract: Callable[[str], np.ndarray]) -> None:
    """The plain loop: the features of all files into one TFRecord file."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(output) as writer:
        for path in paths:
            content = tf.train.Feature(bytes_list=tf.train.BytesList(value=[extract(path).tobytes()]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={"content": content})).SerializeToString())


def timed_loop(paths: Sequence[str], extract: Callable[[str], np.ndarray], processes: int) -> float:
    """Seconds of the plain loop, shared by processes that have loaded all packages."""
    with tempfile.TemporaryDirectory() as folder:
        shares = [(paths[n::processes], f"{folder}/{n}", extract) for n in range(processes)]
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.starmap(write_records, [(paths[:1], f"{folder}/first", extract)] * processes, chunksize=1)
            began = time.monotonic()
            pool.starmap(write_records, shares, chunksize=1)
            return time.monotonic() - began


def timed_preprocess(paths: Sequence[str], settings: Sequence[str], workers: int) -> tuple[float, float]:
    """Seconds of the script with so many processes, and the megabytes of the largest one."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = pathlib.Path(folder) / "inputs.jsonl"
        inputs.write_text("".join(f'{{"path": "{path}", "domain": "any"}}\n' for path in paths))
        flags = [f"--list={inputs}", f"--data_dir={folder}/records", *(f"--set={setting}" for setting in settings)]
        beam = ["--", f"--direct_num_workers={workers}"]
        command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "pipelines.preprocess", *flags, *beam]
        began = time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return time.monotonic() - began, int(done.stdout) / 1024


def bench_preprocess(
    paths: Sequence[str], extract: Callable[[str], np.ndarray], settings: Sequence[str], amount: float, unit: str
) -> None:
    """All rows of `preprocess` for `amount` units, such as seconds of audio."""
    for processes in (1, 2):
        taken = timed_loop(paths, extract, processes)
        print(f"loop, {processes} processes: {taken:.1f} s, {amount / taken:.0f} {unit} a second", flush=True)
    for workers in (1, 2):
        start, _ = timed_preprocess(paths[:1], settings, workers)
        whole, memory = timed_preprocess(paths, settings, workers)
        taken, some = whole - start, timed_preprocess(paths[::5], settings, workers)[1]
        text = f"{taken:.1f} s and {start:.1f} s of start-up, {amount / taken:.0f} {unit} a second"
        print(f"preprocess, {workers} processes: {text}; {some:.0f} MB for a fifth, {memory:.0f} MB", flush=True)


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


def run(
    patterns: Sequence[str],
    *,
    pictures: Sequence[str] = (),
    picture_size: int = 64,
    rate_hz: int = 16000,
    run_dir: str = "",
    translations: int = 100,
) -> None:
    """All rows, of synthetic recordings if no patterns are given."""
    with tempfile.TemporaryDirectory() as folder:
        for n in range(0 if patterns else SYNTHETIC_FILES):
            y = testbed.voice(100.0 + n, SYNTHETIC_SECONDS, rate_hz, seed=n)
            soundfile.write(f"{folder}/{n}.flac", y, rate_hz)
        paths = _listed(patterns or [f"{folder}/*.flac"])
        seconds = sum(soundfile.info(path).duration for path in paths)
        print(f"{len(paths)} recordings, {seconds / 3600:.2f} hours")
        extract = functools.partial(log_mel_features, rate_hz=rate_hz)
        bench_preprocess(paths, extract, [f"sample_rate_hz={rate_hz}"], seconds, "seconds of audio")
        if run_dir:
            bench_translate(paths[:: max(1, len(paths) // translations)][:translations], run_dir)
    if pictures:
        paths = _listed(pictures)
        print(f"{len(paths)} pictures, to {picture_size} x {picture_size}")
        settings = [f"height={picture_size}", f"width={picture_size}"]
        bench_preprocess(paths, functools.partial(pixels, size=picture_size), settings, len(paths), "pictures")


def _listed(patterns: Sequence[str]) -> list[str]:
    return sorted(os.path.realpath(path) for pattern in patterns for path in glob.glob(pattern))


def main() -> None:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", default=[], metavar="GLOB")
    parser.add_argument("--pictures", action="append", default=[], metavar="GLOB")
    parser.add_argument("--picture_size", type=int, default=64)
    parser.add_argument("--sample_rate_hz", type=int, default=16000)
    parser.add_argument("--run_dir", default="")
    parser.add_argument("--translations", type=int, default=100)
    flags = vars(parser.parse_args())
    run(flags.pop("speech"), rate_hz=flags.pop("sample_rate_hz"), **flags)


if __name__ == "__main__":
    main()
