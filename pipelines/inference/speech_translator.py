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
        self.front_end, self.translate_fn, self.model_context = spec.features, translate_fn, context
        self.context, self.inverter = context + inverter.context, inverter
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
        rate_hz, channels = self.front_end.sample_rate_hz, [-1]
        if self.options.keep_rate or self.options.keep_channels:
            source_rate_hz, count = recording.read_format(source)
            rate_hz = source_rate_hz if self.options.keep_rate else rate_hz
            channels = range(count) if self.options.keep_channels and count > 1 else channels
        opened = [OpenRecording.measure(source, self.front_end, self.shift_pitch_fn, channel=n) for n in channels]
        samples = round(opened[0].source_seconds * rate_hz) if self.options.keep_rate else opened[0].samples
        seconds = round(opened[0].samples / self.front_end.sample_rate_hz, 6)
        facts = {"seconds": seconds, "sample_rate_hz": rate_hz}
        if len(opened) > 1:
            facts["channels"] = len(opened)
        if notes := list(dict.fromkeys(note for each in opened for note in each.notes)):
            facts["notes"] = notes
        with contextlib.ExitStack() as stack:
            stored = [self._store(each, rate_hz, samples, stack) for each in opened]
            peak = max(gain * meter.peak for _, meter, gain in stored)
            factors = np.float32([gain / max(1.0, peak) for *_, gain in stored])  # one reduction for all channels
            write(_interleave([file for file, *_ in stored], factors), (samples, len(opened)), rate_hz, facts)
        return facts

    def _store(
        self, opened: OpenRecording, rate_hz: int, samples: int, stack: contextlib.ExitStack
    ) -> tuple[BinaryIO, audio.LevelMeter, float]:
        """Write the translation of a channel to a temporary file; also its meter and the gain to its source's level."""
        file, meter = stack.enter_context(tempfile.TemporaryFile()), audio.LevelMeter(self.front_end)
        model_rate_hz = self.front_end.sample_rate_hz
        parts = highpass(self._translated(opened), model_rate_hz)
        for part in _of_length(recording.resample(_metered(parts, meter), model_rate_hz, rate_hz), samples):
            file.write(np.float32(part).tobytes())
            meter.peak = max(meter.peak, float(np.abs(part).max(initial=0.0)))  # also of resampled ones
        file.seek(0)
        return file, meter, (opened.power / max(meter.power(), 1e-20)) ** 0.5

    def _translated(self, opened: OpenRecording) -> Iterator[np.ndarray]:
        """Yield the translated samples of a channel in parts, as many as the source has at the model's rate."""
        if opened.silent:
            yield from _of_length((), opened.samples)
            return
        overlap = inversion.OVERLAP_FRAMES * self.front_end.hop_length
        chunks = parallel.map_ordered(self.executor, self._translate_chunk, self._windows(opened))
        yield from _of_length(inversion.crossfade(chunks, overlap), opened.samples)

    def _windows(self, opened: OpenRecording) -> Iterator[tuple[np.ndarray, int, int]]:
        """Yield what a chunk is computed from: spectrogram with context, number of frames, index of the first.

        The context (zeros beyond the ends of the recording) makes the result independent of where chunks end.
        """
        buffer = opened.frame_buffer(self.context)
        for first, count in inversion.chunks(opened.frames):
            frames = count + 1  # one more, to invert up to the last sample
            yield buffer.frames(first, frames + 2 * self.context), frames, first

    def _translate_chunk(self, window: tuple[np.ndarray, int, int]) -> np.ndarray:
        """Samples of a chunk."""
        spectrogram, frames, first = window
        inside = slice(self.model_context, len(spectrogram) - self.model_context)
        translated = self.translate_fn(audio.log_mel_from_stft(spectrogram, self.front_end)[None])[0, inside]
        return self.inverter.invert(translated, frames, first, spectrogram[inside])


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


def _interleave(files: Sequence[BinaryIO], factors: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the samples `[samples, channels]` of files of float32 samples of equal length, each times its factor."""
    size = SAMPLE_BYTES * recording.BLOCK_FRAMES
    while blocks := [block for file in files if (block := file.read(size))]:
        yield np.stack([np.frombuffer(block, np.float32) for block in blocks], axis=1) * factors
