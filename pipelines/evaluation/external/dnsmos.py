"""DNSMOS P.835: predicted mean opinion scores of speech, background and overall quality, without a reference.

The model (Reddy et al., arXiv:2110.01763) is in the package `speechmos`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.evaluation import external_metrics
from pipelines.evaluation.external_metrics import Clip, ExternalMetric, ScoreInfo

RESULTS = {"dnsmos_overall": "ovrl_mos", "dnsmos_speech": "sig_mos", "dnsmos_background": "bak_mos"}
SOURCE = "DNSMOS P.835 (arXiv:2110.01763), 1 to 5, of the result at 16 kHz with a peak of 0.7"


class DNSMOS(ExternalMetric):
    """DNSMOS P.835 of results; NaN for an empty waveform."""

    requires = ("speechmos", "onnxruntime", "librosa", "requests")
    scores = {
        "dnsmos_overall": ScoreInfo(f"predicted opinion of overall quality, {SOURCE}", True, "MOS"),
        "dnsmos_speech": ScoreInfo(f"predicted opinion of the speech signal, {SOURCE}", True, "MOS"),
        "dnsmos_background": ScoreInfo(f"predicted opinion of the noise, {SOURCE}", True, "MOS"),
    }

    def score(self, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
        """See :class:`ExternalMetric`."""
        rows = [_opinion_scores(clip.waveform, clip.sample_rate_hz) for clip in clips]
        return {key: np.array([row[name] for row in rows]) for key, name in RESULTS.items()}


def _opinion_scores(waveform: np.ndarray, sample_rate_hz: int) -> dict[str, float]:
    """Mean opinion scores by their names in `speechmos`, which would not end on an empty waveform."""
    if not len(waveform):
        return dict.fromkeys(RESULTS.values(), np.nan)
    from speechmos import dnsmos

    y = external_metrics.to_speech_rate(waveform, sample_rate_hz)
    return dnsmos.run(y, sr=external_metrics.SPEECH_RATE_HZ)
