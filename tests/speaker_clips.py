"""Clips to train and to validate the speaker encoder on: recordings, altered voices, conversions, and degraded copies.

    python -m tests.speaker_clips --speech=DIR [--speech=DIR] --output=clips.npz [--held_out=N] [--validate|--plain]

The folders hold files of LibriSpeech: the name of a file begins with its speaker. With `--held_out=N`, every N-th
speaker of at least 6 files is left out, and `--validate` makes clips of these only, of their own voices, so that the
rows of `evaluate` can be compared. A clip is stored as the frames of `speaker_embedding.speech_frames`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: there is a process for each core

import argparse
import concurrent.futures
import dataclasses
import functools
import itertools
import pathlib
import time

import librosa
import numpy as np
import scipy.ndimage
import soxr

from models.features import audio, inversion, stats, transport
from models.features.audio_spec import AudioSpec
from models.metrics import speaker_embedding
from models.metrics.speaker_embedding import RATE_HZ
from tests.speech_recordings import degrade, list_speakers, read_recording

MANY_FILES = 6  # of a speaker who may be held out
CLIP_S = 4.0
FRONT_ENDS_HZ = (16000, 16000, 22050, 8000)  # drawn at random
RECORDINGS = 3  # of a speaker, at most, from which the moments of a conversion are estimated
LOG_RANGE = 0.22  # of factors of pitch and formants: 0.8 to 1.25
LIFTER = 32  # cepstral coefficients of the spectral envelope at 16 kHz
ITERATIONS = (8, 33)  # of Griffin-Lim, drawn at random
PLAIN_CLIPS = 6  # of each voice of a pair, without conversion
VALIDATION_CLIPS = 6  # of each row of a pair of speakers


@dataclasses.dataclass(frozen=True)
class Voice:
    """Recordings `[samples]` of one voice at 16 kHz."""

    name: str
    recordings: list[np.ndarray]

    def crop(self, rng: np.random.Generator) -> np.ndarray:
        """Return `CLIP_S` of a random recording."""
        y, size = self.recordings[rng.integers(len(self.recordings))], int(CLIP_S * RATE_HZ)
        begin = rng.integers(max(1, len(y) - size))
        return y[begin : begin + size]


def held_out_speakers(speakers: dict[str, list[pathlib.Path]], every: int) -> list[str]:
    """Every N-th speaker of many files; none for 0."""
    many = [name for name, paths in speakers.items() if len(paths) >= MANY_FILES]
    return many[::every] if every else []


def read_voice(name: str, paths: list[pathlib.Path], rng: np.random.Generator, *, alter: bool, most: int) -> Voice:
    """A speaker, or with `alter` sometimes one of other pitch and formants."""
    selected = [paths[n] for n in rng.permutation(len(paths))[:most]]
    recordings = [soxr.resample(y, rate_hz, RATE_HZ) for y, rate_hz in map(read_recording, selected)]
    if alter and rng.random() < 0.6:
        pitch, formants = np.exp(rng.uniform(-LOG_RANGE, LOG_RANGE, 2))
        recordings = [alter_voice(y, pitch, formants) for y in recordings]
    return Voice(name, recordings)


def alter_voice(y: np.ndarray, pitch: float, formants: float) -> np.ndarray:
    """Multiply the pitch (and the tempo) of a recording, and the frequencies of its spectral envelope, by factors."""
    resampled = soxr.resample(y, RATE_HZ * pitch, RATE_HZ)
    spectrum = librosa.stft(resampled, n_fft=1024)
    log_magnitude = np.log(np.abs(spectrum) + 1e-5)
    cepstrum = np.fft.irfft(log_magnitude, axis=0)
    cepstrum[LIFTER : len(cepstrum) - LIFTER + 1] = 0
    envelope = np.fft.rfft(cepstrum, axis=0).real
    position = np.arange(len(envelope)) * (pitch / formants)
    moved = scipy.ndimage.map_coordinates(
        envelope, np.meshgrid(position, np.arange(envelope.shape[1]), indexing="ij"), order=1, mode="nearest"
    )
    return librosa.istft(spectrum * np.exp(moved - envelope), length=len(resampled)).astype(np.float32)


class FrontEnd:
    """Log-mels and inversion at a front-end rate, of recordings at 16 kHz."""

    def __init__(self, rate_hz: int):
        self.spec = AudioSpec.at(rate_hz)

    def log_mel(self, y: np.ndarray) -> np.ndarray:
        """Return the log-mels `[frames, mels]` of a recording."""
        resampled = soxr.resample(y, RATE_HZ, self.spec.sample_rate_hz)
        return audio.log_mel(audio.normalize_level(resampled, self.spec), self.spec)

    def invert(self, log_mels: np.ndarray, iterations: int = 32) -> np.ndarray:
        """Return the waveform at 16 kHz, by Griffin-Lim."""
        y = inversion.griffin_lim(inversion.mel_to_magnitude(log_mels, self.spec), self.spec, iterations=iterations)
        return soxr.resample(y, self.spec.sample_rate_hz, RATE_HZ)

    def moments(self, voice: Voice) -> stats.Moments:
        """Return the moments of the active frames of a voice."""
        log_mels = [self.log_mel(y) for y in voice.recordings]
        return functools.reduce(
            stats.merge,
            [stats.Moments.of(x, active=audio.active_frames(x, self.spec), lags=stats.LAGS) for x in log_mels],
        )


class Conversion:
    """The closed forms of `evaluate` between two voices."""

    def __init__(self, source: Voice, target: Voice, rate_hz: int):
        self.front_end = FrontEnd(rate_hz)
        self.a, self.b = (self.front_end.moments(voice) for voice in (source, target))
        self.kernel = transport.kernel(self.a, self.b, self.front_end.spec)

    def log_mel(self, y: np.ndarray, row: str) -> np.ndarray:
        """Return the log-mels of a recording of the source, converted by a row of `evaluate`."""
        x = self.front_end.log_mel(y)
        if row in ("no_op", "copy_synthesis"):
            return x
        z = stats.normalize(x, self.a)
        z = transport.apply_kernel(z, self.kernel) if row == "transport" else z
        return np.clip(stats.denormalize(z, self.b), self.front_end.spec.log_floor, self.b.highest)

    def waveform(self, y: np.ndarray, row: str) -> np.ndarray:
        """Return the waveform of `log_mel` at 16 kHz."""
        return self.front_end.invert(self.log_mel(y, row))


def training_clips(
    seed: int, speakers: dict[str, list[pathlib.Path]], is_converted: bool
) -> list[tuple[str, np.ndarray]]:
    """Clips of two random voices, and of conversions between them, each with the names of the speakers."""
    rng = np.random.default_rng(seed)
    groups = [[n for n, p in speakers.items() if (len(p) >= MANY_FILES) == many] for many in (True, False)]
    names = [str(rng.choice(groups[rng.integers(2)] or list(speakers))) for _ in range(2)]
    source, target = (read_voice(n, speakers[n], rng, alter=True, most=RECORDINGS) for n in names)
    waveforms = converted_clips(source, target, rng) if is_converted else []
    waveforms += [voice.crop(rng) for voice in (source, target) for _ in range(PLAIN_CLIPS)]
    return [("/".join(names), degrade(y, rng)) for y in waveforms]


def converted_clips(source: Voice, target: Voice, rng: np.random.Generator) -> list[np.ndarray]:
    """Waveforms of the rows of `evaluate`, and of transport that stops early or goes too far and is too smooth."""
    conversion = Conversion(source, target, int(rng.choice(FRONT_ENDS_HZ)))
    front_end, rows = conversion.front_end, ("no_op", "mean_variance", "transport", "transport")
    log_mels = [front_end.log_mel(target.crop(rng))] + [conversion.log_mel(source.crop(rng), row) for row in rows]
    for _ in range(2):
        y, share = source.crop(rng), rng.uniform(0.3, 1.1)
        mixed = (1 - share) * conversion.log_mel(y, "no_op") + share * conversion.log_mel(y, "transport")
        smooth = scipy.ndimage.gaussian_filter(mixed, rng.uniform(0, (1.5, 1.0)))
        log_mels.append(np.maximum(smooth, front_end.spec.log_floor))
    return [front_end.invert(x, int(rng.integers(*ITERATIONS))) for x in log_mels]


def validation_clips(seed: int, pair: tuple[str, str], speakers: dict[str, list[pathlib.Path]]):
    """Clips of the rows of `evaluate` of one directed pair of speakers, and recordings of the target."""
    rng = np.random.default_rng(seed)
    source, target = (read_voice(n, speakers[n], rng, alter=False, most=16) for n in pair)
    conversion, clips = Conversion(source, target, RATE_HZ), []
    for row in ("no_op", "mean_variance", "transport", "copy_synthesis", "recording"):
        voice = target if row in ("copy_synthesis", "recording") else source
        for _ in range(VALIDATION_CLIPS):
            y = voice.crop(rng)
            clips.append((f"{'/'.join(pair)}/{row}", y if row == "recording" else conversion.waveform(y, row)))
    return clips


def _speech_frames(task) -> list[tuple[str, np.ndarray]]:
    function, *arguments = task
    clips = [(name, speaker_embedding.speech_frames(y, RATE_HZ)) for name, y in function(*arguments)]
    return [(name, x.astype(np.float16)) for name, x in clips if len(x)]


def main() -> None:
    """Make the clips with a process for each core."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", required=True, metavar="DIR")
    parser.add_argument("--output", required=True)
    parser.add_argument("--held_out", type=int, default=0)
    parser.add_argument("--validate", action="store_true", help="rows of held-out speakers")
    parser.add_argument("--plain", action="store_true", help="no conversions, which take most of the time")
    parser.add_argument("--pairs", type=int, default=300, help="of voices")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    speakers = list_speakers(options.speech)
    held_out = held_out_speakers(speakers, options.held_out)
    if options.validate:
        pairs = np.random.default_rng(options.seed).permutation(list(itertools.permutations(held_out, 2)))
        tasks = [(validation_clips, n, tuple(pair), speakers) for n, pair in enumerate(pairs[: options.pairs])]
    else:
        used = {name: paths for name, paths in speakers.items() if name not in held_out}
        tasks = [(training_clips, options.seed + n, used, not options.plain) for n in range(options.pairs)]
    clips, began = [], time.monotonic()
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for n, result in enumerate(pool.map(_speech_frames, tasks), 1):
            clips += result
            if n % 50 == 0 or n == len(tasks):
                print(f"{n} of {len(tasks)} pairs, {time.monotonic() - began:.0f} s", flush=True)
    frames, names = np.concatenate([x for _, x in clips]), [name for name, _ in clips]
    np.savez(options.output, frames=frames, lengths=[len(x) for _, x in clips], names=names)


if __name__ == "__main__":
    main()
