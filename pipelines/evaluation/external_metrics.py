"""Metrics by external pretrained models: the contract, the registry, and the scoring of clips by all of them.

Built-in metrics are listed in a table of strings, others come from installed distributions through the entry-point
group ``crossfade.metrics``. A metric is imported when clips are scored, its model when its packages are installed.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import soxr

from models import entry_points
from models.errors import UserError

GROUP = "crossfade.metrics"

BUILT_IN = {
    "dnsmos": "pipelines.evaluation.external.dnsmos:DNSMOS",
    "phones_lost": "pipelines.evaluation.external.phones_lost:PhonesLost",
    "speaker_similarity": "pipelines.evaluation.external.speaker_similarity:SpeakerSimilarity",
    "words_lost": "pipelines.evaluation.external.words_lost:WordsLost",
}
SPEECH_RATE_HZ = 16000  # of most pretrained speech models
PEAK = 0.7  # of waveforms for these models


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A result, and the recordings that it is compared with; all waveforms are mono, float `[samples]`.

    Attributes:
      waveform: the result.
      sample_rate_hz: rate of all waveforms of the clip.
      source: the recording that was translated; None if it is not available.
      source_speaker: recordings of the source speaker; may be empty.
      target_speaker: recordings of the target speaker; may be empty.
    """

    waveform: np.ndarray
    sample_rate_hz: int
    source: np.ndarray | None = None
    source_speaker: Sequence[np.ndarray] = ()
    target_speaker: Sequence[np.ndarray] = ()


@dataclasses.dataclass(frozen=True)
class ScoreInfo:
    """Description of a score for the glossary. The heading of its column is its key, with spaces.

    Attributes:
      definition: one line.
      higher_is_better: direction of improvement.
      unit: of the values; empty for a ratio.
    """

    definition: str
    higher_is_better: bool
    unit: str = ""

    def describe(self) -> str:
        """Return the definition with unit and direction of improvement.

        >>> ScoreInfo("highest absolute sample", higher_is_better=False, unit="dB").describe()
        'highest absolute sample; in dB; lower is better'
        """
        unit = f"in {self.unit}; " if self.unit else ""
        return f"{self.definition}; {unit}{'higher' if self.higher_is_better else 'lower'} is better"


class ExternalMetric(abc.ABC):
    """A metric by an external model. Its name is that of its entry point.

    Attributes:
      requires: packages that have to be importable.
      scores: description of each key that `score` returns.
    """

    requires: ClassVar[Sequence[str]] = ()
    scores: ClassVar[Mapping[str, ScoreInfo]] = {}

    def is_available(self) -> bool:
        """Whether the metric can be computed here: whether all packages of `requires` are installed."""
        return all(importlib.util.find_spec(package) for package in self.requires)

    @abc.abstractmethod
    def score(self, clips: Sequence[Clip]) -> Mapping[str, np.ndarray]:
        """Return the scores of clips, arrays `[clips]` by key; NaN where a clip has no score."""


def available() -> dict[str, importlib.metadata.EntryPoint]:
    """Every metric by name, built in or installed; its packages may be missing.

    Raises:
      UserError: two distributions offer the same name.
    """
    return entry_points.available(GROUP, BUILT_IN, "external metric")


def load(name: str) -> type[ExternalMetric]:
    """The class of the metric of that name.

    Raises:
      UserError: there is none (the message names the nearest), or its module does not import.
    """
    return entry_points.load(name, available(), "external metric")


def installed_metrics() -> dict[str, ExternalMetric]:
    """Return the metrics whose packages are installed, by name; a metric that does not load gives a warning."""
    metrics = {}
    for name in available():
        try:
            metric = load(name)()
            if metric.is_available():
                metrics[name] = metric
        except Exception as error:  # of a third party: the evaluation goes on without the metric
            _warn(name, error)
    return metrics


def select_metrics(names: str) -> dict[str, ExternalMetric]:
    """Return metrics by name: for "all" the installed ones, for "none" none, otherwise those of a comma-separated list.

    Raises:
      UserError: a metric of the list does not exist, does not load, or is not available here.
    """
    if names in ("all", "none"):
        return installed_metrics() if names == "all" else {}
    metrics = {name: load(name)() for name in names.split(",")}
    for name, metric in metrics.items():
        if not metric.is_available():
            packages = ", ".join(metric.requires)
            raise UserError(
                f"external metric {name!r} needs a model or a package of {packages}: see docs/evaluation.md"
            )
    return metrics


def score_infos(metrics: Iterable[ExternalMetric] | None = None) -> dict[str, ScoreInfo]:
    """Return the description of every score, by key; of all installed metrics by default."""
    metrics = installed_metrics().values() if metrics is None else metrics
    return {key: info for metric in metrics for key, info in metric.scores.items()}


def score_external(
    clips: Sequence[Clip],
    metrics: Mapping[str, ExternalMetric] | None = None,
    on_scored: Callable[[int], object] = lambda count: None,
) -> dict[str, np.ndarray]:
    """Score clips by external metrics.

    Args:
      clips: the clips. A recording that several clips share is processed once if it is the same array; this also
        holds for the recordings of a speaker if they are the same sequence.
      metrics: by name; all installed ones by default.
      on_scored: called with the number of clips after each metric, for a progress line.

    Returns:
      The scores, float64 `[clips]` by key; NaN where a clip has no score. Keys without any score are left out. A
      metric that fails gives one line of warning, and its keys are left out.
    """
    metrics = installed_metrics() if metrics is None else metrics
    scores: dict[str, np.ndarray] = {}
    if not clips:
        return scores
    for name, metric in metrics.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the packages of the models
                columns = _check_scores(metric.score(clips), metric, len(clips), scores)
        except Exception as error:  # of an external model: the evaluation goes on without the metric
            _warn(name, error)
            columns = {}
        scores |= {key: values for key, values in columns.items() if not np.isnan(values).all()}
        on_scored(len(clips))
    return scores


def _check_scores(
    columns: Mapping[str, Any], metric: ExternalMetric, num_clips: int, others: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the scores of a metric as float64 arrays.

    Raises:
      UserError: a key without a description or of another metric, or an array of another shape than `[num_clips]`.
    """
    checked = {key: np.asarray(values, np.float64) for key, values in columns.items()}
    for key, values in checked.items():
        if key not in metric.scores:
            raise UserError(f"the key {key!r} is not described in `scores`")
        if key in others:
            raise UserError(f"another metric already returns the key {key!r}")
        if values.shape != (num_clips,):
            raise UserError(f"{key!r} has shape {list(values.shape)}; expected [{num_clips}], one value per clip")
    return checked


def _warn(name: str, error: Exception) -> None:
    reason = " ".join(str(error).split())
    message = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
    print(f"warning: external metric {name!r} is left out: {message}", file=sys.stderr)


def to_speech_rate(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return a waveform `[samples]` at 16 kHz, scaled to a peak of 0.7, float32; silence stays silence.

    >>> to_speech_rate(np.ones(100, np.float32), 16000).max().round(3)
    0.7
    """
    y = soxr.resample(np.asarray(waveform, np.float32), sample_rate_hz, SPEECH_RATE_HZ)
    peak = np.abs(y).max(initial=0.0)
    return y if peak == 0 else (y * (PEAK / peak)).astype(np.float32)


def has_sound(waveform: np.ndarray | None) -> bool:
    """Whether there is a waveform that is not all zero."""
    return waveform is not None and bool(np.any(waveform))


def map_unique(function: Callable, values: Iterable, *arguments: Iterable) -> list:
    """Map a function as `map` does, but call it once for a value that occurs several times as the same object.

    >>> calls, x = [], [1]
    >>> map_unique(lambda value: calls.append(value) or len(value), [x, x]), calls
    ([1, 1], [[1]])
    """
    rows = list(zip(values, *arguments, strict=True))  # holds the values, so that no two have the same id
    results: dict[int, Any] = {}
    for row in rows:
        if id(row[0]) not in results:
            results[id(row[0])] = function(*row)
    return [results[id(row[0])] for row in rows]
