"""Recordings made again of their own log-mels (copy synthesis): how near each inverter brings them, and how fast.

What an inverter loses no model can make good, so its row says what can be reached.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import numpy as np

from models.features import audio
from models.features.audio import AudioSpec
from models.metrics import speech
from pipelines.inference.exported_model import Model

Inverter = Callable[[np.ndarray, np.ndarray], np.ndarray]  # log-mels and samples they are of to samples

TIMED_S = 10


def inverters(model: Model, vocoder: Model | None = None) -> dict[str, Inverter]:
    """Those of `--inverter` by name, as an export has them; a vocoder where one is at hand.

    Each makes samples `[(frames - 1) * hop_length]` of log-mels `[frames, mels]` and the samples that these are of.
    """
    spec = model.spec.features
    inverters: dict[str, Inverter] = {
        "griffin_lim": lambda log_mels, _: model.inverted([log_mels])[0],
        "source_phase": lambda log_mels, y: model.inverted_from(log_mels, audio.stft(y, spec)),
    }
    return inverters | ({"vocoder": lambda log_mels, _: vocoder.vocoded([log_mels])[0]} if vocoder else {})


def row(invert: Inverter, recordings: Sequence[np.ndarray], spec: AudioSpec) -> dict[str, float | None]:
    """Means over recordings `[samples]` at the level that models know; STOI of all of them joined, and the speed."""
    made = [again(y, invert, spec) for y in recordings]
    apart = [distances(y, z, spec) for y, z in zip(recordings, made, strict=True)]
    joined = np.concatenate(recordings)
    timed = np.resize(joined, TIMED_S * spec.sample_rate_hz)
    work = functools.partial(invert, audio.log_mel(timed, spec), timed)
    return {
        "n": len(recordings),
        **{name: float(np.mean([each[name] for each in apart])) for name in apart[0]},
        "stoi": speech.intelligibility(joined, np.concatenate(made), spec.sample_rate_hz),
        "times_real_time": TIMED_S / min(_seconds(work) for _ in range(4)),
    }


def again(y: np.ndarray, invert: Inverter, spec: AudioSpec) -> np.ndarray:
    """A recording through its log-mels; with a frame of silence, so that the last sample is reached."""
    padded = np.pad(y, (0, spec.hop_length))
    return invert(audio.log_mel(padded, spec), padded)[: len(y)]


def distances(y: np.ndarray, made: np.ndarray, spec: AudioSpec) -> dict[str, float]:
    """How far one recording `[samples]` is from itself made again."""
    x, z = (audio.log_mel(each, spec) for each in (y, made))
    return {
        "mcd_db": speech.mel_cepstral_distortion(x, z, spec),
        "lsd_db": speech.log_spectral_distance(x, z),
        "mel_l1": float(np.mean(np.abs(x - z))),
        "convergence_db": speech.spectral_convergence_db(y, made, spec),
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
