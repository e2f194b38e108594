"""Help texts of configuration keys, with the values of a preset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import plugins
from models import config_fields
from pipelines import config

if TYPE_CHECKING:
    from plugins import base

KIND_NAMES = {"audio": "speech", "image": "images", "photograph": "photographs"}


def list_keys(name: str, preset: str) -> str:
    """Return every key of a plugin's configuration with its type, its values in a preset and its help text.

    Args:
      name: of the plugin.
      preset: name of a preset.

    Raises:
      UserError: there is no such plugin, or it has no such preset.
    """
    plugin = plugins.load(name)
    rows = describe(plugin.Config, preset_configs(plugin, preset))
    lines = [f"  {key} ({kind}) [{values}]\n      {text}" for key, kind, values, text in rows]
    others = ", ".join(f"--preset={other}" for other in plugin.PRESETS if other != preset)
    heading = f"Keys of {name}, for --set=KEY=VALUE, with their values in --preset={preset} (also: {others}):"
    return "\n\n".join([heading, "\n".join(lines)])


def preset_configs(plugin: type[base.Plugin], name: str) -> dict[str, base.Config]:
    """Return the plugin's configurations of a preset by kind: "audio", "image", and "photograph" where it differs.

    Raises:
      UserError: the plugin has no such preset.
    """
    universal = plugin.KINDS if name in config.UNIVERSAL_PRESETS else ()
    kinds = [*universal, *plugin.PRESETS.get(name, ())] or plugin.KINDS
    return {kind: config.preset(plugin, name, kind) for kind in dict.fromkeys(kinds)}


def describe(cls: type, configs: Mapping[str, object] | None = None) -> list[tuple[str, str, str, str]]:
    """Return key, type, values and help text of every field; the text is empty for fields that carry none.

    Args:
      cls: a configuration class.
      configs: configurations of this class by kind, whose values are returned; by default the defaults of the class.
    """
    types, texts = config.field_types(cls), config_fields.help_texts(cls)
    configs = configs or {"": cls()}
    return [
        (
            key,
            config.type_name(kind),
            _format_values({k: getattr(c, key) for k, c in configs.items()}),
            texts.get(key, ""),
        )
        for key, kind in types.items()
    ]


def _format_values(values: Mapping[str, object]) -> str:
    """Format the values of a key by kind: one value, or each with its kind.

    >>> _format_values({"audio": 3, "image": 3}), _format_values({"audio": "", "image": ((0, 1.5),)})
    ('3', 'speech: none, images: [[0, 1.5]]')
    """
    texts = {kind: _format_value(value) for kind, value in values.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{KIND_NAMES[kind]}: {text}" for kind, text in texts.items())


def _format_value(value) -> str:
    return json.dumps(value) if isinstance(value, tuple) else str(value) or "none"
