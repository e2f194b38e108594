"""Surveyed recordings that are open for reading, and windows of their complex spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from models.features import audio, recording
from models.features.audio_spec import AudioSpec
from models.features.highpass import highpass


class OpenRecording:
    """An open recording that has been surveyed: its length, level, channel and notes.

    Args:
      source: binary file, open and seekable.
      meter: result of the survey.
      shift_pitch: function of samples in parts.
    """

    def __init__(self, source: BinaryIO, meter: audio.LevelMeter, shift_pitch: Callable):
        self.source, self.spec, self.shift_pitch = source, meter.spec, shift_pitch
        self.samples, self.scale, self.gain, self.power = meter.samples, meter.scale, meter.gain(), meter.power()
        self.source_seconds = meter.source_seconds
        self.silent, self.channel, self.notes = meter.peak == 0, meter.channel, meter.notes
        self.frames = self.spec.frames(meter.samples)

    @classmethod
    def measure(cls, source: BinaryIO, spec: AudioSpec, shift_pitch: Callable, *, channel: int = -1) -> OpenRecording:
        """Survey a recording, or one of its channels; arguments and errors as `models.features.audio.measure_level`."""
        return cls(source, audio.measure_level(source, spec, channel=channel), shift_pitch)

    def frame_buffer(self, context: int) -> FrameBuffer:
        """Open the complex spectrogram, preceded by `context` frames of zeros."""
        parts = self.shift_pitch(audio.blocks(self.source, self.spec, channel=self.channel))
        return FrameBuffer(audio.stft_stream(parts, self.spec, self.gain), context, self.spec.n_fft // 2 + 1)

    def side(self, rate_hz: int) -> Iterator[np.ndarray]:
        """Yield half the difference of the two channels in parts, in units of full scale, at `rate_hz`."""
        parts = recording.blocks(self.source, rate_hz, channel=recording.SIDE)
        return (np.float32(self.scale) * part for part in highpass(parts, rate_hz))


class FrameBuffer:
    """Windows, at ascending positions, of the frames of a stream, with zeros before and after it.

    Args:
      stream: frames `[frames, bins]` in parts.
      before: number of frames of zeros before the stream.
      bins: size of a frame.
    """

    def __init__(self, stream: Iterator[np.ndarray], before: int, bins: int):
        self.buffered, self.start, self.stream = np.zeros((before, bins), np.complex64), 0, stream

    def frames(self, first: int, count: int) -> np.ndarray:
        """Return `count` frames from index `first` on; index 0 is the first frame of zeros. Earlier frames are freed.

        Args:
          first: not below that of the previous call.
          count: number of frames.
        """
        parts, self.start = [self.buffered[first - self.start :]], first
        size = len(parts[0])
        while size < count:
            part = next(self.stream, None)
            parts.append(np.zeros((count - size, self.buffered.shape[1]), np.complex64) if part is None else part)
            size += len(parts[-1])
        self.buffered = np.concatenate(parts)
        return self.buffered[:count]
