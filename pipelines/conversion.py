"""An exported model at work on files: speech of any length in constant memory, pictures of any size.

Only the SavedModel is needed, no plugin code: what it is and which domains it knows stand inside.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import tensorflow as tf

from models.errors import UserError
from models.features import audio, image, inversion, pitch, recording
from models.features.audio import AudioSpec
from models.features.highpass import highpass
from models.features.spec import Spec
from models.features.stats import Moments
from pipelines import config, screening

BATCH_FILES = 16  # short ones that go through the model together
INVERTERS = ("griffin_lim", "source_phase", "vocoder:RUN")


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


class Model:
    """An exported run.

    Args:
      run_dir: the run.

    Raises:
      UserError: nothing was exported there.
    """

    def __init__(self, run_dir: str):
        path = posixpath.join(run_dir, "export")
        if not tf.io.gfile.exists(posixpath.join(path, "saved_model.pb")):
            if not tf.io.gfile.exists(posixpath.join(run_dir, "config.json")):
                raise UserError(f"{run_dir} is no run: it has no config.json")
            raise UserError(
                f"{run_dir} has no export/saved_model.pb; the same train command goes on with it to the end, "
                "and with --steps no higher than those it has done exports what there is"
            )
        self.loaded = tf.saved_model.load(path)
        self.signatures = self.loaded.signatures
        self.facts = json.loads(self.signatures["describe"]()["json"].numpy())
        self.spec: Spec = config.spec_from_json(self.facts["spec"])
        self.context: int = self.facts["context"]

    def ways(self) -> list[tuple[str, str]]:
        """The (source, target) domains between which the model translates."""
        pairs = list(itertools.permutations(self.spec.domains, 2))
        if "translate_to" in self.signatures:
            return pairs
        first, second = self.spec.domains[:2] if len(self.spec.domains) > 1 else (None, None)
        named = {"translate_ab": (first, second), "translate_ba": (second, first)}
        return [pair for name, pair in named.items() if name in self.signatures]

    def translation(self, target: str, source: str | None = None) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
        """The source domain, and the translation from it to `target` as a function of features.

        Raises:
          UserError: an unknown domain, or a model that cannot translate.
        """
        domains = self.spec.domains
        for name, asked in (("target", target), ("source", source)):
            if asked is not None and asked not in domains:
                raise UserError(f"--{name}={asked}: the model knows no such domain; {config.nearest(asked, domains)}")
        if source == target:
            raise UserError(f"--source and --target are both {target}")
        run, ways = self.facts["run"]["plugin"], self.ways()
        if not ways:
            able = sorted(set(self.signatures) - {"describe"})
            raise UserError(f"plugin {run} does not translate; it offers {', '.join(able)}")
        found = [way for way in ways if way[1] == target and source in (None, way[0])]
        if not found:
            raise UserError(f"plugin {run} translates {', '.join(' to '.join(way) for way in ways)}; not to {target}")
        if len(found) > 1:
            raise UserError(f"--target={target} from which of {', '.join(way[0] for way in found)}? give --source")
        return found[0][0], self._function(*found[0])

    def _function(self, source: str, target: str) -> Callable[[np.ndarray], np.ndarray]:
        if "translate_to" in self.signatures:
            numbers = {n: np.int32(self.spec.domains.index(d)) for n, d in (("source", source), ("target", target))}
            return lambda features: self.call("translate_to", features=features, **numbers)
        name = "translate_ab" if target == self.spec.domains[1] else "translate_ba"
        return lambda features: self.call(name, features=features)

    def vocode(self, log_mels: np.ndarray) -> np.ndarray:
        """Waveforms `[batch, (frames - 1) * hop_length]` of `[batch, frames + 2 * context, mels]`."""
        beyond = self.context * self.spec.features.hop_length
        made = self.call("vocode", features=log_mels)
        return made[:, beyond : made.shape[1] - beyond]

    def vocoded(self, mels: list[np.ndarray]) -> list[np.ndarray]:
        """Waveforms `[(frames - 1) * hop_length]` of log-mels `[frames, mels]` of any lengths, by a vocoder."""
        around, floor = ((self.context, self.context), (0, 0)), self.spec.features.log_floor
        return [self.vocode(np.pad(np.float32(x), around, constant_values=floor)[None])[0] for x in mels]

    def inverted_from(self, log_mels: np.ndarray, spectrogram: np.ndarray) -> np.ndarray:
        """The waveform `[(frames - 1) * hop_length]` of `[frames, mels]`, from the phases of `[frames, bins]` on."""
        given = {"features": np.float32(log_mels)[None], "phase": np.float32(np.angle(spectrogram))[None]}
        return self.call("invert_from_phase", frames=np.int32([len(log_mels)]), **given)[0]

    def inverted(self, mels: list[np.ndarray]) -> list[np.ndarray]:
        """Waveforms `[(frames - 1) * hop_length]` of log-mels `[frames, bins]` of any lengths, in batches."""
        made: dict[int, np.ndarray] = {}
        order = sorted(range(len(mels)), key=lambda n: len(mels[n]))
        for start in range(0, len(order), BATCH_FILES):
            group = order[start : start + BATCH_FILES]
            frames = np.array([len(mels[n]) for n in group], np.int32)
            padded = np.stack([np.pad(np.float32(mels[n]), [(0, max(frames) - len(mels[n])), (0, 0)]) for n in group])
            waves = self.call("invert", features=padded, frames=frames, first_frame=np.int32(0))
            made |= {
                n: y[: (len(mels[n]) - 1) * self.spec.features.hop_length] for n, y in zip(group, waves, strict=True)
            }
        return [made[n] for n in range(len(mels))]

    def call(self, name: str, **inputs) -> np.ndarray:
        """The one output of a signature."""
        (output,) = self.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()}).values()
        return output.numpy()


def vocoder_of(name: str, spec: AudioSpec) -> Model:
    """The vocoder that `--inverter=vocoder:RUN` names.

    Raises:
      UserError: no such inverter, a run that is no vocoder's, or one of another front end than `spec`.
    """
    kind, _, run_dir = name.partition(":")
    if kind != "vocoder" or not run_dir:
        raise UserError(f"--inverter={name}; wanted one of {', '.join(INVERTERS)}")
    vocoder = Model(run_dir)
    if "vocode" not in vocoder.signatures:
        raise UserError(f"--inverter={name}: plugin {vocoder.facts['run']['plugin']} has no signature vocode")
    config.same_front_end(f"--inverter={name}", vocoder.spec.features, spec)
    return vocoder


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
        self.detector = screening.Detector.load(run_dir, Model(run_dir), kind=self.spec.kind) if run_dir else None

    def convert(self, items: list[Item]) -> list[dict | Exception]:
        """Converts files, short recordings and pictures together in batches.

        Returns:
          For each, facts for `translations.jsonl`, or why it could not be converted.
        """
        outcomes: dict[int, dict | Exception] = {}
        waiting: list[tuple[int, object]] = []
        for number, item in enumerate(items):
            try:
                loaded = self._load(item.source)
                if isinstance(loaded, _Recording) and loaded.frames > inversion.CHUNK_FRAMES:
                    outcomes[number] = self._write(item, loaded, self._long(loaded))
                else:
                    waiting.append((number, loaded))
            except Exception as error:  # one bad file must not end the batch
                outcomes[number] = error
        short = self._short if self.spec.kind == "audio" else self._pictures
        for (number, loaded), made in zip(waiting, short([loaded for _, loaded in waiting]), strict=True):
            outcomes[number] = self._write(items[number], loaded, made)
        return [self._screened(item, outcomes[number]) for number, item in enumerate(items)]

    def _screened(self, item: Item, outcome: dict | Exception) -> dict | Exception:
        """An outcome, with why the file is unlike what a run was trained on, if it is and that is asked."""
        if self.detector is None or isinstance(outcome, Exception):
            return outcome
        why = self.detector.why_unlike(item.source)
        return {**outcome, "unlike": why} if why else outcome

    def _load(self, source: BinaryIO):
        if self.spec.kind == "image":
            return image.to_unit(image.read(source, self.spec.features))
        return _Recording(source, audio.survey(source, self.spec.features), self.moved)

    def _write(self, item: Item, loaded, made) -> dict:
        if self.spec.kind == "image":
            with item.create() as out:
                image.write(out, image.to_pixels(made))
            return {"height": made.shape[0], "width": made.shape[1]}
        spec = self.spec.features
        with tempfile.TemporaryFile() as raw, tempfile.TemporaryFile() as held:
            meter = _keep(made, raw, spec)
            as_loud = (loaded.power / max(meter.power(), 1e-20)) ** 0.5
            factor = min(as_loud, 1 / max(meter.peak, 1e-9))  # never clipped
            with soundfile.SoundFile(held, "w", spec.sample_rate_hz, 1, "PCM_16", format="WAV") as wave:
                while len(part := np.frombuffer(raw.read(4 * recording.BLOCK_FRAMES), np.float32)):
                    wave.write(part * factor)
            held.seek(0)
            with item.create() as out:
                shutil.copyfileobj(held, out)
        notes = {"notes": list(loaded.notes)} if loaded.notes else {}
        seconds = round(loaded.samples / spec.sample_rate_hz, 6)
        return {"seconds": seconds, "sample_rate_hz": spec.sample_rate_hz, **notes}

    def _pictures(self, pictures: list[np.ndarray]) -> np.ndarray:
        return self.translate(np.stack(pictures)) if pictures else np.zeros(0)

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
            found = f"nothing of {name} is voiced" if self.spec.pitch else "preprocess with --pitch and train again"
            raise UserError(f"--pitch={rule}: the run's records hold no pitch of {name}; {found}")
        return lambda parts: pitch.moved(parts, rate_hz, voices[self.source], voices[self.target])

    def _made(self, spectrogram: np.ndarray, frames: list[int], first: int) -> np.ndarray:
        """Waveforms `[batch, (most frames - 1) * hop]` of `[batch, most frames + 2 * context, bins]`."""
        inside = slice(self.model.context, spectrogram.shape[1] - self.model.context)
        mels = audio.log_mel_of(spectrogram, self.spec.features)
        return self.invert(self.translate(mels)[:, inside], np.int32(frames), first, spectrogram[:, inside])

    def _short(self, recordings: list[_Recording]) -> list[list[np.ndarray]]:
        """Converted samples of recordings that fit into one chunk, batched with others of like length."""
        made: dict[int, list[np.ndarray]] = {}
        order = sorted(range(len(recordings)), key=lambda n: recordings[n].frames)
        for start in range(0, len(order), BATCH_FILES):
            group = [n for n in order[start : start + BATCH_FILES] if not recordings[n].silent]
            made |= {n: [np.zeros(recordings[n].samples, np.float32)] for n in order[start : start + BATCH_FILES]}
            if group:
                frames = [recordings[n].frames + 1 for n in group]  # and one more, to invert to the last sample
                most = max(frames) + 2 * self.context
                windows = [recordings[n].window(self.context).frames(0, most) for n in group]
                for n, y in zip(group, self._made(np.stack(windows), frames, 0), strict=True):
                    made[n] = [y[: recordings[n].samples]]
        return [made[n] for n in range(len(recordings))]

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
            yield self._made(window.frames(first, frames + 2 * self.context)[None], [frames], first)[0]


def _keep(parts: Iterable[np.ndarray], raw: BinaryIO, spec: AudioSpec) -> audio.LevelMeter:
    """Writes float32 samples to a temporary file, without what is below hearing, and measures them."""
    meter = audio.LevelMeter(spec)
    for part in highpass(parts, spec.sample_rate_hz):
        raw.write(np.float32(part).tobytes())
        meter.add(part)
    raw.seek(0)
    return meter


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
        self.held, self.start, self.stream = np.zeros((before, bins), np.complex64), 0, stream

    def frames(self, first: int, count: int) -> np.ndarray:
        """`count` frames from number `first` on, where 0 is the first zero before the stream."""
        parts, self.start = [self.held[first - self.start :]], first
        size = len(parts[0])
        while size < count:
            part = next(self.stream, None)
            parts.append(np.zeros((count - size, self.held.shape[1]), np.complex64) if part is None else part)
            size += len(parts[-1])
        self.held = np.concatenate(parts)
        return self.held[:count]
