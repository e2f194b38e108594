"""The registry of external metrics, the scoring of clips, and a third party's metric made from the guide."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from testbed import ROOT

from models.errors import UserError
from pipelines.evaluation import external_metrics
from pipelines.evaluation.external_metrics import Clip, ExternalMetric, ScoreInfo

GUIDE = (pathlib.Path(ROOT) / "docs" / "evaluation.md").read_text()
INFO = ScoreInfo("number of samples", higher_is_better=True)


class Length(ExternalMetric):
    scores = {"length": INFO}

    def score(self, clips):
        return {"length": [len(clip.waveform) for clip in clips]}


class NotInstalled(Length):
    requires = ("numpy", "no_such_package")

    def score(self, clips):
        raise AssertionError("is not available")


class Failing(Length):
    scores = {"failing": INFO}

    def score(self, clips):
        raise RuntimeError("out of\nmemory")


class Undescribed(Length):
    def score(self, clips):
        return {"other": np.zeros(len(clips))}


class WrongShape(Length):
    def score(self, clips):
        return {"length": np.zeros((len(clips), 2))}


class FailingConstructor(Length):
    def __init__(self):
        raise OSError("no weights")


def _clips(*lengths):
    return [Clip(np.ones(n, np.float32), 8000) for n in lengths]


@pytest.fixture
def registered(monkeypatch):
    """Return a function that replaces all metrics by those of the given classes, by name."""

    def register(**classes):
        class Point(importlib.metadata.EntryPoint):
            def load(self):
                return classes[self.name]

        points = [Point(name, f"elsewhere:{name}", external_metrics.GROUP) for name in classes]
        monkeypatch.setattr(external_metrics, "BUILT_IN", {})
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)

    return register


def test_every_built_in_metric_loads_and_describes_its_scores():
    keys = []
    for name in external_metrics.BUILT_IN:
        metric = external_metrics.load(name)
        assert issubclass(metric, ExternalMetric) and metric.requires and metric.scores
        assert all(info.definition and "\n" not in info.definition for info in metric.scores.values())
        keys += metric.scores
    assert len(set(keys)) == len(keys)
    assert all(f"`{key}`" in GUIDE for key in keys)


@pytest.mark.parametrize(
    ("name", "hint"), [("dnsmoss", "did you mean dnsmos?"), ("zzz", "there are: dnsmos, phones_lost, ")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(UserError, match=re.escape(hint)):
        external_metrics.load(name)


def test_metrics_are_selected_by_name(registered):
    registered(length=Length, failing=Failing, missing=NotInstalled)
    assert list(external_metrics.select_metrics("all")) == ["failing", "length"]
    assert external_metrics.select_metrics("none") == {}
    assert list(external_metrics.select_metrics("length,failing")) == ["length", "failing"]
    with pytest.raises(UserError, match="did you mean length"):
        external_metrics.select_metrics("lenght")
    with pytest.raises(UserError, match="'missing' needs a model or a package of numpy, no_such_package"):
        external_metrics.select_metrics("length,missing")


def test_two_metrics_of_one_name_are_refused_naming_both(monkeypatch):
    other = importlib.metadata.EntryPoint("dnsmos", "elsewhere:DNSMOS", external_metrics.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [other])
    with pytest.raises(UserError, match="external.dnsmos:DNSMOS and elsewhere:DNSMOS"):
        external_metrics.available()


def test_listing_and_importing_load_no_model(in_new_process):
    in_new_process(
        "import sys\n"
        "from pipelines.evaluation import external_metrics as e\n"
        "e.installed_metrics()\n"
        "packages = {'hama', 'speechmos', 'onnxruntime', 'resemblyzer', 'torch', 'faster_whisper', 'tensorflow'}\n"
        "assert not packages & set(sys.modules)"
    )


def test_scores_are_float_arrays_by_key(registered):
    registered(length=Length)
    scores = external_metrics.score_external(_clips(3, 5))
    assert list(scores) == ["length"] and scores["length"].dtype == np.float64
    assert scores["length"].tolist() == [3, 5]
    assert external_metrics.score_infos() == {"length": INFO}
    assert external_metrics.score_external([]) == {}


def test_a_metric_that_is_not_installed_is_absent_without_a_message(registered, capfd):
    registered(length=Length, missing=NotInstalled)
    assert list(external_metrics.installed_metrics()) == ["length"]
    assert list(external_metrics.score_external(_clips(3))) == ["length"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Failing, "RuntimeError: out of memory"),
        (FailingConstructor, "OSError: no weights"),
        (Undescribed, "the key 'other' is not described in `scores`"),
        (WrongShape, "'length' has shape [2, 2]; expected [2], one value per clip"),
    ],
)
def test_a_metric_that_fails_gives_one_line_and_the_others_are_scored(registered, capfd, metric, message):
    registered(broken=metric, length=Length)
    assert list(external_metrics.score_external(_clips(3, 4))) == ["length"]
    assert capfd.readouterr() == ("", f"warning: external metric 'broken' is left out: {message}\n")


def test_a_metric_whose_module_is_gone_gives_one_line(monkeypatch, capfd):
    gone = importlib.metadata.EntryPoint("gone", "no_such_module:Gone", external_metrics.GROUP)
    monkeypatch.setattr(external_metrics, "BUILT_IN", {})
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [gone])
    assert external_metrics.score_external(_clips(3)) == {}
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "'gone'" in error and "no_such_module" in error


def test_a_key_of_another_metric_is_refused(registered, capfd):
    registered(first=Length, second=Length)
    assert list(external_metrics.score_external(_clips(3))) == ["length"]
    assert "'second' is left out: another metric already returns the key 'length'" in capfd.readouterr().err


def test_keys_without_any_score_are_left_out():
    class Undefined(Length):
        def score(self, clips):
            return {"length": np.full(len(clips), np.nan)}

    assert external_metrics.score_external(_clips(3, 4), {"undefined": Undefined()}) == {}


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050])
def test_waveforms_for_models_have_16_khz_and_a_fixed_peak(rate_hz):
    y = 3 * np.sin(np.arange(2 * rate_hz) / rate_hz * 2 * np.pi * 100)
    result = external_metrics.to_speech_rate(y, rate_hz)
    assert result.dtype == np.float32 and abs(len(result) - 32000) <= 1
    assert np.abs(result).max() == pytest.approx(0.7)
    assert not external_metrics.to_speech_rate(np.zeros(1000), rate_hz).any()
    assert external_metrics.to_speech_rate(np.zeros(0), rate_hz).shape == (0,)


@pytest.fixture
def third_party(tmp_path):
    """The guide's example as a distribution, installed into a folder of its own."""
    project, site = tmp_path / "project", tmp_path / "site"
    blocks = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
    for name, text in {**blocks, "my_metrics/__init__.py": ""}.items():
        (project / name).parent.mkdir(exist_ok=True, parents=True)
        (project / name).write_text(text)
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", site, project]
    subprocess.run([sys.executable, "-m", "pip", *map(str, install)], check=True, capture_output=True)
    return str(site)


def test_the_guide_alone_suffices_to_add_a_metric(third_party, monkeypatch):
    monkeypatch.syspath_prepend(third_party)
    monkeypatch.setattr(external_metrics, "BUILT_IN", {})
    half, full = np.full(100, 0.5), np.ones(100)
    scores = external_metrics.score_external([Clip(half, 8000, full), Clip(full, 8000)])
    assert scores["peak"] == pytest.approx([-6.02, 0], abs=0.01)
    assert scores["peak_difference"] == pytest.approx([-6.02, np.nan], abs=0.01, nan_ok=True)
    assert external_metrics.score_infos()["peak"].unit == "dB"
