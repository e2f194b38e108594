"""Configurations: frozen dataclasses to JSON and back, ``--set=KEY=VALUE``, renamed keys, presets, differences."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import itertools
import json
import math
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

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
UNIVERSAL_PRESETS = ("small", "full")
POINTS = tuple[tuple[float, float], ...]
SCHEDULE = float | POINTS  # as `models.schedules`, which needs TensorFlow


def override(config, pairs: Iterable[str]):
    """Return a configuration with ``KEY=VALUE`` pairs applied.

    Args:
      config: a frozen dataclass instance.
      pairs: such as ``["cycle=5", "identity=[[0, 5], [1000, 0]]"]``.

    Raises:
      UserError: errors of :func:`parse_pairs`, or a value that the configuration class refuses.

    >>> override(ImageSpec(), ["height=32"]).height
    32
    """
    values = parse_pairs(type(config), pairs)
    with _as_user_error(", ".join(f"{key}={value}" for key, value in values.items())):
        return dataclasses.replace(config, **values)


@contextlib.contextmanager
def _as_user_error(subject: str) -> Iterator[None]:
    """Turn the ValueError of a configuration class into a UserError that names the subject."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{subject}: {error}") from None


def parse_pairs(cls: type, pairs: Iterable[str], *, accept_renamed: bool = True) -> dict:
    """Parse ``KEY=VALUE`` pairs into typed values of a configuration class.

    Args:
      cls: a dataclass.
      pairs: such as ``["cycle=5"]``; the last of several values of a key counts.
      accept_renamed: whether the old name of a renamed key is accepted, with a warning on stderr.

    Raises:
      UserError: not a pair, an unknown key (the closest is suggested), the old and the new name of a key
        together, or a value of the wrong type.
    """
    types, renamed = field_types(cls), renamed_keys(cls)
    values, spellings = {}, {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set={pair}; wanted KEY=VALUE")
        key = renamed.get(name, name) if accept_renamed else name
        if key not in types:
            now = f"it is now {renamed[name]}" if name in renamed else suggest(name, types)
            raise UserError(f"--set={pair}: no key is called {name!r}; {now}")
        if spellings.setdefault(key, name) != name:
            raise UserError(f"{_both_names(renamed, key)}; wanted --set={key} only")
        if name != key:
            print(
                f"warning: --set={name} is now {key}; the old name works in this release only",
                file=sys.stderr,
                flush=True,
            )
        values[key] = _coerce(key, types[key], text if types[key] is str else _parse_literal(text))
    return values


def renamed_keys(cls: type) -> dict[str, str]:
    """Return old name -> current name of the renamed keys of a configuration class.

    A class lists its renamed keys as ``RENAMED: ClassVar[Mapping[str, str]]``; subclasses inherit the lists of their
    parents. A current key is never an old name.
    """
    merged: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        merged |= vars(parent).get("RENAMED", {})
    return {old: new for old, new in merged.items() if old not in field_types(cls)}


def rename_keys(cls: type, fields: Mapping) -> dict:
    """Return the fields of a configuration, as of an older version, under their current names.

    Raises:
      UserError: the old and the new name of a key together.
    """
    renamed, current = renamed_keys(cls), {}
    for name, value in fields.items():
        key = renamed.get(name, name)
        if key in current:
            raise UserError(f"{cls.__name__}: {_both_names(renamed, key)}; wanted {key} only")
        current[key] = value
    return current


def _both_names(renamed: Mapping[str, str], key: str) -> str:
    olds = " or ".join(old for old, new in renamed.items() if new == key)
    return f"{olds} and {key} are names of the same key"


def field_types(cls: type) -> dict[str, type]:
    """Return the type of every field of a configuration class, in the order of their definition."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def suggest(name: str, names: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest known name, or all of them.

    >>> suggest("cylce", ["cycle", "seed"])
    'did you mean cycle?'
    """
    names = sorted(names)
    closest = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {closest[0]}?" if closest else f"there are: {', '.join(names)}"


def _parse_literal(text: str):
    """Parse JSON, numbers such as .5, and True and False as Python spells them; else return the text itself."""
    for parser in (json.loads, float):
        with contextlib.suppress(ValueError):
            return parser(text)
    return {"True": True, "False": False}.get(text, text)


def _coerce(key: str, kind: type, value):
    """Return the value if it has the type of its key; JSON lists become tuples, whole numbers floats."""
    if kind == SCHEDULE:
        kind = POINTS if isinstance(value, (list, tuple)) else float
    if kind == POINTS:
        return _schedule_points(key, value)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if value in choices:
            return value
        raise UserError(f"{key}={value!r}; {suggest(str(value), choices)}")
    if kind is float and _is_number(value):
        return float(value)
    if type(value) is kind and kind is not float:
        return value
    raise UserError(f"{key}={value!r}; wanted {type_name(kind)}")


def _schedule_points(key: str, value) -> tuple[tuple[float, float], ...]:
    pairs = value if isinstance(value, (list, tuple)) else ()
    if pairs and all(isinstance(p, (list, tuple)) and len(p) == 2 and all(map(_is_number, p)) for p in pairs):
        points = tuple((float(step), float(number)) for step, number in pairs)
        if all(before < after for (before, _), (after, _) in itertools.pairwise(points)):
            return points
    raise UserError(f"{key}={value!r}; wanted a number or [[step, value], ...] with rising steps")


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def type_name(kind: type) -> str:
    """Return the type of a key in the words of messages and help texts."""
    if kind == SCHEDULE:
        return "float or schedule"
    if typing.get_origin(kind) is typing.Literal:
        return " | ".join(typing.get_args(kind))
    return {"int": "a whole number", "bool": "true or false"}.get(kind.__name__, kind.__name__)


def to_json(config) -> dict:
    """Return a dataclass instance as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(cls: type, fields: Mapping):
    """Build a dataclass instance from the output of :func:`to_json`, also of a version with other key names.

    Raises:
      UserError: an unknown key, the old and the new name of a key together, or a value of the wrong type.
    """
    types, fields = field_types(cls), rename_keys(cls, fields)
    for key in fields:
        if key not in types:
            raise UserError(f"{cls.__name__} has no key {key!r}; {suggest(key, types)}")
    values = {key: _coerce(key, types[key], value) for key, value in fields.items()}
    with _as_user_error(cls.__name__):
        return cls(**values)


def spec_to_json(spec: Spec) -> dict:
    """Return the front end, domains and statistics as in `statistics.json` and in the SavedModel."""
    return {
        "kind": spec.kind,
        "features": to_json(spec.features),
        "domains": {name: spec.moments[name].to_json() for name in spec.domains},
        "overall": spec.overall.to_json(),
        **({"pitch": {name: spec.pitch[name].to_json() for name in spec.domains}} if spec.pitch else {}),
    }


def spec_from_json(fields: Mapping) -> Spec:
    """Build a Spec from the output of :func:`spec_to_json`."""
    domains, voices = fields["domains"], fields.get("pitch", {})
    moments, pitch = ({name: Moments.from_json(v) for name, v in part.items()} for part in (domains, voices))
    return Spec(from_json(KINDS[fields["kind"]], fields["features"]), tuple(moments), moments, pitch)


def preset(plugin: type[base.Plugin], name: str, kind: str):
    """Return the plugin's configuration of a preset, for speech ("audio"), images ("image") or "photograph".

    A preset without changes for photographs has those for images. Presets small and full are for every kind, others
    for the kinds that the plugin lists.

    Raises:
      UserError: the plugin has no such preset, or not for this kind.
    """
    if name not in plugin.PRESETS:
        raise UserError(f"--preset={name}; {suggest(name, plugin.PRESETS)}")
    kinds = plugin.PRESETS[name]
    if kind == "photograph" and kind not in kinds:
        kind = "image"
    if name not in UNIVERSAL_PRESETS and kind not in kinds:
        raise UserError(f"--preset={name} is for {' and '.join(kinds)} only, and these records hold {kind}")
    return plugin.Config(**kinds.get(kind, {}))


def check_same_front_end(subject: str, actual: AudioSpec | ImageSpec, expected: AudioSpec | ImageSpec) -> None:
    """Check that a run has the expected front end.

    Args:
      subject: how the run was named, such as ``--inverter=vocoder:run``.
      actual: the front end of that run.
      expected: the front end that is required.

    Raises:
      UserError: they differ; the message lists the differences.
    """
    if changed := differences(dataclasses.asdict(actual), dataclasses.asdict(expected)):
        raise UserError(f"{subject}: the run has another front end (its own -> the required one): {', '.join(changed)}")


def differences(old: Mapping, new: Mapping, prefix: str = "") -> list[str]:
    """Return the differences between two JSON objects as ``key: old -> new`` lines.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b: 1 -> 2']
    """
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before} -> {after}")
    return lines
