"""Samples to log-mel spectrograms: the NumPy front end that Beam workers run.

Everything downstream (losses, inversion, export) is defined on what this file returns, so its
parameters live in one frozen :class:`AudioSpec` that travels with the records and with the model.
`models.spectral` is the TensorFlow twin; a test holds the two, and librosa, to 1e-4.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import librosa
import numpy as np

from models.errors import UserError
from models.features import recording
from models.features.channels import Channels
from models.features.highpass import highpass
from models.features.level import LevelMeter, active_power, block_powers, level_gain  # noqa: F401 (all of the front end)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioSpec:
    """The front end, complete: two equal specs give the same features for the same file.

    Attributes:
      sample_rate_hz: rate every recording is resampled to.
      n_fft: samples in one analysis frame; even, so that frames can be centred.
      hop_length: samples from one frame to the next.
      win_length: samples under the window, centred in the frame; at most ``n_fft``.
      window: a SciPy window name.
      n_mels: triangular bands, Slaney scale and area norm as in librosa.
      fmin_hz: lower edge of the first band.
      fmax_hz: upper edge of the last band; at most half the sample rate.
      floor: mel magnitudes below this are raised to it before the logarithm.
      level_db: dB re full scale RMS that the active part of a recording is brought to.
    """

    sample_rate_hz: int = 16000
    n_fft: int = 1024
    hop_length: int = 256
    win_length: int = 1024
    window: str = "hann"
    n_mels: int = 80
    fmin_hz: float = 40.0
    fmax_hz: float = 7600.0
    floor: float = 1e-4
    level_db: float = -23.0

    def __post_init__(self):
        for name in ("sample_rate_hz", "n_fft", "hop_length", "win_length", "n_mels", "floor"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name)}; wanted a positive number")
        if not (self.level_db <= 0 and math.isfinite(self.level_db)):
            raise UserError(f"level_db={self.level_db}; wanted 0 or less, dB re full scale")
        if not self.floor <= 1:
            raise UserError(f"floor={self.floor}; wanted 1 at most")
        if self.n_fft % 2:
            raise UserError(f"n_fft={self.n_fft}; wanted an even number; near it: {self.n_fft + 1}")
        if self.win_length > self.n_fft:
            raise UserError(f"win_length={self.win_length}; wanted at most n_fft={self.n_fft}")
        if self.hop_length > self.win_length // 2:
            raise UserError(
                f"hop_length={self.hop_length}; wanted at most half of win_length={self.win_length}, "
                "or the spectrogram cannot be inverted"
            )
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.sample_rate_hz / 2:
            raise UserError(
                f"fmin_hz={self.fmin_hz}, fmax_hz={self.fmax_hz}; "
                f"wanted 0 <= fmin < fmax <= {self.sample_rate_hz / 2} Hz (half the sample rate)"
            )
        if not mel_matrix(self).max(axis=1).all():
            raise UserError(
                f"n_mels={self.n_mels}: some bands are narrower than a bin of n_fft={self.n_fft}; "
                "wanted fewer mels or a longer n_fft"
            )
        try:
            window(self)
        except ValueError as error:  # SciPy knows no such name
            raise UserError(f"window={self.window}: {error}") from None

    @classmethod
    def at(cls, sample_rate_hz: int, **changes) -> AudioSpec:
        """The default front end at another rate, then `changes`.

        A frame lasts 32 to 64 ms (a power of two samples), a hop a quarter of it. Lengths follow
        `n_fft` and the upper band edge follows the rate, unless they are given too.

        >>> AudioSpec.at(8000).n_fft, AudioSpec.at(8000).hop_length, AudioSpec.at(22050).n_fft
        (512, 128, 1024)
        """
        n_fft = changes.get("n_fft") or 1 << int(0.064 * sample_rate_hz).bit_length() - 1
        defaults = {
            "n_fft": n_fft,
            "hop_length": max(1, n_fft // 4),
            "win_length": n_fft,
            "fmax_hz": round(0.475 * sample_rate_hz, 1),
        }
        return cls(sample_rate_hz=sample_rate_hz, **{**defaults, **changes})

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second."""
        return self.sample_rate_hz / self.hop_length

    @property
    def log_floor(self) -> float:
        """The value of a log-mel bin that holds nothing."""
        return float(np.log(np.float32(self.floor)))

    def frames(self, samples: int) -> int:
        """Frames that `samples` samples give (centred framing)."""
        return 1 + samples // self.hop_length


@functools.lru_cache(maxsize=16)
def mel_matrix(spec: AudioSpec) -> np.ndarray:
    """Mel filter bank `[mels, n_fft // 2 + 1]`, float32; Slaney (1998) as in librosa."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty bands librosa warns; AudioSpec refuses them
        return librosa.filters.mel(
            sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin_hz, fmax=spec.fmax_hz
        )


@functools.lru_cache(maxsize=16)
def window(spec: AudioSpec) -> np.ndarray:
    """The periodic analysis window, centred in `n_fft` samples, float32."""
    short = librosa.filters.get_window(spec.window, spec.win_length, fftbins=True)
    return librosa.util.pad_center(short, size=spec.n_fft).astype(np.float32)


def levelled(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """A whole recording `[samples]` at the level that models know, see :func:`level_gain`."""
    return y * level_gain(block_powers(y, spec.sample_rate_hz), spec.level_db)


def stft(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Complex spectrogram `[frames, n_fft // 2 + 1]` of `y` `[samples]`, frames centred, zero-padded."""
    return _stft_of_padded(np.pad(y, spec.n_fft // 2), spec)


def _stft_of_padded(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    return librosa.stft(y, n_fft=spec.n_fft, hop_length=spec.hop_length, window=window(spec), center=False).T


def log_mel(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Natural logarithm of the mel magnitudes of `y`, `[frames, mels]` float32, at least `log_floor`.

    No level is changed here; see :func:`level_gain`.
    """
    return log_mel_of(stft(y, spec), spec)


def log_mel_of(spectrogram: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """The log-mels `[frames, mels]` of complex or magnitude frames `[frames, n_fft // 2 + 1]`."""
    return np.log(np.maximum(np.abs(spectrogram) @ mel_matrix(spec).T, np.float32(spec.floor)))


def stft_stream(parts: Iterable[np.ndarray], spec: AudioSpec, gain: float = 1.0) -> Iterator[np.ndarray]:
    """:func:`stft` of a recording that arrives in parts, in constant memory.

    Args:
      parts: arrays `[samples]` of any lengths.
      spec: the front end.
      gain: factor on the samples.

    Yields:
      Complex arrays `[frames, n_fft // 2 + 1]` that concatenate to ``stft(gain * concatenate(parts), spec)``.
    """
    held, total, done = np.zeros(spec.n_fft // 2, np.float32), 0, 0
    for part in parts:
        total += len(part)
        held = np.concatenate([held, np.float32(gain) * part])
        ready = max(0, (len(held) - spec.n_fft) // spec.hop_length + 1)
        if ready:
            yield _stft_of_padded(held[: spec.n_fft + (ready - 1) * spec.hop_length], spec)
            held, done = held[ready * spec.hop_length :], done + ready
    rest = spec.frames(total) - done
    if rest:
        tail = np.pad(held, (0, max(0, spec.n_fft + (rest - 1) * spec.hop_length - len(held))))
        yield _stft_of_padded(tail, spec)


def active_frames(log_mels: np.ndarray, spec: AudioSpec, *, range_db: float = 40.0) -> np.ndarray:
    """Which frames of `[frames, mels]` sound, bool `[frames]`: within `range_db` of the loud ones.

    Statistics are taken, and training crops are aimed, at these: pauses would pull every mean to
    the floor and let a domain with long pauses look like another voice.
    """
    power = np.square(np.exp(log_mels.astype(np.float64))).sum(axis=1)
    loud = np.sort(power)[len(power) - 1 - len(power) // 20]
    sounds = log_mels.max(axis=1) > spec.log_floor + 0.01  # half precision in the records
    return sounds & (power >= loud * 10 ** (-range_db / 10))


def blocks(
    file: str | BinaryIO,
    spec: AudioSpec,
    *,
    channel: int = -1,
    span: tuple[int, int | None] = (0, None),
    meter: Channels | None = None,
) -> Iterator[np.ndarray]:
    """The samples of a recording that count: at the spec's rate, without what is below hearing, in constant memory.

    Everything that is analysed, measured, kept or translated is made of these.

    Args:
      file: as of :func:`models.features.recording.blocks`, and so are the errors.
      spec: the front end.
      channel: the channel to read; -1 for the average of all.
      span: the samples at the spec's rate from and to which it is read; to the end if None.
      meter: is given the samples of all channels.

    Yields:
      Arrays `[samples]` float32.
    """
    parts = recording.blocks(file, spec.sample_rate_hz, channel=channel, meter=meter)
    return _within(highpass(parts, spec.sample_rate_hz), *span)


def _within(parts: Iterable[np.ndarray], start: int, end: int | None) -> Iterator[np.ndarray]:
    """The samples from number `start` on, before number `end`."""
    at = 0
    for part in parts:
        inside = part[max(0, start - at) : None if end is None else max(0, end - at)]
        at += len(part)
        if len(inside):
            yield inside
        if end is not None and at >= end:
            return


def read(file: str | BinaryIO, spec: AudioSpec, *, channel: int = -1) -> np.ndarray:
    """All of :func:`blocks`, `[samples]`."""
    return np.concatenate(list(blocks(file, spec, channel=channel)))


def survey(file: str | BinaryIO, spec: AudioSpec) -> LevelMeter:
    """Length, peak and level of a recording, and what is unusual about it, in constant memory.

    A recording whose channels cancel when they are averaged is read a second time, its loudest channel alone.

    Arguments and errors as :func:`models.features.recording.blocks`.
    """
    channels = Channels()
    meter = _measured(blocks(file, spec, meter=channels), spec)
    if (channel := channels.best()) >= 0:
        meter = _measured(blocks(file, spec, channel=channel), spec)
    meter.describe(channel=channel, scale=channels.scale(), notes=channels.notes())
    return meter


def _measured(parts: Iterable[np.ndarray], spec: AudioSpec) -> LevelMeter:
    meter = LevelMeter(spec)
    for part in parts:
        meter.add(part)
    return meter


def segments(
    file: str | BinaryIO,
    spec: AudioSpec,
    gain: float,
    frames: int,
    *,
    channel: int = -1,
    span: tuple[int, int | None] = (0, None),
) -> Iterator[np.ndarray]:
    """The log-mels of a recording, level changed by `gain`, in arrays of at most `frames` frames.

    A span is analysed as a recording of its own. Other arguments and errors as :func:`blocks`.
    """
    return _mels_of(blocks(file, spec, channel=channel, span=span), spec, gain, frames)


def segments_with_samples(
    file: str | BinaryIO,
    spec: AudioSpec,
    gain: float,
    frames: int,
    *,
    channel: int = -1,
    span: tuple[int, int | None] = (0, None),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """:func:`segments`, each with the samples that its frames are of, `[frames * hop_length]`.

    Frame `t` of a segment is centred on its sample `t * hop_length`; one after the other, the samples are
    those of the recording, with zeros after the last.
    """
    parts, again = itertools.tee(blocks(file, spec, channel=channel, span=span))
    waves = regrouped((np.float32(gain) * part for part in again), frames * spec.hop_length)
    for mels in _mels_of(parts, spec, gain, frames):
        wave = next(waves, np.zeros(0, np.float32))
        yield mels, np.pad(wave, (0, len(mels) * spec.hop_length - len(wave)))


def _mels_of(parts: Iterable[np.ndarray], spec: AudioSpec, gain: float, frames: int) -> Iterator[np.ndarray]:
    return regrouped((log_mel_of(part, spec) for part in stft_stream(parts, spec, gain)), frames)


def regrouped(parts: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The rows of arrays that arrive one after the other, so many at a time; the last may be fewer.

    >>> [part.tolist() for part in regrouped([np.arange(3), np.arange(3, 4), np.arange(4, 7)], 2)]
    [[0, 1], [2, 3], [4, 5], [6]]
    """
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        while sum(map(len, held)) >= rows:
            joined = np.concatenate(held)
            yield joined[:rows]
            held = [joined[rows:]]
    rest = np.concatenate(held)
    if len(rest):
        yield rest
