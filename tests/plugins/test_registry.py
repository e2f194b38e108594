"""The table of plugins, and a third party's plugin made from the plugin guide."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest
from testbed import ROOT, script

import plugins
from plugins import base

GUIDE = (pathlib.Path(ROOT) / "docs" / "plugins.md").read_text()


def test_every_built_in_plugin_loads_and_is_one():
    for name in plugins.BUILT_IN:
        assert issubclass(plugins.load(name), base.Plugin)
        assert plugins.summary(name)
    assert len({plugins.summary(name) for name in plugins.available()}) == len(plugins.available())


@pytest.mark.parametrize(
    ("asked", "hint"), [("cyclgan", "did you mean cyclegan?"), ("zzz", "there are: ae, beta_tcvae, beta_vae, cut, cy")]
)
def test_an_unknown_name_is_answered_with_the_nearest(asked, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        plugins.load(asked)


def test_two_plugins_of_one_name_are_refused_naming_both(monkeypatch):
    other = importlib.metadata.EntryPoint("cyclegan", "elsewhere:CycleGAN", plugins.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [other])
    with pytest.raises(ValueError, match="plugins.cyclegan:CycleGAN and elsewhere:CycleGAN"):
        plugins.available()


def test_a_plugin_whose_module_is_gone_is_reported(monkeypatch):
    gone = importlib.metadata.EntryPoint("gone", "no_such_module:Gone", plugins.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [gone])
    with pytest.raises(ValueError, match="'gone' .* does not load"):
        plugins.load("gone")


@pytest.fixture(scope="module")
def third_party(tmp_path_factory):
    """The guide's example as a distribution, installed into a folder of its own."""
    project, site = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    blocks = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
    for name, text in {**blocks, "my_package/__init__.py": ""}.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", site, project]
    subprocess.run([sys.executable, "-m", "pip", *map(str, install)], check=True, capture_output=True)
    return str(site)


def test_the_guide_alone_suffices_to_add_a_plugin(third_party, speech_records, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(third_party)
    assert plugins.summary("linear") == "A linear autoencoder."
    run = [f"--data_dir={speech_records}", "--plugin=linear", f"--run_dir={tmp_path}/run"]
    done = script("train", *run, "--steps=0", "--set=learning_rate=.02", PYTHONPATH=third_party)
    assert done.returncode == 0 and "signatures: decode, encode, reconstruct" in done.stdout, done.stderr[-4000:]


@pytest.mark.slow
def test_the_conformance_suite_holds_installed_plugins_to_the_contract(third_party):
    asked = [
        sys.executable,
        "-m",
        "pytest",
        "tests/test_conformance.py",
        "-k",
        "linear-audio and (finite or resuming or export or signatures)",
    ]
    environment = {"PYTHONPATH": third_party, "PATH": "/usr/bin:/bin", "HOME": third_party}
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout[-4000:]


@pytest.mark.parametrize("kind", ["audio", "image", "photograph"])
@pytest.mark.parametrize("num_domains", [1, 2, 3])
def test_the_default_plugin_supports_the_records(kind, num_domains):
    plugin = plugins.load(plugins.default(kind, num_domains))
    assert kind.replace("photograph", "image") in plugin.KINDS
    assert num_domains > 1 or plugin.BATCHES == "mixed"
