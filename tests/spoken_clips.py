"""Clips of synthesized speech for the tests of external metrics, and the condition under which these run."""

import functools
import importlib.util

import numpy as np
import pytest

from pipelines import demo_corpus
from pipelines.evaluation import external_metrics
from pipelines.evaluation.external_metrics import Clip

TEXTS = ("The old captain carried a heavy wooden box.", "My younger sister painted seven yellow flowers.")
SOURCE_VOICE, TARGET_VOICE = "en-us+m3", "en-us+f2"


def needs_metric(name):
    """Mark that skips a test unless the packages of an external metric and eSpeak NG are installed."""
    metric = external_metrics.load(name)
    is_ready = metric().is_available() and importlib.util.find_spec("espeakng_loader")
    reason = f"needs a model, espeakng-loader and {', '.join(metric.requires)}: see docs/evaluation.md"
    return pytest.mark.skipif(not is_ready, reason=reason)


@functools.cache
def synthesizer():
    return demo_corpus.SpeechSynthesizer()


@functools.cache
def speech(text, voice):
    return synthesizer().synthesize(text, voice) / np.float32(32768)


def clip(waveform, source=None, **speakers):
    return Clip(waveform, synthesizer().rate_hz, source, **speakers)


def noise(samples=22050, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
