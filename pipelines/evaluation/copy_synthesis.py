"""Copy synthesis: recordings inverted from their own log-mels, the error of each inverter, and its speed.

The error of an inverter is a lower bound for the error of a model whose output it inverts.
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

Inverter = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (log-mels, the samples they were computed from) -> samples

BENCHMARK_SECONDS = 10


def inverters(model: Model, vocoder: Model | None = None) -> dict[str, Inverter]:
    """Return the inverters of an export by the name that `--inverter` uses, with the vocoder if one is given.

    Each maps log-mels `[frames, mels]` and the samples they were computed from to samples
    `[(frames - 1) * hop_length]`.
    """
    spec = model.spec.features
    inverters: dict[str, Inverter] = {
        "griffin_lim": lambda log_mels, _: model.invert_clips([log_mels])[0],
        "source_phase": lambda log_mels, y: model.invert_from_phase(log_mels, audio.stft(y, spec)),
    }
    return inverters | ({"vocoder": lambda log_mels, _: vocoder.vocode_clips([log_mels])[0]} if vocoder else {})


def score_inverter(invert: Inverter, recordings: Sequence[np.ndarray], spec: AudioSpec) -> dict[str, float | None]:
    """Return the mean errors of an inverter over recordings, its STOI and its speed.

    Args:
      invert: the inverter.
      recordings: samples `[samples]` each, at the level of the training data.
      spec: the front end.
    """
    results = [resynthesize(y, invert, spec) for y in recordings]
    scores = [score_resynthesis(y, z, spec) for y, z in zip(recordings, results, strict=True)]
    joined = np.concatenate(recordings)
    benchmark = np.resize(joined, BENCHMARK_SECONDS * spec.sample_rate_hz)
    work = functools.partial(invert, audio.log_mel(benchmark, spec), benchmark)
    return {
        "n": len(recordings),
        **{name: float(np.mean([row[name] for row in scores])) for name in scores[0]},
        "stoi": speech.intelligibility(joined, np.concatenate(results), spec.sample_rate_hz),
        "times_real_time": BENCHMARK_SECONDS / min(_elapsed_s(work) for _ in range(4)),
    }


def resynthesize(y: np.ndarray, invert: Inverter, spec: AudioSpec) -> np.ndarray:
    """Invert the log-mels of a recording `[samples]`; one frame of silence is appended to cover the last sample."""
    padded = np.pad(y, (0, spec.hop_length))
    return invert(audio.log_mel(padded, spec), padded)[: len(y)]


def score_resynthesis(y: np.ndarray, resynthesis: np.ndarray, spec: AudioSpec) -> dict[str, float]:
    """Return the distances between a recording `[samples]` and its resynthesis `[samples]`."""
    log_mels, resynthesis_log_mels = audio.log_mel(y, spec), audio.log_mel(resynthesis, spec)
    return {
        "mcd_db": speech.mel_cepstral_distortion(log_mels, resynthesis_log_mels, spec),
        "lsd_db": speech.log_spectral_distance(log_mels, resynthesis_log_mels),
        "mel_l1": float(np.mean(np.abs(log_mels - resynthesis_log_mels))),
        "convergence_db": speech.spectral_convergence_db(y, resynthesis, spec),
    }


def _elapsed_s(work: Callable[[], object]) -> float:
    """Wall time of a call in seconds."""
    start = time.monotonic()
    work()
    return time.monotonic() - start
