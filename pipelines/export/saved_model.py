"""The SavedModel that needs nothing else: signatures, front end and inversion, statistics and configuration."""

from __future__ import annotations

import functools
import json
import posixpath
from collections.abc import Callable

import tensorflow as tf

from models.errors import UserError
from pipelines import config, files, run_directory
from pipelines.export import waveform_signatures
from plugins import base


class ExportModule(tf.Module):
    """What is saved: the plugin's signatures, the front end and inversion around them, the configuration."""

    def __init__(self, plugin: base.Plugin, run: run_directory.Run):
        super().__init__(name="crossfade")
        self.spec, self.context, self.functions = plugin.spec, plugin.context, plugin.signatures()
        self.kept = [v.value for network in plugin.networks() for v in network.variables]
        self.averages = [player.average for player in plugin.players() if player.average is not None]
        facts = {"run": config.to_json(run), "spec": config.spec_to_json(plugin.spec), "context": plugin.context}
        self.facts = json.dumps(facts)

    @tf.function(input_signature=[], autograph=False)
    def describe(self):
        """Configuration, front end and statistics as JSON."""
        return {"json": tf.constant(self.facts)}

    def signatures(self) -> dict[str, Callable]:
        """All signatures by name; for speech, ``NAME_waveform`` beside each translation."""
        functions = {"describe": self.describe, **self.functions}
        strange = sorted(set(functions) - {*base.SIGNATURES, "describe"})
        if strange:
            raise UserError(f"plugin has the signature {strange[0]!r}; {config.suggest(strange[0], base.SIGNATURES)}")
        return functions | (
            waveform_signatures.waveform_signatures(functions, self.spec.features, self.context)
            if self.spec.kind == "audio"
            else {}
        )


def write(plugin: base.Plugin, run: run_directory.Run, run_dir: str) -> str:
    """Writes ``RUN/export``, whole or not at all; in it ``encoded_audio``, which takes and gives whole files.

    The second stands apart because it decodes by operations of tensorflow-io, without which it does not load. What an
    export that was cut off left is taken away or brought to its end, see `files.replace_folder`.

    Returns:
      Its path.

    Raises:
      OSError: it could not be written; the earlier one stays.
    """
    target = posixpath.join(run_dir, "export")
    module = ExportModule(plugin, run)
    functions = module.signatures()
    encoded = waveform_signatures.encoded_audio_signatures(functions, plugin.spec.features)
    with files.replace_folder(target) as fresh:
        tf.saved_model.save(module, fresh, signatures=_concrete_functions(functions))
        if encoded:
            tf.saved_model.save(module, posixpath.join(fresh, "encoded_audio"), signatures=_concrete_functions(encoded))
    return target


def _concrete_functions(functions: dict[str, Callable]) -> dict:
    """Concrete functions that return dicts, as SavedModel signatures must."""
    return {name: _with_named_output(name, fn).get_concrete_function() for name, fn in functions.items()}


def _with_named_output(name: str, fn):
    others = {"encode": "code", "log_variance": "log_variance", "negative_elbo": "nats", "classify": "logits"}
    output = {**others, "vocode": "waveform"}.get(name, "features")

    @tf.function(input_signature=fn.input_signature, autograph=False)
    @functools.wraps(fn.python_function)
    def wrapped(*arguments):
        outcome = fn(*arguments)
        return outcome if isinstance(outcome, dict) else {output: outcome}

    return wrapped
