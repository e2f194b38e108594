"""Speed and fidelity, A against B in one run: `make bench`. Machines are noisy, so read the ratios.

python -m tests.bench [front_end] [inversion] [copy_synthesis[=GLOB]] [training[=PLUGIN,PLUGIN]] [full_size[=PLUGIN]]
    [throughput[=GLOB,GLOB]]
"""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as train does

import librosa
import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import plugins
from models import spectral
from models.features import audio, recording
from models.features.audio import AudioSpec
from pipelines import config
from pipelines.data import dataset, input_pipeline
from pipelines.evaluation import copy_synthesis as resynthesis
from pipelines.training import distribution
from tests import bench_throughput, bench_vocoder, testbed

REPEATS = 5
FULL_SIZE = (  # the second is what mask_cyclegan does after its first 10,000 steps
    ("mask_cyclegan", "audio", {}),
    ("mask_cyclegan", "audio", {"identity": 0.0}),
    ("cyclegan", "image", {}),
)


def timed(work: Callable[[], object]) -> float:
    """Median seconds of `REPEATS` runs after one that does not count."""
    work()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def convergence_db(waveform: np.ndarray, magnitude: np.ndarray, **stft) -> float:
    """Spectral convergence: how far the magnitudes of `waveform` are from those wanted, in dB."""
    found = np.abs(librosa.stft(waveform, **stft))
    frames = min(found.shape[-1], magnitude.shape[-1])
    difference = np.linalg.norm(found[..., :frames] - magnitude[..., :frames])
    return 20 * np.log10(difference / np.linalg.norm(magnitude[..., :frames]))


def front_end(_: list[str]) -> None:
    """Log-mels of ten seconds: librosa's own, this front end, its TensorFlow twin on eight at once."""
    spec = audio.AudioSpec.at(22050)
    y = testbed.voice(120.0, 10.0, spec.sample_rate_hz, seed=0)
    options = {"sr": spec.sample_rate_hz, "n_fft": spec.n_fft, "hop_length": spec.hop_length, "n_mels": spec.n_mels}
    ours = timed(lambda: audio.log_mel(y, spec))
    theirs = timed(lambda: np.log(np.maximum(librosa.feature.melspectrogram(y=y, power=1, **options), spec.floor)))
    twin = tf.function(lambda x: spectral.log_mel(x, spec))
    batch = tf.constant(np.stack([y] * 8))
    graph = timed(lambda: twin(batch)) / 8
    print(f"log-mels of 10 s: {1e3 * ours:.1f} ms, librosa {theirs / ours:.2f} times that, graph {graph / ours:.2f}")


def inversion(_: list[str]) -> None:
    """Eight clips of ten seconds back from magnitudes and from mels, beside librosa."""
    stft = {"n_fft": 1024, "hop_length": 256}
    spec = audio.AudioSpec.at(22050)
    clips = np.stack([testbed.voice(90.0 + 20 * n, 10.0, spec.sample_rate_hz, seed=n) for n in range(8)])
    magnitude = np.abs(librosa.stft(clips, **stft))
    frames = tf.constant(magnitude.transpose(0, 2, 1))
    invert = tf.function(lambda x: spectral.griffin_lim(x, spec))
    ours = timed(lambda: invert(frames))
    theirs = timed(lambda: librosa.griffinlim(magnitude, n_iter=32, random_state=0, **stft))
    bins = [*magnitude.shape[::2], magnitude.shape[1]]
    spectrogram = tf.complex(*tf.unstack(tf.random.normal([2, *bins])))
    transforms = timed(lambda: there_and_back(spectrogram).numpy())
    found = convergence_db(invert(frames).numpy(), magnitude, **stft)
    wanted = convergence_db(librosa.griffinlim(magnitude, n_iter=32, random_state=0, **stft), magnitude, **stft)
    print(
        f"Griffin-Lim, 8 x 10 s, 32 iterations: {ours:.2f} s, {found:.1f} dB; librosa {theirs:.2f} s, {wanted:.1f} dB"
    )
    print(f"  {theirs / ours:.1f} times librosa's speed, {ours / transforms:.2f} times the Fourier transforms alone")
    for momentum in (0.5, 0.9, 0.95, 0.99, 1.1):
        made = spectral.griffin_lim(frames, spec, momentum=momentum).numpy()
        print(f"  momentum {momentum}: {convergence_db(made, magnitude, **stft):.1f} dB")
    mel_inversion(clips, spec)


@tf.function
def there_and_back(spectrogram: tf.Tensor) -> tf.Tensor:
    """The Fourier transforms of 32 iterations, and nothing else."""
    for _ in tf.range(32):
        spectrogram = tf.signal.rfft(tf.signal.irfft(spectrogram))
    return spectrogram


def mel_inversion(clips: np.ndarray, spec: audio.AudioSpec) -> None:
    """Magnitudes of mels: ours, least squares by the fastest first-order method, and librosa's."""
    magnitude = np.stack([np.abs(audio.stft(y, spec)) for y in clips])
    mels = np.float32(magnitude @ audio.mel_matrix(spec).T)
    logs = tf.constant(np.log(np.maximum(mels, spec.floor)))
    ours = tf.function(lambda: spectral.mel_to_magnitude(logs, spec))
    squares = tf.function(lambda: least_squares(tf.constant(mels), audio.mel_matrix(spec), 50))
    bands = {"fmin": spec.fmin_hz, "fmax": spec.fmax_hz, "sr": spec.sample_rate_hz, "n_fft": spec.n_fft, "power": 1.0}
    ways = {
        "ours": lambda: ours().numpy(),
        "accelerated least squares": lambda: squares().numpy(),
        "librosa": lambda: librosa.feature.inverse.mel_to_stft(mels[0].T, **bands).T[None],
    }
    for name, way in ways.items():
        found = way()
        seconds = timed(way) * len(clips) / len(found)
        off = np.linalg.norm(found @ audio.mel_matrix(spec).T - mels[: len(found)]) / np.linalg.norm(mels[: len(found)])
        far = np.linalg.norm(found - magnitude[: len(found)]) / np.linalg.norm(magnitude[: len(found)])
        print(f"magnitudes of mels, 8 x 10 s, {name}: {seconds:.2f} s, mels {off:.1e} off, magnitudes {far:.3f}")


def least_squares(mels: tf.Tensor, bank: np.ndarray, iterations: int) -> tf.Tensor:
    """Non-negative least squares by FISTA (Beck & Teboulle 2009): what `mel_to_magnitude` is held against."""
    bound = float(np.linalg.norm(bank, 2) ** 2)
    x = ahead = tf.matmul(mels, bank / bank.sum(axis=1, keepdims=True))
    t = 1.0
    for _ in range(iterations):
        slope = tf.matmul(tf.matmul(ahead, bank.T) - mels, bank)
        before, x, larger = x, tf.nn.relu(ahead - slope / bound), (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead, t = x + (t - 1) / larger * (x - before), larger
    return x


def copy_synthesis(globs: list[str]) -> None:
    """How near each inverter brings recordings to themselves; a synthetic voice where none are given."""
    spec = AudioSpec.at(8000)
    found = [testbed.voice(hz, 3.0, 8000, n) for hz in (110.0, 160.0, 220.0) for n in range(3)]
    if globs:
        rates = [recording.probe(path) for each in globs for path in glob.glob(each)]
        spec = AudioSpec.at(recording.suggested_rate(rates))
        found = bench_vocoder.read(globs, spec)
    print(f"copy synthesis of {len(found)} recordings at {spec.sample_rate_hz} Hz")
    ways = {f"griffin_lim, {n} iterations": bench_vocoder.griffin_lim(spec, n) for n in (32, 60)}
    for name, invert in {**ways, "source_phase, 32 iterations": bench_vocoder.source_phase(spec)}.items():
        print(bench_vocoder.shown(name, resynthesis.score_inverter(invert, found, spec)[0]), flush=True)


def training(only: list[str], steps: int = 30) -> None:
    """Steps a second and the share of time spent waiting for input, of every plugin's small preset."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        testbed.write_voices(root / "speech", 24, seconds=1.5)
        testbed.write_pictures(root / "pictures", 32)
        testbed.preprocess(root / "speech", root / "audio", testbed.VOICES_HZ, waveforms=True)
        sizes = ["height=64", "width=64"]
        testbed.preprocess(root / "pictures", root / "image", ("plain", "tinted"), pairs=sizes)
        for kind in ("audio", "image"):
            data = dataset.open_records(str(root / kind))
            for name in only or plugins.available():
                if kind not in plugins.load(name).KINDS:
                    continue
                rate, waiting, batch, _ = trained(name, data, steps)
                print(
                    f"{name:12} {kind:6} batch {batch:3}: {rate:7.2f} steps/s, {100 * waiting:4.1f} % waiting for input"
                )


def full_size(only: list[str], steps: int = 5) -> None:
    """Seconds a step of the papers' sizes, and what share of this machine's arithmetic they get."""
    n = 2048
    square = tf.random.normal([n, n])
    multiply = tf.function(lambda x: tf.matmul(x, x))
    peak = 2 * n**3 / timed(lambda: multiply(square).numpy())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        testbed.write_voices(root / "speech", 24, seconds=1.5, rate_hz=16000)
        testbed.write_pictures(root / "pictures", 32)
        testbed.preprocess(root / "speech", root / "audio", testbed.VOICES_HZ, pairs=["n_mels=80"])
        testbed.preprocess(root / "pictures", root / "image", ("plain", "tinted"), pairs=["height=256", "width=256"])
        for name, kind, changes in FULL_SIZE:
            if only and name not in only:
                continue
            data = dataset.open_records(str(root / kind))
            rate, _, batch, cpu_s = trained(name, data, steps, preset="full", **changes)
            shape = "80 x 64" if kind == "audio" else "256 x 256"
            print(f"{name} --preset=full, {shape}, batch {batch}, {changes}: {1 / rate:.2f} s a step, ", end="")
            print(f"{cpu_s:.2f} s of CPU time", flush=True)
            if not changes:
                print(f"  of the operations' time: {shares(name, data)}", flush=True)
    print(f"matrices of {n} x {n}: {peak / 1e9:.0f} GFLOP/s")


def shares(name: str, data: dataset.Records, most: int = 6) -> str:
    """Where the time of two full-size steps goes, by the profiler: the kinds of operations that take the most."""
    plugin_class = plugins.load(name)
    made = config.preset(plugin_class, "full", data.spec.preset_kind)
    plugin = plugin_class(made, data.spec)
    step = tf.function(plugin.train_step, autograph=False)
    batches = list(input_pipeline.batches(data, plugin_class, made, batch_size=made.batch_size).take(3))
    step(batches[0], made.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for batch in batches[1:]:
                step(batch, made.batch_size)
        (path,) = Path(folder).glob("plugins/profile/*/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    spent: collections.Counter = collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if colon and kind.isidentifier() and not name.endswith(":"):  # of which some are the executor's own
                spent[kind] += event.duration_ps
    total = sum(spent.values())
    return ", ".join(f"{kind} {100 * taken / total:.0f} %" for kind, taken in spent.most_common(most))


def trained(name: str, data: dataset.Records, steps: int, *, preset: str = "small", **changes) -> tuple:
    """Steps a second, share of waiting, batch size, seconds of all cores a step."""
    plugin_class = plugins.load(name)
    made = dataclasses.replace(config.preset(plugin_class, preset, data.spec.preset_kind), steps=steps, **changes)
    plugin = plugin_class(made, data.spec)
    step = tf.function(plugin.train_step, autograph=False)
    batches = iter(input_pipeline.batches(data, plugin_class, made, batch_size=made.batch_size))
    for _ in range(3):
        step(next(batches), made.batch_size)
    began, used, waited = time.perf_counter(), time.process_time(), 0.0
    for _ in range(steps):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        values = step(batch, made.batch_size)
    float(next(iter(values.values())))
    spent, used = time.perf_counter() - began, time.process_time() - used
    return steps / spent, waited / spent, made.batch_size, used / steps


def throughput(globs: list[str]) -> None:
    """`preprocess` against a plain loop, with one process and with two; synthetic voices where no files are given."""
    bench_throughput.run(globs)


if __name__ == "__main__":
    distribution.configure_threads()
    jobs = {f.__name__: f for f in (front_end, inversion, copy_synthesis, training, full_size, throughput)}
    for asked in sys.argv[1:] or jobs:
        what, _, only = asked.partition("=")
        jobs[what](only.split(",") if only else [])
