"""Columns of external metrics: which results and recordings are compared, and what is averaged."""

import numpy as np
import pytest
import soundfile

from models.features.audio import AudioSpec
from models.features.spec import Spec
from pipelines.evaluation import external_columns
from pipelines.evaluation.examples import Example
from pipelines.evaluation.external_metrics import ExternalMetric, ScoreInfo
from pipelines.evaluation.translation_quality import Direction

FRONT_END = AudioSpec.at(8000, n_fft=256, n_mels=32)
FRAMES = 40
INFO = ScoreInfo("a number", higher_is_better=True)


class Recorder(ExternalMetric):
    """Collects the clips; scores the maximum of the waveform, and NaN for `missing` if there is no source."""

    scores = {"peak": INFO, "missing": INFO, "undefined": INFO}

    def __init__(self):
        self.clips = []

    def score(self, clips):
        self.clips += clips
        return {
            "peak": [clip.waveform.max() for clip in clips],
            "missing": [np.nan if clip.source is None else 1.0 for clip in clips],
            "undefined": np.full(len(clips), np.nan),
        }


@pytest.fixture
def spec():
    return Spec(features=FRONT_END, domains=("a", "b"), moments={})


@pytest.fixture
def example(tmp_path):
    """Return a function that makes an example of a file with noise."""

    def make(domain, stem, waveform=None):
        path = tmp_path / f"{domain}_{stem}.wav"
        noise = np.random.default_rng(len(stem) + ord(domain)).normal(0, 0.1, FRAMES * FRONT_END.hop_length)
        soundfile.write(path, noise, 8000)
        features = np.zeros((FRAMES, FRONT_END.n_mels), np.float32)
        return Example(f"{domain}/{stem}", stem, str(path), features, waveform)

    return make


def _direction(sources, results, targets):
    rows = {"no_op": sources, "model": results, "copy_synthesis": targets}
    return Direction("a", "b", rows, {name: {} for name in rows}, {name: {} for name in rows}, {}, None)


def _constant(level):
    return np.full(FRAMES * FRONT_END.hop_length, level, np.float32)


def test_results_are_compared_with_their_sources_and_the_training_recordings(example, spec):
    sources = [example("a", stem) for stem in ("one", "three")]
    results = [example("a", stem, _constant(level)) for stem, level in (("one", 0.2), ("three", 0.4))]
    targets = [example("b", stem, _constant(0.5)) for stem in ("one", "seventh")]
    training = {"a": [example("a", "trained")], "b": [example("b", "trained"), example("b", "trained_on")]}
    direction, recorder = _direction(sources, results, targets), Recorder()
    definitions = external_columns.add_external_scores([direction], training, spec, {"recorder": recorder})
    assert direction.table["model"] == pytest.approx({"peak": 0.3, "missing": 1})
    assert direction.table["copy_synthesis"] == pytest.approx({"peak": 0.5, "missing": 1})
    assert definitions == [("peak", "a number; higher is better"), ("missing", "a number; higher is better")]
    no_op, model, copies = recorder.clips[:2], recorder.clips[2:4], recorder.clips[4:]
    for unchanged, result in zip(no_op, model, strict=True):
        assert unchanged.waveform is unchanged.source is result.source
    assert [copy.source is None for copy in copies] == [False, True]  # only the first has a parallel source
    assert copies[0].source is no_op[0].source
    for clip in recorder.clips:
        assert clip.sample_rate_hz == 8000
        assert (len(clip.source_speaker), len(clip.target_speaker)) == (1, 2)
        assert clip.target_speaker is no_op[0].target_speaker


def test_a_recording_that_is_gone_is_left_out(example, spec, tmp_path):
    sources, results = [example("a", "one")], [example("a", "one", _constant(0.2))]
    (tmp_path / "a_one.wav").unlink()
    direction, recorder = _direction(sources, results, [example("b", "one", _constant(0.5))]), Recorder()
    external_columns.add_external_scores([direction], {"a": sources, "b": []}, spec, {"recorder": recorder})
    assert [clip.source for clip in recorder.clips] == [None, None]
    assert direction.table == {"no_op": {}, "model": {"peak": pytest.approx(0.2)}, "copy_synthesis": {"peak": 0.5}}


@pytest.mark.parametrize(("num_directions", "expected"), [(1, 10), (4, 8), (20, 4)])
def test_the_clips_of_a_row_are_shared_out_over_the_directions(example, spec, num_directions, expected):
    sources = [example("a", f"{n}", _constant(0.1)) for n in range(10)]
    directions, recorder = [_direction(sources, sources, []) for _ in range(num_directions)], Recorder()
    external_columns.add_external_scores(directions, {"a": [], "b": []}, spec, {"recorder": recorder})
    assert len(recorder.clips) == 2 * expected * num_directions
