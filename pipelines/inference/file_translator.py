"""Files through an exported model: speech of any length in constant memory, pictures of any size.

Only the SavedModel is needed, no plugin code: what it is and which domains it knows stand inside.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from models.errors import UserError
from models.features import audio, image, inversion, pitch, recording
from models.features.audio import AudioSpec
from models.features.highpass import highpass
from models.features.stats import Moments
from pipelines.inference import outlier_detector
from pipelines.inference.exported_model import BATCH_FILES, Model, vocoder_of


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What is asked of a model.

    Attributes:
      run_dir: the run whose export is used.
      source: the domain the files are of; the other one where a model has two.
      target: the domain they are to be of.
      inverter: "griffin_lim", "source_phase", or "vocoder:RUN".
      pitch: "keep", or "mean_variance": F0 is moved from the source's distribution to the target's before the model.
      screen: run whose detector says which files are unlike what it was trained on, or nothing.
    """

    run_dir: str
    target: str
    source: str | None = None
    inverter: str = "griffin_lim"
    pitch: Literal["keep", "mean_variance"] = "keep"
    screen: str = ""


@dataclasses.dataclass(frozen=True)
class Item:
    """A file to convert.

    Attributes:
      source: open and seekable.
      create: opens the result: a context manager that gives a binary file.
    """

    source: BinaryIO
    create: Callable[[], contextlib.AbstractContextManager[BinaryIO]]


class Converter:
    """Converts files.

    Args:
      conversion: what is asked.

    Raises:
      UserError: the model, the domains, the inverter or the statistics do not serve.
    """

    def __init__(self, conversion: Conversion):
        self.model = Model(conversion.run_dir)
        self.spec = self.model.spec
        self.source, self.translate = self.model.translation(conversion.target, conversion.source)
        self.target = conversion.target
        beyond, self.invert = self._inverter(conversion.inverter)
        self.context = self.model.context + beyond
        self.moved = self._mover(conversion.pitch)
        self.suffix = ".wav" if self.spec.kind == "audio" else ".png"
        run_dir = conversion.screen
        self.detector = (
            outlier_detector.Detector.load(run_dir, Model(run_dir), kind=self.spec.kind) if run_dir else None
        )

    def convert(self, items: list[Item]) -> list[dict | Exception]:
        """Converts files, short recordings and pictures together in batches.

        Returns:
          For each, facts for `translations.jsonl`, or why it could not be converted.
        """
        outcomes: dict[int, dict | Exception] = {}
        waiting: dict[int, object] = {}
        for number, item in enumerate(items):
            loaded = _attempted(self._load, item.source)
            if isinstance(loaded, Exception):
                outcomes[number] = loaded
            elif isinstance(loaded, _Recording) and loaded.frames > inversion.CHUNK_FRAMES:
                outcomes[number] = _attempted(self._write, item, loaded, self._long(loaded))
            else:
                waiting[number] = loaded
        for number, translated in self._together(waiting).items():
            failed = isinstance(translated, Exception)
            written = translated if failed else _attempted(self._write, items[number], waiting[number], translated)
            outcomes[number] = written
        return [_attempted(self._screened, item, outcomes[number]) for number, item in enumerate(items)]

    def _together(self, waiting: dict[int, object]) -> dict[int, object]:
        """Translations of loaded files by their numbers, computed in one batch; singly where the batch fails.

        Of a file that cannot be translated, the reason.
        """
        translate = self._short if self.spec.kind == "audio" else self._pictures
        translated = _attempted(translate, list(waiting.values()))
        if not isinstance(translated, Exception):
            return dict(zip(waiting, translated, strict=True))
        if len(waiting) == 1:
            return dict.fromkeys(waiting, translated)
        return {number: self._together({number: loaded})[number] for number, loaded in waiting.items()}

    def _screened(self, item: Item, outcome: dict | Exception) -> dict | Exception:
        """An outcome, with why the file is unlike what a run was trained on, if it is and that is asked."""
        if self.detector is None or isinstance(outcome, Exception):
            return outcome
        why = self.detector.why_unlike(item.source)
        return {**outcome, "unlike": why} if why else outcome

    def _load(self, source: BinaryIO):
        if self.spec.kind == "image":
            pixels, notes = image.read_with_notes(source, self.spec.features)
            return _Picture(image.to_unit(pixels), notes)
        return _Recording(source, audio.measure_level(source, self.spec.features), self.moved)

    def _write(self, item: Item, loaded, translated) -> dict:
        if self.spec.kind == "image":
            with item.create() as out:
                image.write(out, image.to_pixels(translated))
            row = {"height": translated.shape[0], "width": translated.shape[1]}
            return {**row, "notes": list(loaded.notes)} if loaded.notes else row
        spec = self.spec.features
        with tempfile.TemporaryFile() as raw, tempfile.TemporaryFile() as wav_file:
            meter = _keep(translated, raw, spec)
            as_loud = (loaded.power / max(meter.power(), 1e-20)) ** 0.5
            factor = min(as_loud, 1 / max(meter.peak, 1e-9))  # never clipped
            with soundfile.SoundFile(wav_file, "w", spec.sample_rate_hz, 1, "PCM_16", format="WAV") as wave:
                while len(part := np.frombuffer(raw.read(4 * recording.BLOCK_FRAMES), np.float32)):
                    wave.write(part * factor)
            wav_file.seek(0)
            with item.create() as out:
                shutil.copyfileobj(wav_file, out)
        notes = {"notes": list(loaded.notes)} if loaded.notes else {}
        seconds = round(loaded.samples / spec.sample_rate_hz, 6)
        return {"seconds": seconds, "sample_rate_hz": spec.sample_rate_hz, **notes}

    def _pictures(self, pictures: list[_Picture]) -> np.ndarray:
        return self.translate(np.stack([picture.unit for picture in pictures])) if pictures else np.zeros(0)

    # ---------------------------------------------------------------- speech

    def _inverter(self, name: str) -> tuple[int, Callable]:
        """Function of log-mels, each one's frames, the number of the first, and the source's complex spectrogram.

        Before it the frames to either side that a sample depends on, which the function is given and does not invert.
        """
        if self.spec.kind == "image" or name == "griffin_lim":
            return 0, lambda mels, frames, first, _: self.model.call(
                "invert", features=mels, frames=frames, first_frame=np.int32(first)
            )
        if name == "source_phase":
            return 0, lambda mels, frames, _, source: self.model.call(
                "invert_from_phase", features=mels, frames=frames, phase=np.float32(np.angle(source))
            )
        vocoder = vocoder_of(name, self.spec.features)
        return vocoder.context, lambda mels, *_: vocoder.vocode(mels)

    def _mover(self, rule: str) -> Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]:
        """Function of a recording's samples in parts that moves their pitch, or leaves it."""
        if rule == "keep":
            return lambda parts: parts
        if self.spec.kind == "image":
            raise UserError(f"--pitch={rule}: the run is of pictures")
        rate_hz, empty = self.spec.features.sample_rate_hz, Moments.empty(1)
        voices = {name: self.spec.pitch.get(name, empty) for name in (self.source, self.target)}
        for name in (name for name, voice in voices.items() if not voice.count):
            reason = f"nothing of {name} is voiced" if self.spec.pitch else "preprocess with --pitch and train again"
            raise UserError(f"--pitch={rule}: the run's records hold no pitch of {name}; {reason}")
        return lambda parts: pitch.convert_pitch(parts, rate_hz, voices[self.source], voices[self.target])

    def _converted(self, spectrogram: np.ndarray, frames: list[int], first: int) -> np.ndarray:
        """Waveforms `[batch, (most frames - 1) * hop]` of `[batch, most frames + 2 * context, bins]`."""
        inside = slice(self.model.context, spectrogram.shape[1] - self.model.context)
        mels = audio.log_mel_from_stft(spectrogram, self.spec.features)
        return self.invert(self.translate(mels)[:, inside], np.int32(frames), first, spectrogram[:, inside])

    def _short(self, recordings: list[_Recording]) -> list[list[np.ndarray]]:
        """Converted samples of recordings that fit into one chunk, batched with others of like length."""
        waveforms: dict[int, list[np.ndarray]] = {}
        order = sorted(range(len(recordings)), key=lambda n: recordings[n].frames)
        for start in range(0, len(order), BATCH_FILES):
            group = [n for n in order[start : start + BATCH_FILES] if not recordings[n].silent]
            waveforms |= {n: [np.zeros(recordings[n].samples, np.float32)] for n in order[start : start + BATCH_FILES]}
            if group:
                frames = [recordings[n].frames + 1 for n in group]  # and one more, to invert to the last sample
                most = max(frames) + 2 * self.context
                windows = [recordings[n].window(self.context).frames(0, most) for n in group]
                for n, y in zip(group, self._converted(np.stack(windows), frames, 0), strict=True):
                    waveforms[n] = [y[: recordings[n].samples]]
        return [waveforms[n] for n in range(len(recordings))]

    def _long(self, opened: _Recording) -> Iterator[np.ndarray]:
        """Converted samples of a recording in parts, in constant memory."""
        overlap = inversion.OVERLAP_FRAMES * self.spec.features.hop_length
        left = opened.samples
        for part in inversion.crossfade(self._chunks(opened), overlap):
            yield part[:left]
            left -= len(part[:left])

    def _chunks(self, opened: _Recording) -> Iterator[np.ndarray]:
        """Waveforms of neighbouring chunks; each reaches into the next.

        Model and vocoder see each with as many frames around it as their output depends on, silence beyond
        the ends, so that where a chunk begins makes no difference.
        """
        window = opened.window(self.context)
        for first, count in inversion.chunks(opened.frames):
            frames = count + 1  # and one more, to invert to the last sample
            yield self._converted(window.frames(first, frames + 2 * self.context)[None], [frames], first)[0]


def _attempted(work: Callable, *arguments):
    """What `work` returns, or the exception that it ends with: one bad file must not end the batch."""
    try:
        return work(*arguments)
    except Exception as error:
        return error


def _keep(parts: Iterable[np.ndarray], raw: BinaryIO, spec: AudioSpec) -> audio.LevelMeter:
    """Writes float32 samples to a temporary file, without what is below hearing, and measures them."""
    meter = audio.LevelMeter(spec)
    for part in highpass(parts, spec.sample_rate_hz):
        raw.write(np.float32(part).tobytes())
        meter.add(part)
    raw.seek(0)
    return meter


@dataclasses.dataclass(frozen=True, eq=False)
class _Picture:
    """A picture in [-1, 1], `[height, width, channels]`, and what was unusual about its file."""

    unit: np.ndarray
    notes: tuple[str, ...]


class _Recording:
    """An open recording: its length, its level, its channel, its frames."""

    def __init__(self, source: BinaryIO, meter: audio.LevelMeter, moved: Callable):
        self.source, self.spec, self.moved = source, meter.spec, moved
        self.samples, self.gain, self.power = meter.samples, meter.gain(), meter.power()
        self.silent, self.channel, self.notes = meter.peak == 0, meter.channel, meter.notes
        self.frames = self.spec.frames(meter.samples)

    def window(self, context: int) -> _Window:
        """Its complex frames from number `-context` on."""
        parts = self.moved(audio.blocks(self.source, self.spec, channel=self.channel))
        return _Window(audio.stft_stream(parts, self.spec, self.gain), context, self.spec.n_fft // 2 + 1)


class _Window:
    """Frames of a stream by number, zeros before and after it; those no longer asked for are forgotten."""

    def __init__(self, stream: Iterator[np.ndarray], before: int, bins: int):
        self.buffered, self.start, self.stream = np.zeros((before, bins), np.complex64), 0, stream

    def frames(self, first: int, count: int) -> np.ndarray:
        """`count` frames from number `first` on, where 0 is the first zero before the stream."""
        parts, self.start = [self.buffered[first - self.start :]], first
        size = len(parts[0])
        while size < count:
            part = next(self.stream, None)
            parts.append(np.zeros((count - size, self.buffered.shape[1]), np.complex64) if part is None else part)
            size += len(parts[-1])
        self.buffered = np.concatenate(parts)
        return self.buffered[:count]
