"""Configurations: what is written is read back, what is wrong is named."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, laws

import plugins
from models import config_fields
from models.config_fields import option
from models.errors import UserError
from models.features import stats
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from models.features.spec import Spec
from pipelines import config
from plugins import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parent:
    """Keys of both."""

    count: int = option(3, "number of items")
    name: str = "x"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parent):
    """Keys of one."""

    rate: float = option(0.5, "learning rate")
    loud: bool = False
    cycle: config.SCHEDULE = option(10.0, "weight of the cycle loss")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
STEPS = st.lists(NUMBERS, min_size=1, unique=True).map(sorted)
POINTS = STEPS.flatmap(lambda steps: st.tuples(*(st.tuples(st.just(step), NUMBERS) for step in steps)))
SETTINGS = st.builds(
    Settings, count=st.integers(), name=st.text(), rate=NUMBERS, loud=st.booleans(), cycle=NUMBERS | POINTS
)


@laws
@given(SETTINGS)
def test_a_configuration_survives_its_json(made):
    written = json.dumps(config.to_json(made), allow_nan=False)
    assert config.from_json(Settings, json.loads(written)) == made


@laws
@given(SETTINGS)
def test_what_is_set_as_text_is_what_json_would_give(made):
    fields = config.to_json(made)
    pairs = [f"{key}={value if key == 'name' else json.dumps(value)}" for key, value in fields.items()]
    assert config.override(Settings(), pairs) == made


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("count=5", 5),
        ("count=-1", -1),
        ("rate=1", 1.0),
        ("rate=.5", 0.5),
        ("rate=1e-3", 0.001),
        ("loud=true", True),
        ("loud=False", False),
        ("name=12", "12"),
        ("name=", ""),
        ("name=a=b", "a=b"),
        ("cycle=3", 3.0),
        ("cycle=[[0, 5], [1000, 0.5]]", ((0.0, 5.0), (1000.0, 0.5))),
    ],
)
def test_a_set_value_gets_the_type_of_its_key(pair, value):
    key = pair.partition("=")[0]
    found = getattr(config.override(Settings(), [pair]), key)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("pair", "complaint"),
    [
        ("count", "wanted KEY=VALUE"),
        ("cuont=3", "did you mean count"),
        ("zzz=3", "there are: count, cycle, loud, name, rate"),
        ("count=2.5", "wanted a whole number"),
        ("count=true", "wanted a whole number"),
        ("count=many", "wanted a whole number"),
        ("loud=1", "wanted true or false"),
        ("rate=fast", "wanted float"),
        ("rate=nan", "wanted float"),
        ("rate=inf", "wanted float"),
        ("rate=true", "wanted float"),
        ("cycle=often", "wanted float"),
        ("cycle=[]", "rising steps"),
        ("cycle=[[1]]", "rising steps"),
        ("cycle=[[10, 0], [0, 1]]", "rising steps"),
        ("cycle=[[10, 0], [10, 1]]", "rising steps"),
        ("cycle=[[0, true]]", "rising steps"),
    ],
)
def test_a_wrong_pair_is_refused_with_what_was_wanted(pair, complaint):
    with pytest.raises(ValueError, match=complaint):
        config.override(Settings(), [pair])


@pytest.mark.parametrize("fields", [{"cuont": 3}, {"rate": "fast"}, {"count": 1.5}, {"cycle": [[2, 1], [1, 1]]}])
def test_json_of_another_shape_is_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        config.from_json(Settings, fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Renamed(Settings):
    """A configuration with renamed keys."""

    RENAMED: ClassVar[Mapping[str, str]] = {"speed": "rate", "number": "count"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RenamedAgain(Renamed):
    """A subclass with renamed keys of its own, one of which is a key of its own by now."""

    RENAMED: ClassVar[Mapping[str, str]] = {"ring": "cycle"}
    number: int = 1


def test_renamed_keys_are_inherited_and_never_hide_a_current_key():
    assert config.renamed_keys(Settings) == {}
    assert config.renamed_keys(Renamed) == {"speed": "rate", "number": "count"}
    assert config.renamed_keys(RenamedAgain) == {"speed": "rate", "ring": "cycle"}
    assert config.override(RenamedAgain(), ["number=7"]).number == 7


def test_a_renamed_key_is_set_by_its_old_name_with_a_warning(capsys):
    assert config.override(RenamedAgain(), ["speed=2", "ring=3"]) == RenamedAgain(rate=2.0, cycle=3.0)
    assert capsys.readouterr().err.splitlines() == [
        "warning: --set=speed is now rate; the old name works in this release only",
        "warning: --set=ring is now cycle; the old name works in this release only",
    ]


def test_json_with_old_names_of_keys_is_read_silently(capsys):
    assert config.from_json(Renamed, {"speed": 2, "name": "x"}) == Renamed(rate=2.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("pairs", [["speed=2", "rate=2"], ["rate=1", "speed=2"]])
def test_the_old_and_the_new_name_of_a_key_together_are_refused(pairs):
    with pytest.raises(UserError, match="speed and rate are names of the same key; wanted --set=rate only"):
        config.override(Renamed(), pairs)
    with pytest.raises(UserError, match="Renamed: speed and rate are names of the same key"):
        config.from_json(Renamed, {pair.partition("=")[0]: 2.0 for pair in pairs})


def test_the_old_name_of_a_key_is_no_field_and_can_be_refused():
    assert {"speed", "RENAMED"}.isdisjoint(config.field_types(Renamed))
    with pytest.raises(UserError, match="--set=speed=2: no key is called 'speed'; it is now rate"):
        config.parse_pairs(Renamed, ["speed=2"], accept_renamed=False)
    with pytest.raises(UserError, match="no key is called 'RENAMED'"):
        config.override(Renamed(), ["RENAMED=2"])


RENAMED_KEYS = [  # of every plugin: the class whose table it is, the plugin's configuration, old and new name
    (table, plugins.load(name).Config, old, new)
    for name in plugins.BUILT_IN
    for table in plugins.load(name).Config.__mro__
    for old, new in vars(table).get("RENAMED", {}).items()
]


def another_value(cls, key):
    """Text of a value of a key that is not its default."""
    default, kind = getattr(cls(), key), config.field_types(cls)[key]
    if typing.get_origin(kind) is typing.Literal:
        return next(choice for choice in typing.get_args(kind) if choice != default)
    if kind is bool:
        return json.dumps(not default)
    if kind is int:
        return str(default - 2 if default > 2 else default - 1 if default > 1 else default + 1)  # even remains even
    return "other" if kind is str else "0.5"


def test_the_renamed_keys_are_those_of_version_0_1():
    names = (
        "accumulate rate rate_g rate_d critic_channels critics adversary r1_every generator_halvings halvings effort"
    )
    names += " missing second patches recolour matching coded"
    assert {old for _, _, old, _ in RENAMED_KEYS} == set(names.split())


@pytest.mark.parametrize(
    ("table", "cls", "old", "new"),
    [pytest.param(*row, id=f"{row[1].__module__}.{row[1].__name__}-{row[2]}") for row in RENAMED_KEYS],
)
def test_every_renamed_key_of_a_plugin_sets_the_current_key(table, cls, old, new, capsys):
    fields = {field.name for field in dataclasses.fields(table)}
    assert new in fields and old not in fields | {field.name for field in dataclasses.fields(cls)}
    value = another_value(cls, new)
    expected = config.override(cls(), [f"{new}={value}"])
    assert expected != cls() and capsys.readouterr().err == ""
    assert config.override(cls(), [f"{old}={value}"]) == expected
    assert capsys.readouterr().err == f"warning: --set={old} is now {new}; the old name works in this release only\n"
    stored = config.to_json(expected)
    stored[old] = stored.pop(new)
    assert config.from_json(cls, stored) == expected and capsys.readouterr().err == ""


@laws
@given(SETTINGS, SETTINGS)
def test_differences_name_the_keys_that_differ_and_no_others(old, new):
    was, now = config.to_json(old), config.to_json(new)
    said = [line.partition(": ")[0] for line in config.differences({"config": was}, {"config": now})]
    assert said == sorted(f"config.{key}" for key in was if was[key] != now[key])


def test_a_key_that_came_or_went_is_a_difference():
    assert config.differences({"old": 1}, {"new": {"er": 2}}) == ["new: None -> {'er': 2}", "old: 1 -> None"]


@pytest.mark.parametrize(("name", "hint"), [("smal", "did you mean small"), ("zzz", "there are: full, small")])
def test_an_unknown_preset_is_answered_with_the_nearest(name, hint):
    with pytest.raises(ValueError, match=f"--preset={name}; {hint}"):
        config.preset(plugins.load("ae"), name, "audio")


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        (ImageSpec(), "photograph"),
        (ImageSpec(height=48, width=128), "photograph"),
        (ImageSpec(height=44, width=128), "image"),
        (ImageSpec(channels=1), "image"),
        (AudioSpec(), "audio"),
    ],
)
def test_large_images_in_colour_have_the_presets_of_photographs(features, kind):
    spec = Spec(features, (), {})
    assert spec.preset_kind == kind
    on_features = config.preset(plugins.load("cut"), "small", kind).discriminator_features != "none"
    assert on_features == (kind == "photograph")
    config.preset(plugins.load("ae"), "small", kind)  # which has none for photographs


def test_a_preset_for_photographs_is_refused_for_speech():
    assert config.preset(plugins.load("cut"), "medium", "photograph").channels == 64
    with pytest.raises(ValueError, match="--preset=medium is for photograph only, and these records hold audio"):
        config.preset(plugins.load("cut"), "medium", "audio")


@pytest.mark.parametrize("penalty", ["r1", "gradient_penalty"])
@pytest.mark.parametrize("plugin", ["cut", "cyclegan"])
def test_penalties_are_refused_for_discriminators_on_pretrained_features(plugin, penalty):
    photographs = config.preset(plugins.load(plugin), "small", "photograph")
    message = f"{penalty}=1.0 with discriminator_features=efficientnet_lite0; wanted r1=0 and gradient_penalty=0, or"
    with pytest.raises(UserError, match=f"^{message}"):
        config.override(photographs, [f"{penalty}=1"])
    assert "for discriminator_features=none only" in config_fields.help_texts(type(photographs))[penalty]


@pytest.mark.parametrize(
    ("features", "shape", "lags"),
    [(AudioSpec.at(8000, n_mels=20), (50, 20), stats.LAGS), (ImageSpec(height=8, width=8), (8, 8, 3), 0)],
    ids=["audio", "image"],
)
def test_front_end_and_statistics_survive_their_json(rng, features, shape, lags):
    moments = {name: stats.Moments.of(rng.normal(size=shape), lags=lags) for name in ("a", "b")}
    pitch = {name: stats.Moments.of(rng.normal(5, 0.2, size=(40, 1))) for name in ("a", "b")}
    written = json.loads(json.dumps(config.spec_to_json(Spec(features, ("a", "b"), moments, pitch))))
    again = config.spec_from_json(written)
    assert (again.features, again.domains) == (features, ("a", "b"))
    for name in again.domains:
        np.testing.assert_allclose(again.moments[name].covariance(lags), moments[name].covariance(lags), atol=1e-6)
        np.testing.assert_allclose(again.pitch[name].std, pitch[name].std, rtol=1e-3)
    packed = [field.name for field in dataclasses.fields(stats.Moments)]
    for name, row in config.spec_to_json(again)["domains"].items():
        assert [row[key] for key in packed] == [written["domains"][name][key] for key in packed]
    del written["pitch"]  # as it is written where pitch was not tracked
    assert config.spec_from_json(written).pitch == {}


def test_a_choice_is_one_of_its_names():
    config_class = base.Config
    assert config.override(config_class(), ["decay=cosine"]).decay == "cosine"
    with pytest.raises(ValueError, match="decay='cosin'; did you mean cosine"):
        config.override(config_class(), ["decay=cosin"])
    assert config.type_name(config.field_types(config_class)["decay"]) == "linear | cosine | constant"


@pytest.mark.parametrize("pair", ["accumulation_steps=0", "ema=1", "clip_norm=-1", "batch_size=0", "warmup_steps=-1"])
def test_numbers_that_make_no_sense_are_refused(pair):
    with pytest.raises(ValueError, match=pair.partition("=")[0]):
        config.override(base.Config(), [pair])


def test_another_front_end_is_refused_and_what_is_different_said():
    with pytest.raises(ValueError, match=r"vocoder:run: the run has another front end .* n_mels: 32 -> 40$"):
        config.check_same_front_end("--inverter=vocoder:run", SMALL, dataclasses.replace(SMALL, n_mels=40))
