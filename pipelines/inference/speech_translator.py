"""Translation of recordings of any length, in constant memory."""

from __future__ import annotations

import concurrent.futures
import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from models.errors import UserError
from models.features import audio, inversion, pitch, recording
from models.features.highpass import highpass
from models.features.spec import Spec
from models.features.stats import Moments
from pipelines import parallel
from pipelines.inference.inverters import Inverter
from pipelines.inference.open_recording import OpenRecording
from pipelines.inference.translation_options import TranslationOptions

SAMPLE_BYTES = 4  # of float32


class _Channel:
    """A translated channel in a temporary file of float32 samples, their peak, and the gain that is still to apply."""

    def __init__(self, stack: contextlib.ExitStack):
        self.file, self.peak, self.gain = stack.enter_context(tempfile.TemporaryFile()), 0.0, 1.0

    def add(self, part: np.ndarray) -> None:
        self.file.write(np.float32(part).tobytes())
        self.peak = max(self.peak, float(np.abs(part).max(initial=0.0)))


class SpeechTranslator:
    """Translates recordings.

    The waveform of a file depends on no other file, because each is computed alone.

    Args:
      spec: of the records that the model was trained on.
      translate_fn: function from log-mels `[1, frames, mels]` to translated log-mels.
      context: frames on either side of a frame on which `translate_fn` depends.
      inverter: from log-mels to waveforms.
      executor: computes the chunks of a recording.
      options: `pitch`, `keep_rate` and `keep_channels` are used.
      source: domain of the files; None if unknown.

    Raises:
      UserError: F0 cannot be converted from this source.
    """

    def __init__(
        self,
        spec: Spec,
        translate_fn: Callable[[np.ndarray], np.ndarray],
        context: int,
        inverter: Inverter,
        executor: concurrent.futures.Executor,
        options: TranslationOptions,
        source: str | None,
    ):
        self.front_end, self.translate_fn, self.inverter = spec.features, translate_fn, inverter
        self.margin = inversion.margin(context + inverter.context)
        self.executor, self.options = executor, options
        self.shift_pitch_fn = _create_pitch_shift(options.pitch, spec, source, options.target)

    def translate(self, source: BinaryIO, write: Callable) -> dict:
        """Translate a recording, at the level of its source, reduced where it would clip.

        Args:
          source: binary file, open and seekable.
          write: receives samples `[samples, channels]` in parts, their shape, the sample rate in Hz, and the entries
            for `translations.jsonl`.

        Returns:
          The entries.

        Raises:
          UserError: the file cannot be read.
        """
        rate_hz, count = self.front_end.sample_rate_hz, 1
        if self.options.keep_rate or self.options.keep_channels:
            source_rate_hz, source_channels = recording.read_format(source)
            rate_hz = source_rate_hz if self.options.keep_rate else rate_hz
            count = source_channels if self.options.keep_channels else 1
        opened, keep_side = self._open_channels(source, count)
        samples = round(opened[0].source_seconds * rate_hz) if self.options.keep_rate else opened[0].samples
        seconds = round(opened[0].samples / self.front_end.sample_rate_hz, 6)
        facts = {"seconds": seconds, "sample_rate_hz": rate_hz}
        if count > 1:
            facts["channels"] = count
        if notes := list(dict.fromkeys(note for each in opened for note in each.notes)):
            facts["notes"] = notes
        with contextlib.ExitStack() as stack:
            stored = [self._store(each, rate_hz, samples, stack) for each in opened]
            if keep_side:
                stored = _add_side(stored[0], _of_length(opened[0].side(rate_hz), samples), stack)
            peak = max(channel.gain * channel.peak for channel in stored)
            factors = np.float32([channel.gain / max(1.0, peak) for channel in stored])  # one reduction for all
            write(_interleave([channel.file for channel in stored], factors), (samples, count), rate_hz, facts)
        return facts

    def _open_channels(self, source: BinaryIO, count: int) -> tuple[list[OpenRecording], bool]:
        """Survey what is translated of a recording with `count` channels; also whether the side is kept beside it.

        With other than two channels there is no side, and if two channels cancel, the side is all there is: then each
        channel is translated.
        """

        def measure(channel: int) -> OpenRecording:
            return OpenRecording.measure(source, self.front_end, self.shift_pitch_fn, channel=channel)

        if count == 1:
            return [measure(-1)], False
        if self.options.keep_channels == "mid_side" and count == 2 and (mid := measure(-1)).channel < 0:
            return [mid], True
        return [measure(channel) for channel in range(count)], False

    def _store(self, opened: OpenRecording, rate_hz: int, samples: int, stack: contextlib.ExitStack) -> _Channel:
        """Write the translation of a channel to a temporary file; its gain is that to the level of its source."""
        channel, meter = _Channel(stack), audio.LevelMeter(self.front_end)
        model_rate_hz = self.front_end.sample_rate_hz
        parts = highpass(self._translated(opened), model_rate_hz)
        for part in _of_length(recording.resample(_metered(parts, meter), model_rate_hz, rate_hz), samples):
            channel.add(part)
        channel.peak = max(channel.peak, meter.peak)  # also before resampling
        channel.gain = (opened.power / max(meter.power(), 1e-20)) ** 0.5
        return channel

    def _translated(self, opened: OpenRecording) -> Iterator[np.ndarray]:
        """Yield the translated samples of a channel in parts, as many as the source has at the model's rate."""
        if opened.silent:
            yield from _of_length((), opened.samples)
            return
        overlap = inversion.OVERLAP_FRAMES * self.front_end.hop_length
        chunks = parallel.map_ordered(self.executor, self._translate_chunk, self._windows(opened))
        yield from _of_length(inversion.crossfade(chunks, overlap), opened.samples)

    def _windows(self, opened: OpenRecording) -> Iterator[tuple[np.ndarray, inversion.Chunk]]:
        """Yield spectrogram and chunk of what is computed at once, one frame more to invert up to the last sample.

        Margins hold the context of model and inverter, so that the result does not depend on where chunks end.
        """
        edge = inversion.edge(self.margin)
        buffer = opened.frame_buffer(edge)
        for chunk in inversion.chunks(opened.frames, self.margin):
            chunk = chunk._replace(frames=chunk.frames + 1)
            size = chunk.before + chunk.frames + chunk.after
            yield buffer.frames(chunk.first - chunk.before + edge, size), chunk

    def _translate_chunk(self, window: tuple[np.ndarray, inversion.Chunk]) -> np.ndarray:
        """Samples of a chunk."""
        spectrogram, chunk = window
        translated = self.translate_fn(audio.log_mel_from_stft(spectrogram, self.front_end)[None])[0]
        before, after = (min(frames, self.inverter.context) for frames in (chunk.before, chunk.after))
        inside = slice(chunk.before - before, chunk.before + chunk.frames + after)
        chunk = chunk._replace(before=before, after=after)
        return self.inverter.invert(translated[inside], chunk, spectrogram[inside])


def _create_pitch_shift(
    rule: str, spec: Spec, source: str | None, target: str
) -> Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]:
    """Return a function from samples in parts to samples of shifted pitch in parts; the identity for "keep".

    Raises:
      UserError: the source domain is unknown, or the records have no pitch of one of the domains.
    """
    if rule == "keep":
        return lambda parts: parts
    if source is None:
        raise UserError(f"--pitch={rule}: from the F0 of which of {', '.join(spec.domains)}? give --source")
    f0_moments = {name: spec.pitch.get(name, Moments.empty(1)) for name in (source, target)}
    for name in (name for name, moments in f0_moments.items() if not moments.count):
        reason = f"no frame of {name} is voiced" if spec.pitch else "preprocess with --pitch and train again"
        raise UserError(f"--pitch={rule}: the run's records have no pitch of {name}; {reason}")
    rate_hz = spec.features.sample_rate_hz
    return lambda parts: pitch.convert_pitch(parts, rate_hz, f0_moments[source], f0_moments[target])


def _metered(parts: Iterable[np.ndarray], meter: audio.LevelMeter) -> Iterator[np.ndarray]:
    for part in parts:
        meter.add(part)
        yield part


def _of_length(parts: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Yield so many samples: the rest is left out, or zeros are added."""
    for part in parts:
        yield part[:samples]
        samples -= min(samples, len(part))
    for start in range(0, samples, recording.BLOCK_FRAMES):
        yield np.zeros(min(recording.BLOCK_FRAMES, samples - start), np.float32)


def _add_side(mid: _Channel, side: Iterable[np.ndarray], stack: contextlib.ExitStack) -> list[_Channel]:
    """Return the left and the right channel: the mid at its gain plus the side, and minus the side."""
    left, right = _Channel(stack), _Channel(stack)
    mid.file.seek(0)
    for part in side:
        middle = np.float32(mid.gain) * np.frombuffer(mid.file.read(SAMPLE_BYTES * len(part)), np.float32)
        left.add(middle + part)
        right.add(middle - part)
    return [left, right]


def _interleave(files: Sequence[BinaryIO], factors: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the samples `[samples, channels]` of files of float32 samples of equal length, each times its factor."""
    size = SAMPLE_BYTES * recording.BLOCK_FRAMES
    for file in files:
        file.seek(0)
    while blocks := [block for file in files if (block := file.read(size))]:
        yield np.stack([np.frombuffer(block, np.float32) for block in blocks], axis=1) * factors
