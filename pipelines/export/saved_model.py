"""The self-contained SavedModel of a run: signatures, front end and inversion, statistics, configuration."""

from __future__ import annotations

import functools
import json
import posixpath
from collections.abc import Callable

import tensorflow as tf

from models.errors import UserError
from models.vocoders import universal
from pipelines import config, files, run_directory
from pipelines.export import model_card, waveform_signatures
from plugins import base


class ExportModule(tf.Module):
    """The module to save: the plugin's signatures, the front end and inversion around them, the configuration."""

    def __init__(self, plugin: base.Plugin, run: run_directory.Run):
        super().__init__(name="crossfade")
        self.spec, self.context, self.functions = plugin.spec, plugin.context, plugin.signatures()
        # TensorFlow saves the variables under the names of these attributes.
        self.kept = [v.value for network in plugin.networks() for v in network.variables]
        self.vocoder = universal.find(plugin.spec.features) if plugin.spec.kind == "audio" else None
        self.vocoder_weights = [v.value for v in self.vocoder.network.variables] if self.vocoder else []
        self.statistics = plugin.statistics()
        self.averages = [o.average for o in plugin.optimizers() if o.average is not None]
        description = {"run": config.to_json(run), "spec": config.spec_to_json(plugin.spec), "context": plugin.context}
        description["any_source"] = plugin.ANY_SOURCE
        description["inverter"] = self.vocoder.name_and_hash if self.vocoder else "griffin_lim"
        self.description = json.dumps(description)

    @tf.function(input_signature=[], autograph=False)
    def describe(self):
        """Return configuration, front end and statistics as JSON."""
        return {"json": tf.constant(self.description)}

    def signatures(self) -> dict[str, Callable]:
        """Return all signatures by name; for speech with ``NAME_waveform`` beside each translation.

        Raises:
          UserError: the plugin has a signature of an unknown name.
        """
        functions = {"describe": self.describe, **self.functions}
        unknown = sorted(set(functions) - {*base.SIGNATURES, "describe"})
        if unknown:
            raise UserError(f"plugin has the signature {unknown[0]!r}; {config.suggest(unknown[0], base.SIGNATURES)}")
        if self.spec.kind != "audio":
            return functions
        spec, context = self.spec.features, self.context
        return functions | waveform_signatures.build_waveform_signatures(functions, spec, context, self.vocoder)


def write(plugin: base.Plugin, run: run_directory.Run, run_dir: str) -> str:
    """Write ``RUN/export`` atomically, and in it ``encoded_audio``, whose signatures read and write whole audio files.

    ``encoded_audio`` is a SavedModel of its own because it needs tensorflow-io to decode audio, and does not load
    without it. An interrupted export is cleaned up or completed, see `files.replace_folder`.

    Args:
      plugin: the trained plugin, in single precision.
      run: its run.
      run_dir: the run directory.

    Returns:
      The path of the export.

    Raises:
      OSError: it could not be written; the earlier export stays.
    """
    target = posixpath.join(run_dir, "export")
    module = ExportModule(plugin, run)
    functions = module.signatures()
    encoded = waveform_signatures.build_encoded_audio_signatures(functions, plugin.spec.features)
    card = model_card.render_card(config.to_json(run), plugin.spec, functions)
    with files.replace_folder(target) as fresh:
        files.write(posixpath.join(fresh, model_card.FILE_NAME), card.encode())
        tf.saved_model.save(module, fresh, signatures=_concrete_functions(functions))
        if encoded:
            tf.saved_model.save(module, posixpath.join(fresh, "encoded_audio"), signatures=_concrete_functions(encoded))
    return target


def _concrete_functions(functions: dict[str, Callable]) -> dict:
    """Return concrete functions with dicts as outputs, as SavedModel signatures require."""
    return {name: _with_named_output(name, fn).get_concrete_function() for name, fn in functions.items()}


def _with_named_output(name: str, fn):
    names = {"encode": "code", "log_variance": "log_variance", "negative_elbo": "nats", "classify": "logits"}
    output_name = {**names, "vocode": "waveform"}.get(name, "features")

    @tf.function(input_signature=fn.input_signature, autograph=False)
    @functools.wraps(fn.python_function)
    def wrapped(*arguments):
        output = fn(*arguments)
        return output if isinstance(output, dict) else {output_name: output}

    return wrapped
