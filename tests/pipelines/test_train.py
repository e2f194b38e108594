"""`train`: which preset the records have, and which configuration its flags make."""

import pytest
from absl import flags

from models.features.image import ImageSpec
from models.features.spec import Spec
from models.networks import efficientnet_lite
from pipelines import train
from pipelines.data import dataset


@pytest.mark.parametrize(
    ("is_installed", "channels", "kind"), [(True, 3, "photograph"), (False, 3, "image"), (False, 1, "image")]
)
def test_presets_for_photographs_are_taken_where_the_pretrained_weights_are(
    is_installed, channels, kind, monkeypatch, capsys
):
    monkeypatch.setattr(efficientnet_lite, "is_available", lambda: is_installed)
    assert train._preset_kind(Spec(ImageSpec(channels=channels), (), {})) == kind
    assert ("pip install" in capsys.readouterr().out) == (channels == 3 and not is_installed)


@pytest.mark.parametrize(
    ("arguments", "seed", "steps"),
    [
        ([], 0, 7),
        (["--set=seed=3"], 3, 7),
        (["--seed=2"], 2, 7),
        (["--set=seed=3", "--seed=2", "--steps=5"], 2, 5),
    ],
)
def test_a_key_that_has_a_flag_can_be_set_by_either(picture_records, monkeypatch, arguments, seed, steps):
    values = flags.FlagValues()
    monkeypatch.setattr(train.flags, "FLAGS", values)
    monkeypatch.setattr(train, "FLAGS", values)
    for define in ("string", "integer", "bool", "enum", "multi_string"):
        function = getattr(flags, f"DEFINE_{define}")
        options = {"flag_values": values}
        monkeypatch.setattr(train.flags, f"DEFINE_{define}", lambda *a, f=function, o=options, **kw: f(*a, **o, **kw))
    train.define_flags()
    values(["train", f"--data_dir={picture_records}", "--run_dir=run", "--plugin=ae", "--set=steps=7", *arguments])
    run = train.new_run(dataset.open_records(str(picture_records)), "image")
    assert (run.config["seed"], run.config["steps"]) == (seed, steps)


def test_the_list_of_plugins_has_aligned_columns():
    lines = train.list_plugins().splitlines()
    columns = {line.index(train.plugins.summary(line.split()[0])) for line in lines}
    assert len(columns) == 1


@pytest.mark.parametrize(
    ("arguments", "preset", "steps"),
    [
        (["--plugin=vocoder"], "small", 10000),
        (["--plugin", "vae", "--preset", "full"], "full", 50000),
        (["--preset=small", "--plugin=vae", "--preset=full"], "full", 50000),
    ],
)
def test_the_help_of_a_plugin_shows_the_values_of_the_preset(arguments, preset, steps, monkeypatch, capsys):
    values = flags.FlagValues()
    flags.DEFINE_string("preset", "small", "", flag_values=values)
    monkeypatch.setattr(train, "FLAGS", values)
    with pytest.raises(SystemExit) as exit:
        train.parse(["train", *arguments, "--help"])
    shown = capsys.readouterr().out
    assert exit.value.code == 0 and f"--preset={preset}" in shown.splitlines()[0]
    assert f"  steps (a whole number) [{steps}]\n" in shown
