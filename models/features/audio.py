"""Recordings to log-mel spectrograms: the NumPy front end that Beam workers run.

`blocks` and `read` return samples at the rate of an `AudioSpec` after its high-pass filter. The functions of the same
names in `models.features.recording`, on which they are based, only decode, mix to mono and resample.

Losses, inversion and export all use the features that this file defines; its parameters are
:class:`models.features.audio_spec.AudioSpec`. `models.spectral` is the same in TensorFlow. A test asserts that the
two and librosa agree to 1e-4.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np
import scipy.fft

from models.features import recording
from models.features.audio_spec import AudioSpec, mel_matrix, window
from models.features.channels import ChannelMeter
from models.features.highpass import highpass
from models.features.level import LevelMeter, active_power, block_powers, level_gain  # noqa: F401 (all of the front end)

STFT_FRAMES = 256  # at once: they fit into the caches of a processor
Segment = tuple[np.ndarray, np.ndarray]  # log-mels `[frames, mels]`, and samples `[frames * hop_length]`
MAX_IN_MEMORY_BYTES = 32 << 20  # of the samples of a recording in `analysis`; more is kept on disk


def normalize_level(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Return a recording `[samples]` scaled so that its active level is `spec.level_db`, see :func:`level_gain`."""
    return y * level_gain(block_powers(y, spec.sample_rate_hz), spec.level_db)


def stft(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Complex spectrogram `[frames, n_fft // 2 + 1]` of `y` `[samples]`, frames centred, zero-padded."""
    return _stft_of_padded(np.pad(y, spec.n_fft // 2), spec)


def _stft_of_padded(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    rows = np.lib.stride_tricks.sliding_window_view(y, spec.n_fft)[:: spec.hop_length]
    spectrogram = np.empty((len(rows), spec.n_fft // 2 + 1), np.complex64)
    for begin in range(0, len(rows), STFT_FRAMES):
        block = rows[begin : begin + STFT_FRAMES]
        spectrogram[begin : begin + len(block)] = scipy.fft.rfft(block * window(spec), overwrite_x=True)
    return spectrogram


def log_mel(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Natural logarithm of the mel magnitudes of `y`, `[frames, mels]` float32, at least `log_floor`.

    The level of `y` is not normalised; see :func:`level_gain`.
    """
    return log_mel_from_stft(stft(y, spec), spec)


def log_mel_from_stft(spectrogram: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Log-mels `[frames, mels]` of complex or magnitude frames `[frames, n_fft // 2 + 1]`."""
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
    buffer, num_samples, frames_done = np.zeros(spec.n_fft // 2, np.float32), 0, 0
    for part in parts:
        num_samples += len(part)
        buffer = np.concatenate([buffer, np.float32(gain) * part])
        ready = max(0, (len(buffer) - spec.n_fft) // spec.hop_length + 1)
        if ready:
            yield _stft_of_padded(buffer[: spec.n_fft + (ready - 1) * spec.hop_length], spec)
            buffer, frames_done = buffer[ready * spec.hop_length :], frames_done + ready
    remaining = spec.frames(num_samples) - frames_done
    if remaining:
        tail = np.pad(buffer, (0, max(0, spec.n_fft + (remaining - 1) * spec.hop_length - len(buffer))))
        yield _stft_of_padded(tail, spec)


def active_frames(log_mels: np.ndarray, spec: AudioSpec, *, range_db: float = 40.0) -> np.ndarray:
    """Mask of the active frames of `[frames, mels]`, bool `[frames]`: within `range_db` of the loud ones.

    Statistics and training crops use active frames only. With pauses, every mean would approach the floor, and a
    domain with long pauses would look like a different voice.
    """
    power = np.square(np.exp(log_mels.astype(np.float64))).sum(axis=1)
    loud = np.sort(power)[len(power) - 1 - len(power) // 20]
    above_floor = log_mels.max(axis=1) > spec.log_floor + 0.01  # records store half precision
    return above_floor & (power >= loud * 10 ** (-range_db / 10))


def blocks(
    file: str | BinaryIO,
    spec: AudioSpec,
    *,
    channel: int = -1,
    span: tuple[int, int | None] = (0, None),
    meter: ChannelMeter | None = None,
) -> Iterator[np.ndarray]:
    """Read a recording block by block at the spec's rate, high-pass filtered, in constant memory.

    Analysis, level measurement, records and translation all read recordings through this function.

    Args:
      file: as in :func:`models.features.recording.blocks`, which also states the errors.
      spec: the front end.
      channel: the channel to read; -1 for the average of all.
      span: first sample, and the sample after the last, at the spec's rate; None reads to the end.
      meter: receives the samples of all channels.

    Yields:
      Arrays `[samples]` float32.
    """
    parts = recording.blocks(file, spec.sample_rate_hz, channel=channel, meter=meter)
    return _slice_stream(highpass(parts, spec.sample_rate_hz), *span)


def _slice_stream(parts: Iterable[np.ndarray], start: int, end: int | None) -> Iterator[np.ndarray]:
    """Yield samples `start` to `end` (exclusive) of a recording that arrives in parts."""
    offset = 0
    for part in parts:
        inside = part[max(0, start - offset) : None if end is None else max(0, end - offset)]
        offset += len(part)
        if len(inside):
            yield inside
        if end is not None and offset >= end:
            return


def read(file: str | BinaryIO, spec: AudioSpec, *, channel: int = -1) -> np.ndarray:
    """Read a recording into one array `[samples]`; arguments and errors as :func:`blocks`."""
    return np.concatenate(list(blocks(file, spec, channel=channel)))


def measure_level(file: str | BinaryIO, spec: AudioSpec, *, channel: int = -1) -> LevelMeter:
    """Measure length, peak and level of a recording, and note anything unusual, in constant memory.

    If the channels cancel when averaged, the recording is read a second time, from its loudest channel alone.

    Args:
      file: as in :func:`models.features.recording.blocks`, which also states the errors.
      spec: the front end.
      channel: index of the channel to measure; -1 for the average of all, or the loudest if they cancel.
    """
    channel_meter = ChannelMeter()
    level_meter = _meter_parts(blocks(file, spec, channel=channel, meter=channel_meter), spec)
    notes = ()
    if channel < 0:
        notes = channel_meter.channel_notes()
        if (channel := channel_meter.selected_channel()) >= 0:
            level_meter = _meter_parts(blocks(file, spec, channel=channel), spec)
    _describe(level_meter, channel_meter, channel, notes)
    return level_meter


def _meter_parts(parts: Iterable[np.ndarray], spec: AudioSpec) -> LevelMeter:
    meter = LevelMeter(spec)
    for part in parts:
        meter.add(part)
    return meter


@contextlib.contextmanager
def analysis(file: str | BinaryIO, spec: AudioSpec) -> Iterator[tuple[LevelMeter, Callable[..., Iterator[Segment]]]]:
    """Decode a recording once; yield its level, and a function that returns its segments.

    The samples are kept in a temporary file, because the level is known at their end only. If the channels cancel when
    averaged, the recording is decoded a second time.

    Args:
      file: as in :func:`models.features.recording.blocks`, which also states the errors.
      spec: the front end.

    Yields:
      The meter, see :func:`measure_level`, and a function of the maximum number of frames of a segment and of a span as
      in :func:`blocks`. It yields log-mels `[frames, mels]` and samples `[frames * hop_length]` of each segment, at
      the level of the front end, and is read to its end before it is called again. A span is analysed like a separate
      recording. Frame `t` of a segment is centred on its sample `t * hop_length`; the samples of all segments
      concatenate to the recording, followed by zeros.
    """
    with tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES) as stored:

        def decode(channel: int, channel_meter: ChannelMeter | None = None) -> LevelMeter:
            meter = LevelMeter(spec)
            stored.seek(0)
            stored.truncate()
            for part in blocks(file, spec, channel=channel, meter=channel_meter):
                meter.add(part)
                stored.write(part.tobytes())
            return meter

        channel_meter = ChannelMeter()
        meter = decode(-1, channel_meter)
        if (channel := channel_meter.selected_channel()) >= 0:
            meter = decode(channel)
        _describe(meter, channel_meter, channel, channel_meter.channel_notes())
        gain = np.float32(meter.gain())

        def segments_of(frames: int, span: tuple[int, int | None] = (0, None)) -> Iterator[Segment]:
            mel_parts, sample_parts = itertools.tee(gain * part for part in _stored_blocks(stored, *span))
            waveforms = rechunk(sample_parts, frames * spec.hop_length)
            for mels in _log_mel_stream(mel_parts, spec, 1.0, frames):
                waveform = next(waveforms, np.zeros(0, np.float32))
                yield mels, np.pad(waveform, (0, len(mels) * spec.hop_length - len(waveform)))

        yield meter, segments_of


def _stored_blocks(stored: BinaryIO, start: int, end: int | None) -> Iterator[np.ndarray]:
    """Yield samples `start` to `end` (exclusive) of a file of float32 samples."""
    stored.seek(4 * start)
    remaining = math.inf if end is None else end - start
    while content := stored.read(4 * min(recording.BLOCK_FRAMES, remaining)):
        block = np.frombuffer(content, np.float32)
        remaining -= len(block)
        yield block


def _describe(meter: LevelMeter, channel_meter: ChannelMeter, channel: int, channel_notes: tuple[str, ...]) -> None:
    """Store the facts and notes of the meter of all channels in the level meter."""
    facts = {"scale": channel_meter.scale(), "source_seconds": channel_meter.seconds}
    notes = channel_meter.source_notes + channel_notes + channel_meter.scale_notes()
    meter.describe(channel=channel, clipped=channel_meter.clipping.share(), notes=notes, **facts)


def segments(
    file: str | BinaryIO,
    spec: AudioSpec,
    gain: float,
    frames: int,
    *,
    channel: int = -1,
    span: tuple[int, int | None] = (0, None),
) -> Iterator[np.ndarray]:
    """Log-mels of a recording scaled by `gain`, in arrays of at most `frames` frames.

    A span is analysed like a separate recording. Other arguments and errors as :func:`blocks`.
    """
    return _log_mel_stream(blocks(file, spec, channel=channel, span=span), spec, gain, frames)


def _log_mel_stream(parts: Iterable[np.ndarray], spec: AudioSpec, gain: float, frames: int) -> Iterator[np.ndarray]:
    return rechunk((log_mel_from_stft(part, spec) for part in stft_stream(parts, spec, gain)), frames)


def rechunk(parts: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Yield the rows of consecutive arrays in arrays of `rows` rows; the last one may be shorter.

    >>> [part.tolist() for part in rechunk([np.arange(3), np.arange(3, 4), np.arange(4, 7)], 2)]
    [[0, 1], [2, 3], [4, 5], [6]]
    """
    buffer: list[np.ndarray] = []
    for part in parts:
        buffer.append(part)
        while sum(map(len, buffer)) >= rows:
            joined = np.concatenate(buffer)
            yield joined[:rows]
            buffer = [joined[rows:]]
    remaining = np.concatenate(buffer)
    if len(remaining):
        yield remaining
