"""Configurations: frozen dataclasses to JSON and back, `--set=KEY=VALUE`, differences, descriptions."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import itertools
import json
import math
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from models import config_fields
from models.errors import UserError
from models.features.audio import AudioSpec
from models.features.image import ImageSpec
from models.features.spec import Spec
from models.features.stats import Moments

if TYPE_CHECKING:
    from plugins import base

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
KINDS = {"audio": AudioSpec, "image": ImageSpec}
POINTS = tuple[tuple[float, float], ...]
SCHEDULE = float | POINTS  # as `models.schedules`, which needs TensorFlow


def overridden(config, pairs: Iterable[str]):
    """A configuration with ``KEY=VALUE`` pairs applied.

    Args:
      config: a frozen dataclass instance.
      pairs: such as ``["cycle=5", "identity=[[0, 5], [1000, 0]]"]``.

    Raises:
      UserError: not a pair, an unknown key (the nearest is named), or a value of the wrong type.

    >>> overridden(ImageSpec(), ["height=32"]).height
    32
    """
    values = parsed(type(config), pairs)
    with _refused(", ".join(f"{key}={value}" for key, value in values.items())):
        return dataclasses.replace(config, **values)


@contextlib.contextmanager
def _refused(what: str) -> Iterator[None]:
    """Turns the ValueError by which a configuration class refuses a value into the user's error."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{what}: {error}") from None


def parsed(cls: type, pairs: Iterable[str]) -> dict:
    """``KEY=VALUE`` pairs as a dict of typed values of the dataclass `cls`; errors as :func:`overridden`."""
    types = typing.get_type_hints(cls)
    values = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set={pair}; wanted KEY=VALUE")
        if key not in types:
            raise UserError(f"--set={pair}: no key is called {key!r}; {nearest(key, types)}")
        values[key] = _value(key, types[key], text)
    return values


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint: the name most like the one given, or all of them.

    >>> nearest("cylce", ["cycle", "seed"])
    'did you mean cycle?'
    """
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"


def _value(key: str, kind: type, text: str):
    return _checked(key, kind, text if kind is str else _read(text))


def _read(text: str):
    """JSON, numbers such as .5, True and False as Python spells them; else the text itself."""
    for read in (json.loads, float):
        with contextlib.suppress(ValueError):
            return read(text)
    return {"True": True, "False": False}.get(text, text)


def _checked(key: str, kind: type, value):
    """The value if it is of that type; JSON lists become tuples, whole numbers floats."""
    if kind == SCHEDULE:
        kind = POINTS if isinstance(value, (list, tuple)) else float
    if kind == POINTS:
        pairs = value if isinstance(value, (list, tuple)) else ()
        if pairs and all(isinstance(p, (list, tuple)) and len(p) == 2 and all(map(_is_number, p)) for p in pairs):
            points = tuple((float(step), float(number)) for step, number in pairs)
            if all(before < after for (before, _), (after, _) in itertools.pairwise(points)):
                return points
        raise UserError(f"{key}={value!r}; wanted a number or [[step, value], ...] with rising steps")
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if value in choices:
            return value
        raise UserError(f"{key}={value!r}; {nearest(str(value), choices)}")
    if kind is float and _is_number(value):
        return float(value)
    if type(value) is kind and kind is not float:
        return value
    raise UserError(f"{key}={value!r}; wanted {_type_name(kind)}")


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _type_name(kind: type) -> str:
    if kind == SCHEDULE:
        return "float or schedule"
    if typing.get_origin(kind) is typing.Literal:
        return " | ".join(typing.get_args(kind))
    return {"int": "a whole number", "bool": "true or false"}.get(kind.__name__, kind.__name__)


def to_json(config) -> dict:
    """A dataclass instance as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(cls: type, fields: Mapping):
    """The inverse of :func:`to_json`.

    Raises:
      UserError: an unknown key or a value of the wrong type.
    """
    types = typing.get_type_hints(cls)
    for key in fields:
        if key not in types:
            raise UserError(f"{cls.__name__} has no key {key!r}; {nearest(key, types)}")
    values = {key: _checked(key, types[key], value) for key, value in fields.items()}
    with _refused(cls.__name__):
        return cls(**values)


def spec_to_json(spec: Spec) -> dict:
    """The front end, domains and statistics, as `statistics.json` and the SavedModel hold them."""
    return {
        "kind": spec.kind,
        "features": to_json(spec.features),
        "domains": {name: spec.moments[name].to_json() for name in spec.domains},
        "overall": spec.overall.to_json(),
        **({"pitch": {name: spec.pitch[name].to_json() for name in spec.domains}} if spec.pitch else {}),
    }


def spec_from_json(fields: Mapping) -> Spec:
    """The inverse of :func:`spec_to_json`."""
    domains, voices = fields["domains"], fields.get("pitch", {})
    moments, pitch = ({name: Moments.from_json(v) for name, v in part.items()} for part in (domains, voices))
    return Spec(from_json(KINDS[fields["kind"]], fields["features"]), tuple(moments), moments, pitch)


def preset(plugin: type[base.Plugin], name: str, kind: str):
    """The plugin's configuration under a preset, for speech ("audio") or pictures ("image").

    Raises:
      UserError: the plugin has no such preset.
    """
    if name not in plugin.PRESETS:
        raise UserError(f"--preset={name}; {nearest(name, plugin.PRESETS)}")
    return plugin.Config(**plugin.PRESETS[name].get(kind, {}))


def describe(cls: type) -> list[tuple[str, str, str, str]]:
    """Return key, type, default and help text of every field; the text is empty for fields that carry none."""
    types, texts = typing.get_type_hints(cls), config_fields.help_texts(cls)
    return [
        (f.name, _type_name(types[f.name]), str(f.default) or "none", texts.get(f.name, ""))
        for f in dataclasses.fields(cls)
    ]


def same_front_end(what: str, theirs: AudioSpec | ImageSpec, wanted: AudioSpec | ImageSpec) -> None:
    """Refuses a run whose front end is not the one wanted.

    Args:
      what: how the run was asked for, such as ``--inverter=vocoder:run``.
      theirs: that run's front end.
      wanted: the other.

    Raises:
      UserError: they differ, and in what.
    """
    if apart := differences(dataclasses.asdict(theirs), dataclasses.asdict(wanted)):
        raise UserError(f"{what}: that run has another front end; from its own to the one wanted, {', '.join(apart)}")


def differences(old: Mapping, new: Mapping, prefix: str = "") -> list[str]:
    """What changed between two JSON objects, as ``key: old -> new`` lines.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b: 1 -> 2']
    """
    lines = []
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            lines += differences(was, now, f"{prefix}{key}.")
        elif was != now:
            lines.append(f"{prefix}{key}: {was} -> {now}")
    return lines
