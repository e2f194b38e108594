"""Phone error rate of results against their sources, both recognised by the phoneme recogniser of `hama`."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from models.metrics import edit_distance
from pipelines.evaluation import external_metrics
from pipelines.evaluation.external_metrics import Clip, ExternalMetric, ScoreInfo

DEFINITION = (
    "phone error rate of the result against its source, both recognised by hama: edit distance over the number of "
    "phones in the source"
)


class PhonesLost(ExternalMetric):
    """Phone error rate; NaN without a source, and for sources in which no phones are recognised."""

    requires = ("hama",)
    scores = {"phones_lost": ScoreInfo(DEFINITION, higher_is_better=False)}

    def score(self, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
        """See :class:`ExternalMetric`."""
        waveforms = [clip.waveform for clip in clips] + [clip.source for clip in clips]
        rates_hz = [clip.sample_rate_hz for clip in clips] * 2
        phones = external_metrics.map_unique(_recognize, waveforms, rates_hz)
        results, sources = phones[: len(clips)], phones[len(clips) :]
        return {"phones_lost": np.array(list(map(edit_distance.error_rate, results, sources)))}


def _recognize(waveform: np.ndarray | None, sample_rate_hz: int) -> list[str]:
    """Phones of a recording, in the IPA; empty for silence and without a recording."""
    if not external_metrics.has_sound(waveform):
        return []
    y = external_metrics.to_speech_rate(waveform, sample_rate_hz)
    phones = _recognizer().transcribe_waveform(y, external_metrics.SPEECH_RATE_HZ).phonemes
    return [phone for phone in phones if not phone.startswith("<")]  # without markers such as <unk>


@functools.cache
def _recognizer():
    import hama

    return hama.ASRModel()
