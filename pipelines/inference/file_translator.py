"""Translation of files by an exported model: speech of any length in constant memory, images of any size.

Only the SavedModel is needed and no plugin code: the SavedModel holds its configuration, its domains and its context.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from models.errors import UserError
from models.features import audio, image, inversion, pitch, recording
from models.features.audio import AudioSpec
from models.features.highpass import highpass
from models.features.stats import Moments
from pipelines.beam import blas
from pipelines.inference import outlier_detector
from pipelines.inference.exported_model import BATCH_FILES, Model
from pipelines.inference.open_recording import OpenRecording
from pipelines.inference.vocoders import describe, load_vocoder


@dataclasses.dataclass(frozen=True)
class TranslationOptions:
    """Options of a translation.

    Attributes:
      run_dir: the run whose export is used.
      target: target domain.
      source: domain of the files; None if only one domain can be translated to the target.
      inverter: "auto", "griffin_lim", "source_phase", or "vocoder:RUN"; without effect on images.
      pitch: "keep", or "mean_variance" to move F0 from the source's distribution to the target's before the model.
      screen: run whose outlier detector annotates the results; empty for none.
    """

    run_dir: str
    target: str
    source: str | None = None
    inverter: str = "auto"
    pitch: Literal["keep", "mean_variance"] = "keep"
    screen: str = ""


@dataclasses.dataclass(frozen=True)
class Item:
    """A file to translate.

    Attributes:
      source: binary file, open and seekable.
      create: opens the result: returns a context manager of a binary file.
    """

    source: BinaryIO
    create: Callable[[], contextlib.AbstractContextManager[BinaryIO]]


class FileTranslator:
    """Translates files.

    Args:
      options: model, domains, inverter and so on.
      load_model: function from a run to its model, for callers that keep loaded models.

    Attributes:
      source: domain of the files; None if unknown, for a model that translates any source.
      suffix: of results, ".wav" or ".png".
      context: frames on either side of a frame on which its translated waveform depends.
      inverter: what the inverter is, for logs; empty for images.
      translate_fn: function from features to translated features.
      invert_fn: inverter, see `_create_inverter`.
      shift_pitch_fn: function from samples in parts to samples of shifted pitch in parts.

    Raises:
      UserError: the model, the domains, the inverter or the statistics do not match the options.
    """

    def __init__(self, options: TranslationOptions, *, load_model: Callable[[str], Model] = Model):
        blas.use_one_thread()
        self.load_model = load_model
        self.model = load_model(options.run_dir)
        self.spec = self.model.spec
        self.source, self.translate_fn = self.model.translation(options.target, options.source)
        self.target = options.target
        inverter_context, self.invert_fn = self._create_inverter(options.inverter)
        self.context = self.model.context + inverter_context
        self.shift_pitch_fn = self._create_pitch_shift(options.pitch)
        self.suffix = ".wav" if self.spec.kind == "audio" else ".png"
        run_dir = options.screen
        self.detector = (
            outlier_detector.Detector.load(run_dir, load_model(run_dir), kind=self.spec.kind) if run_dir else None
        )

    def translate_files(self, items: list[Item]) -> list[dict | Exception]:
        """Translate files; short recordings and images are batched.

        Returns:
          For each item its entries for `translations.jsonl`, or the error that prevented its translation.
        """
        outcomes: dict[int, dict | Exception] = {}
        batched: dict[int, object] = {}
        for index, item in enumerate(items):
            loaded = _result_or_error(self._load, item.source)
            if isinstance(loaded, Exception):
                outcomes[index] = loaded
            elif isinstance(loaded, OpenRecording) and loaded.frames > inversion.CHUNK_FRAMES:
                outcomes[index] = _result_or_error(self._write, item, loaded, self._translate_long(loaded))
            else:
                batched[index] = loaded
        for index, translated in self._translate_batch(batched).items():
            if isinstance(translated, Exception):
                outcomes[index] = translated
            else:
                outcomes[index] = _result_or_error(self._write, items[index], batched[index], translated)
        return [_result_or_error(self._annotate_outlier, item, outcomes[index]) for index, item in enumerate(items)]

    def _translate_batch(self, batched: dict[int, object]) -> dict[int, object]:
        """Translate loaded files in one batch, or one by one if the batch fails.

        Args:
          batched: loaded files by index.

        Returns:
          By index the translation, or the error of a file that cannot be translated.
        """
        translate = self._translate_short if self.spec.kind == "audio" else self._translate_images
        translated = _result_or_error(translate, list(batched.values()))
        if not isinstance(translated, Exception):
            return dict(zip(batched, translated, strict=True))
        if len(batched) == 1:
            return dict.fromkeys(batched, translated)
        return {index: self._translate_batch({index: loaded})[index] for index, loaded in batched.items()}

    def _annotate_outlier(self, item: Item, outcome: dict | Exception) -> dict | Exception:
        """Add the reason why the source is an outlier to an outcome, if there is a detector and it is one."""
        if self.detector is None or isinstance(outcome, Exception):
            return outcome
        reason = self.detector.outlier_reason(item.source)
        return {**outcome, "unlike": reason} if reason else outcome

    def _load(self, source: BinaryIO):
        if self.spec.kind == "image":
            pixels, notes = image.read_with_notes(source, self.spec.features)
            return _Image(image.to_unit(pixels), notes)
        return OpenRecording(source, audio.measure_level(source, self.spec.features), self.shift_pitch_fn)

    def _write(self, item: Item, loaded, translated) -> dict:
        """Write a translation; of speech at the level of its source, reduced where it would clip."""
        if self.spec.kind == "image":
            with item.create() as out:
                image.write(out, image.to_pixels(translated))
            row = {"height": translated.shape[0], "width": translated.shape[1]}
            return {**row, "notes": list(loaded.notes)} if loaded.notes else row
        spec = self.spec.features
        with tempfile.TemporaryFile() as raw, tempfile.TemporaryFile() as wav_file:
            meter = _write_samples(translated, raw, spec)
            gain = (loaded.power / max(meter.power(), 1e-20)) ** 0.5
            gain = min(gain, 1 / max(meter.peak, 1e-9))  # avoids clipping
            with soundfile.SoundFile(wav_file, "w", spec.sample_rate_hz, 1, "PCM_16", format="WAV") as wave:
                while len(part := np.frombuffer(raw.read(4 * recording.BLOCK_FRAMES), np.float32)):
                    wave.write(part * gain)
            wav_file.seek(0)
            with item.create() as out:
                shutil.copyfileobj(wav_file, out)
        notes = {"notes": list(loaded.notes)} if loaded.notes else {}
        seconds = round(loaded.samples / spec.sample_rate_hz, 6)
        return {"seconds": seconds, "sample_rate_hz": spec.sample_rate_hz, **notes}

    def _translate_images(self, images: list[_Image]) -> np.ndarray:
        return self.translate_fn(np.stack([loaded.pixels for loaded in images])) if images else np.zeros(0)

    # ---------------------------------------------------------------- speech

    def _create_inverter(self, name: str) -> tuple[int, Callable | None]:
        """Return the context of an inverter in frames, and the inverter as a function; None for images.

        The function takes log-mels `[batch, frames + 2 * context, mels]`, the frames of each without context `[batch]`,
        the index of the first frame, and the source's complex spectrogram `[batch, frames + 2 * context, bins]`. It
        returns the samples of each, without those of the context.
        """
        if self.spec.kind == "image":
            self.inverter = ""
            return 0, None
        if name == "source_phase":
            self.inverter = name
            return 0, lambda mels, frames, _, source: self.model.call(
                "invert_from_phase", features=mels, frames=frames, phase=np.float32(np.angle(source))
            )
        vocoder = load_vocoder(name, self.spec.features, self.load_model)
        self.inverter = describe(name, vocoder)
        if vocoder:
            return vocoder.context, lambda mels, frames, *_: vocoder.vocode(mels, frames)
        return 0, lambda mels, frames, first, _: self.model.call(
            self.model.griffin_lim, features=mels, frames=frames, first_frame=np.int32(first)
        )

    def _create_pitch_shift(self, rule: str) -> Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]:
        """Return a function from samples in parts to samples of shifted pitch in parts; the identity for "keep"."""
        if rule == "keep":
            return lambda parts: parts
        if self.spec.kind == "image":
            raise UserError(f"--pitch={rule}: the run was trained on images")
        if self.source is None:
            raise UserError(f"--pitch={rule}: from the F0 of which of {', '.join(self.spec.domains)}? give --source")
        rate_hz, empty = self.spec.features.sample_rate_hz, Moments.empty(1)
        f0_moments = {name: self.spec.pitch.get(name, empty) for name in (self.source, self.target)}
        for name in (name for name, moments in f0_moments.items() if not moments.count):
            reason = f"no frame of {name} is voiced" if self.spec.pitch else "preprocess with --pitch and train again"
            raise UserError(f"--pitch={rule}: the run's records have no pitch of {name}; {reason}")
        return lambda parts: pitch.convert_pitch(parts, rate_hz, f0_moments[self.source], f0_moments[self.target])

    def _translate_frames(self, spectrogram: np.ndarray, frames: list[int], first: int) -> Sequence[np.ndarray]:
        """Translate complex spectrograms to waveforms.

        Args:
          spectrogram: `[batch, max(frames) + 2 * context, bins]`.
          frames: of each, without context.
          first: index of the first frame.

        Returns:
          Samples of each, at least `[(frames - 1) * hop_length]`.
        """
        inside = slice(self.model.context, spectrogram.shape[1] - self.model.context)
        mels = audio.log_mel_from_stft(spectrogram, self.spec.features)
        translated = self.translate_fn(mels)[:, inside]
        return self.invert_fn(translated, np.int32(frames), first, spectrogram[:, inside])

    def _translate_short(self, recordings: list[OpenRecording]) -> list[list[np.ndarray]]:
        """Translate recordings that fit into one chunk to samples, in batches of similar length."""
        waveforms: dict[int, list[np.ndarray]] = {}
        order = sorted(range(len(recordings)), key=lambda n: recordings[n].frames)
        for start in range(0, len(order), BATCH_FILES):
            batch = order[start : start + BATCH_FILES]
            waveforms |= {n: [np.zeros(recordings[n].samples, np.float32)] for n in batch}
            if audible := [n for n in batch if not recordings[n].silent]:
                frames = [recordings[n].frames + 1 for n in audible]  # one more, to invert up to the last sample
                max_frames = max(frames) + 2 * self.context
                spectrograms = [recordings[n].frame_buffer(self.context).frames(0, max_frames) for n in audible]
                translated = self._translate_frames(np.stack(spectrograms), frames, 0)
                for n, y in zip(audible, translated, strict=True):
                    waveforms[n] = [y[: recordings[n].samples]]
        return [waveforms[n] for n in range(len(recordings))]

    def _translate_long(self, source: OpenRecording) -> Iterator[np.ndarray]:
        """Translate a recording of any length to samples, which are yielded in parts, in constant memory."""
        overlap = inversion.OVERLAP_FRAMES * self.spec.features.hop_length
        remaining = source.samples
        for part in inversion.crossfade(self._translate_chunks(source), overlap):
            yield part[:remaining]
            remaining -= len(part[:remaining])

    def _translate_chunks(self, source: OpenRecording) -> Iterator[np.ndarray]:
        """Yield the waveforms of overlapping chunks.

        Each chunk is translated with `context` frames on either side (zeros beyond the ends of the recording), so
        that the position of chunk boundaries does not affect the result.
        """
        buffer = source.frame_buffer(self.context)
        for first, count in inversion.chunks(source.frames):
            frames = count + 1  # one more, to invert up to the last sample
            yield self._translate_frames(buffer.frames(first, frames + 2 * self.context)[None], [frames], first)[0]


def _result_or_error(function: Callable, *arguments):
    """Return the function's result, or the exception that it raises: one bad file must not end the batch."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def _write_samples(parts: Iterable[np.ndarray], raw: BinaryIO, spec: AudioSpec) -> audio.LevelMeter:
    """Write high-passed float32 samples to a temporary file; return a meter of their level and peak."""
    meter = audio.LevelMeter(spec)
    for part in highpass(parts, spec.sample_rate_hz):
        raw.write(np.float32(part).tobytes())
        meter.add(part)
    raw.seek(0)
    return meter


@dataclasses.dataclass(frozen=True, eq=False)
class _Image:
    """A loaded image.

    Attributes:
      pixels: `[height, width, channels]` in [-1, 1].
      notes: remarks on the file for `translations.jsonl`.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]
