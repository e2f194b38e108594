"""Copy synthesis: recordings inverted from their own log-mels, the error of each inverter, and its speed.

The error of an inverter is a lower bound for the error of a model whose output it inverts.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.features import audio
from models.features.audio import AudioSpec
from models.metrics import speech
from pipelines.evaluation import direction_table
from pipelines.evaluation.direction_table import Intervals, Table
from pipelines.evaluation.examples import Example, read_waveform, sample_examples
from pipelines.inference.exported_model import Model
from pipelines.inference.vocoders import Vocoder

Inverter = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (log-mels, the samples they were computed from) -> samples

BENCHMARK_SECONDS = 10
MAX_RECORDINGS = 16  # of each domain; selected by a stable hash


def inverters(model: Model, vocoder: Vocoder | None = None) -> dict[str, Inverter]:
    """Return the inverters of an export by name, with its own vocoder, the universal one, and a further one if any.

    Each maps log-mels `[frames, mels]` and the samples they were computed from to samples
    `[(frames - 1) * hop_length]`.
    """
    spec = model.spec.features
    inverters: dict[str, Inverter] = {
        "griffin_lim": lambda log_mels, _: model.invert_clips([log_mels], model.griffin_lim)[0],
        "source_phase": lambda log_mels, y: model.invert_from_phase(log_mels, audio.stft(y, spec)),
    }
    shipped = Vocoder.universal(spec)
    own = Vocoder.of_model("vocoder", model) if "vocode" in model.signatures else None
    trained = vocoder if vocoder and not (shipped and vocoder.name == shipped.name) else own
    named = {"vocoder": trained, "universal_vocoder": shipped}
    return inverters | {name: _vocode_with(each) for name, each in named.items() if each}


def _vocode_with(vocoder: Vocoder) -> Inverter:
    return lambda log_mels, _: vocoder.vocode_clips([log_mels])[0]


def score_inverters(
    model: Model, vocoder: Vocoder | None, test: Mapping[str, Sequence[Example]]
) -> tuple[Table, Intervals]:
    """Return a row for each domain and inverter, see :func:`score_inverter`; domains whose files are gone have none.

    Args:
      model: an export for speech.
      vocoder: the vocoder of the evaluation, or None.
      test: held-out examples by domain.
    """
    spec = model.spec.features
    table: Table = {}
    intervals: Intervals = {}
    for domain, examples in test.items():
        waveforms = (read_waveform(x, model.spec) for x in sample_examples(examples, MAX_RECORDINGS))
        if recordings := [audio.normalize_level(y, spec) for y in waveforms if y is not None]:
            for name, invert in inverters(model, vocoder).items():
                row = f"{domain}, {name}"
                table[row], intervals[row] = score_inverter(invert, recordings, spec)
    return table, intervals


def score_inverter(
    invert: Inverter, recordings: Sequence[np.ndarray], spec: AudioSpec
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the mean errors of an inverter over recordings, its STOI and its speed, and intervals of the means.

    Args:
      invert: the inverter.
      recordings: samples `[samples]` each, at the level of the training data.
      spec: the front end.
    """
    results = [resynthesize(y, invert, spec) for y in recordings]
    scores = [score_resynthesis(y, z, spec) for y, z in zip(recordings, results, strict=True)]
    means, intervals = direction_table.summarize({name: np.array([row[name] for row in scores]) for name in scores[0]})
    joined = np.concatenate(recordings)
    benchmark = np.resize(joined, BENCHMARK_SECONDS * spec.sample_rate_hz)
    work = functools.partial(invert, audio.log_mel(benchmark, spec), benchmark)
    stoi = speech.intelligibility(joined, np.concatenate(results), spec.sample_rate_hz)
    speed = BENCHMARK_SECONDS / min(_elapsed_s(work) for _ in range(2))
    return {"n": len(recordings), **means, "stoi": stoi, "times_real_time": speed}, intervals


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
