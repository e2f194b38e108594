"""Help of configuration keys: every key has a text, and the values are those of the preset."""

import dataclasses

import pytest

import plugins
from models.config_fields import option
from models.errors import UserError
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from pipelines import config, config_help

CONFIGS = {name: plugins.load(name).Config for name in plugins.available()}
PRESETS = [(name, preset) for name in CONFIGS for preset in plugins.load(name).PRESETS]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """A configuration with a plain field, as a third-party plugin may have."""

    count: int = option(3, "number of items")
    rate: float = option(0.5, "learning rate")
    loud: bool = False
    cycle: config.SCHEDULE = option(10.0, "weight of the cycle loss")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fast(Settings):
    """The same keys with another default."""

    rate: float = 5.0


def described(cls, configs=None):
    return {key: row for key, *row in config_help.describe(cls, configs)}


@pytest.mark.parametrize("cls", [*CONFIGS.values(), AudioSpec, ImageSpec], ids=[*CONFIGS, "audio", "image"])
def test_every_key_of_every_plugin_and_front_end_has_a_help_text(cls):
    rows = described(cls)
    assert set(rows) == {field.name for field in dataclasses.fields(cls)}
    assert all(kind and default and len(text) > 5 for kind, default, text in rows.values()), rows


def test_help_texts_come_from_the_fields_of_the_class_and_its_parents():
    rows = described(Fast)
    assert rows["count"] == ["a whole number", "3", "number of items"]
    assert rows["cycle"] == ["float or schedule", "10.0", "weight of the cycle loss"]
    assert rows["rate"] == ["float", "5.0", "learning rate"]


def test_a_plain_field_such_as_a_third_party_plugins_has_an_empty_help_text():
    assert described(Settings)["loud"] == ["true or false", "False", ""]


def test_values_that_differ_by_kind_are_listed_by_kind():
    rows = described(Settings, {"audio": Settings(), "image": Settings(cycle=((0.0, 5.0), (10.0, 0.0)))})
    assert rows["count"][1] == "3"
    assert rows["cycle"][1] == "speech: 10.0, images: [[0.0, 5.0], [10.0, 0.0]]"


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_the_help_shows_the_values_of_the_preset(name, preset):
    plugin = plugins.load(name)
    configs = config_help.preset_configs(plugin, preset)
    assert set(plugin.PRESETS[preset]) <= set(configs) <= {*plugin.KINDS, "photograph"}
    if preset in config.UNIVERSAL_PRESETS:
        assert set(plugin.KINDS) <= set(configs)
    shown = config_help.list_keys(name, preset)
    for kind, values in plugin.PRESETS[preset].items():
        for key, value in values.items():
            assert getattr(configs[kind], key) == value
            line = next(line for line in shown.splitlines() if line.startswith(f"  {key} ("))
            assert config_help._format_value(value) in line


def test_the_help_of_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="--preset=smal; did you mean small"):
        config_help.list_keys("vae", "smal")
