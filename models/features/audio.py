"""Samples to log-mel spectrograms: the NumPy front end that Beam workers run.

Everything downstream (losses, inversion, export) is defined on what this file returns; its parameters are
:class:`models.features.audio_spec.AudioSpec`. `models.spectral` is the TensorFlow twin; a test holds the two, and
librosa, to 1e-4.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import librosa
import numpy as np

from models.features import recording
from models.features.audio_spec import AudioSpec, mel_matrix, window
from models.features.channels import Channels
from models.features.highpass import highpass
from models.features.level import LevelMeter, active_power, block_powers, level_gain  # noqa: F401 (all of the front end)


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
    waiting, total, done = np.zeros(spec.n_fft // 2, np.float32), 0, 0
    for part in parts:
        total += len(part)
        waiting = np.concatenate([waiting, np.float32(gain) * part])
        ready = max(0, (len(waiting) - spec.n_fft) // spec.hop_length + 1)
        if ready:
            yield _stft_of_padded(waiting[: spec.n_fft + (ready - 1) * spec.hop_length], spec)
            waiting, done = waiting[ready * spec.hop_length :], done + ready
    rest = spec.frames(total) - done
    if rest:
        tail = np.pad(waiting, (0, max(0, spec.n_fft + (rest - 1) * spec.hop_length - len(waiting))))
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
    waiting: list[np.ndarray] = []
    for part in parts:
        waiting.append(part)
        while sum(map(len, waiting)) >= rows:
            joined = np.concatenate(waiting)
            yield joined[:rows]
            waiting = [joined[rows:]]
    rest = np.concatenate(waiting)
    if len(rest):
        yield rest
