"""Cosine similarity of results to the target speaker and to the source speaker, by the GE2E speaker encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.evaluation import external_metrics
from pipelines.evaluation.external import ge2e
from pipelines.evaluation.external_metrics import Clip, ExternalMetric, ScoreInfo

DEFINITION = (
    "cosine similarity of the result to the mean of the {} speaker's recordings, embedded by GE2E (arXiv:1710.10467, "
    "weights of resemblyzer)"
)


class SpeakerSimilarity(ExternalMetric):
    """Similarity to both speakers; 0 for results without speech, NaN without recordings of the speaker."""

    requires = ("resemblyzer", "webrtcvad")
    scores = {
        "similarity_to_target": ScoreInfo(DEFINITION.format("target"), True),
        "similarity_to_source": ScoreInfo(DEFINITION.format("source"), False),
    }

    def score(self, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
        """See :class:`ExternalMetric`."""
        rates_hz = [clip.sample_rate_hz for clip in clips]
        results = external_metrics.map_unique(_embed, [clip.waveform for clip in clips], rates_hz)
        targets = external_metrics.map_unique(_embed_speaker, [clip.target_speaker for clip in clips], rates_hz)
        sources = external_metrics.map_unique(_embed_speaker, [clip.source_speaker for clip in clips], rates_hz)
        return {
            "similarity_to_target": np.sum(np.multiply(results, targets), axis=1),
            "similarity_to_source": np.sum(np.multiply(results, sources), axis=1),
        }


def _embed(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Embedding `[256]` of a recording, of unit length; 0 without speech."""
    return ge2e.embed(external_metrics.to_speech_rate(waveform, sample_rate_hz))


def _embed_speaker(recordings: Sequence[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """Mean embedding `[256]` of recordings, of unit length; NaN without recordings."""
    if not recordings:
        return np.full(ge2e.EMBEDDING_SIZE, np.nan)
    return ge2e.unit_length(np.mean([_embed(y, sample_rate_hz) for y in recordings], axis=0))
