"""Recordings of speakers, degraded, and altered copies to train the universal vocoder on; needs no TensorFlow."""

from __future__ import annotations

import collections
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.ndimage
import scipy.signal
import soundfile
import soxr

from models.features import audio, stats
from models.features.audio_spec import AudioSpec

RATE_HZ = 16000  # of recordings to be degraded
SUFFIXES = (".flac", ".opus", ".ogg", ".wav")
NARROW_BAND_HZ = 8000
SPEEDS = {8000: (0.8, 1.35), 16000: (0.8, 1.35), 22050: (0.9, 1.45)}  # of altered copies
ROOM_SHARE, REVERBERATION_S = 0.2, (0.1, 0.6)  # of altered copies in a room; the time of a decay by 60 dB
CROP_GAIN_DB = (-12.0, 6.0)  # of a training example: translated log-mels are not at the level of recordings
MOMENTS_EVERY = 7  # of the files from which the moments are estimated


def list_speakers(folders: list[str]) -> dict[str, list[pathlib.Path]]:
    """Files of each speaker."""
    speakers = collections.defaultdict(list)
    for path in sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*")):
        if path.suffix in SUFFIXES:
            speakers[path.name.split("-")[0]].append(path)
    return dict(sorted(speakers.items()))


def read_recording(path: pathlib.Path) -> tuple[np.ndarray, int]:
    """Mono samples and rate of a file."""
    y, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return y.mean(axis=1), rate_hz


def degrade(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply an equaliser, stationary noise or a narrow band, each sometimes."""
    if rng.random() < 0.25:
        gains_db = 3 * np.cumsum(rng.normal(0, 0.7, 12))
        frequencies = np.fft.rfftfreq(len(y), 1 / RATE_HZ)
        bands = np.geomspace(80, RATE_HZ / 2, 12)
        gain = 10 ** (np.interp(np.log(frequencies + 1), np.log(bands), gains_db) / 20)
        y = np.fft.irfft(np.fft.rfft(y) * gain, len(y))
    if rng.random() < 0.2:
        noise = scipy.ndimage.gaussian_filter1d(rng.normal(size=len(y)), rng.uniform(0.1, 2))
        y = y + noise * np.std(y) / np.std(noise) * 10 ** (-rng.uniform(10, 40) / 20)
    if rng.random() < 0.12:
        y = soxr.resample(soxr.resample(y, RATE_HZ, NARROW_BAND_HZ), NARROW_BAND_HZ, RATE_HZ)
    return y


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


def read_training_copies(n: int, path: pathlib.Path, rate_hz: int, copies: int, seed: int) -> list[np.ndarray]:
    """:func:`read_copies` of the n-th file, with random numbers that depend on `n` and the seed only."""
    return list(read_copies(path, AudioSpec.at(rate_hz), copies, np.random.default_rng([seed, n])))


def make_moments(paths: Sequence[pathlib.Path], spec: AudioSpec) -> stats.Moments:
    """Moments of the log-mels of every seventh recording."""
    rng = np.random.default_rng(0)
    recordings = [y for path in paths[::MOMENTS_EVERY] for y in read_copies(path, spec, 0, rng)]
    return functools.reduce(stats.merge, (stats.Moments.of(audio.log_mel(np.float32(y), spec)) for y in recordings))


def sample_batch(recordings: Sequence[np.ndarray], samples: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random crops `[size, samples]`, each at a random level; zeros after the end of a short recording."""
    batch = np.zeros((size, samples), np.float32)
    for row in batch:
        y = recordings[rng.integers(len(recordings))]
        begin = rng.integers(max(1, len(y) - samples))
        crop = y[begin : begin + samples]
        row[: len(crop)] = crop * 10 ** (rng.uniform(*CROP_GAIN_DB) / 20)
    return batch
