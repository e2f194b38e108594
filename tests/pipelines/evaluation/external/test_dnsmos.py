"""DNSMOS: with a model of fixed answers, and with speechmos if it is installed."""

import sys
import types

import numpy as np
import spoken_clips

from pipelines.evaluation import external_metrics
from pipelines.evaluation.external import dnsmos
from pipelines.evaluation.external_metrics import Clip


def test_scores_are_those_of_the_package_by_clip(monkeypatch):
    def run(waveform, sr):
        assert sr == 16000 and len(waveform) == 2000 and np.abs(waveform).max() <= 1
        return {"ovrl_mos": 1.0, "sig_mos": 2.0, "bak_mos": 3.0, "p808_mos": 4.0}

    package = types.SimpleNamespace(dnsmos=types.SimpleNamespace(run=run))
    monkeypatch.setitem(sys.modules, "speechmos", package)
    scores = dnsmos.DNSMOS().score([Clip(np.full(1000, 5.0), 8000), Clip(np.zeros(0), 8000)])
    assert scores.keys() == dnsmos.DNSMOS.scores.keys()
    assert [values[0] for values in scores.values()] == [1, 2, 3]
    assert all(np.isnan(values[1]) for values in scores.values())  # the package would not end


@spoken_clips.needs_metric("dnsmos")
def test_noise_lowers_the_scores_of_background_and_overall_quality():
    speech = spoken_clips.speech(spoken_clips.TEXTS[0], spoken_clips.SOURCE_VOICE)
    noisy = speech + spoken_clips.noise(len(speech))
    clips = [spoken_clips.clip(y) for y in (speech, noisy)]
    scores = external_metrics.score_external(clips, {"dnsmos": dnsmos.DNSMOS()})
    assert scores.keys() == dnsmos.DNSMOS.scores.keys()
    assert all(1 <= score <= 5 for values in scores.values() for score in values)
    for key in ("dnsmos_overall", "dnsmos_background"):
        clean, noisy = scores[key]
        assert noisy < clean
