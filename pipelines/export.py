"""The SavedModel that needs nothing else: signatures, front end and inversion, statistics and configuration."""

from __future__ import annotations

import functools
import json
import posixpath
from collections.abc import Callable, Mapping

import tensorflow as tf

from models import spectral
from models.features.audio import AudioSpec
from pipelines import checkpoint, config
from plugins import base

OF_MELS = ("reconstruct", *base.TRANSLATIONS)  # speech in, speech out


class Exported(tf.Module):
    """What is saved: the plugin's signatures, the front end and inversion around them, the configuration."""

    def __init__(self, plugin: base.Plugin, run: checkpoint.Run):
        super().__init__(name="crossfade")
        self.spec, self.context, self.made = plugin.spec, plugin.context, plugin.signatures()
        self.kept = [v.value for network in plugin.networks() for v in network.variables]
        self.averages = [player.average for player in plugin.players() if player.average is not None]
        facts = {"run": config.to_json(run), "spec": config.spec_to_json(plugin.spec), "context": plugin.context}
        self.facts = json.dumps(facts)

    @tf.function(input_signature=[], autograph=False)
    def describe(self):
        """Configuration, front end and statistics as JSON."""
        return {"json": tf.constant(self.facts)}

    def signatures(self) -> dict[str, Callable]:
        """All signatures by name; for speech, ``waveform_NAME`` beside each translation."""
        made = {"describe": self.describe, **self.made}
        strange = sorted(set(made) - {*base.SIGNATURES, "describe"})
        if strange:
            raise ValueError(f"plugin has the signature {strange[0]!r}; {config.nearest(strange[0], base.SIGNATURES)}")
        return made | (around(made, self.spec.features, self.context) if self.spec.kind == "audio" else {})


def around(made: Mapping[str, Callable], spec: AudioSpec, context: int) -> dict[str, Callable]:
    """Front end and inversion, and with these around what takes and gives log-mels, ``waveform_NAME``."""
    forward, back = analyse(spec), invert(spec)
    waveforms = {f"waveform_{n}": waveform(made[n], forward, back, spec, context) for n in OF_MELS if n in made}
    return {"analyse": forward, "invert": back, "invert_from_phase": invert_from_phase(spec), **waveforms}


def analyse(spec) -> Callable:
    """Waveforms to log-mels, each at the level the model was trained at, and the gain that took."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "waveform")], autograph=False)
    def fn(waveform):
        gain = spectral.level_gain(waveform, spec)
        return {"features": spectral.log_mel(waveform * gain, spec), "gain": gain}

    return fn


def invert(spec) -> Callable:
    """Log-mels to waveforms `[batch, (frames - 1) * hop_length]` by fast Griffin-Lim."""
    signature = [
        tf.TensorSpec([None, None, spec.n_mels], tf.float32, "features"),
        tf.TensorSpec([], tf.int32, "first_frame"),
    ]

    @tf.function(input_signature=signature, autograph=False)
    def fn(features, first_frame):
        magnitude = spectral.mel_to_magnitude(features, spec)
        return {"waveform": spectral.griffin_lim(magnitude, spec, first_frame=first_frame)}

    return fn


def invert_from_phase(spec) -> Callable:
    """The same, beginning at given phases `[batch, frames, n_fft // 2 + 1]` in radians."""
    bins = spec.n_fft // 2 + 1
    signature = [
        tf.TensorSpec([None, None, spec.n_mels], tf.float32, "features"),
        tf.TensorSpec([None, None, bins], tf.float32, "phase"),
    ]

    @tf.function(input_signature=signature, autograph=False)
    def fn(features, phase):
        return {"waveform": spectral.griffin_lim(spectral.mel_to_magnitude(features, spec), spec, phase=phase)}

    return fn


def waveform(translate: Callable, forward: Callable, back: Callable, spec, context: int) -> Callable:
    """Waveforms `[batch, samples]` at the spec's rate to waveforms of the same length and level.

    The model sees `context` frames of silence beyond either end, as in the conversion of files.

    Args:
      translate: log-mels to log-mels.
      forward: from :func:`analyse`.
      back: from :func:`invert`.
      spec: the front end.
      context: frames that the model sees to either side.
    """
    others = translate.input_signature[1:]  # such as the domains' numbers

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "waveform"), *others], autograph=False)
    def fn(waveform, *others):
        samples = tf.shape(waveform)[1]
        analysed = forward(waveform)
        beyond = [[0, 0], [context, context + 1], [0, 0]]  # and one more to be inverted to the last sample
        padded = tf.pad(analysed["features"], beyond, constant_values=spec.log_floor)
        translated = translate(padded, *others)
        inside = translated[:, context : tf.shape(translated)[1] - context]
        made = back(inside, 0)["waveform"][:, :samples]
        wanted, found = spectral.active_power(waveform, spec), spectral.active_power(made, spec)
        peak = tf.reduce_max(tf.abs(made), axis=1, keepdims=True)
        factor = tf.minimum(tf.sqrt(wanted / tf.maximum(found, 1e-20)), 1 / tf.maximum(peak, 1e-9))
        heard = tf.reduce_any(waveform != 0, axis=1, keepdims=True)
        return {"waveform": tf.where(heard, made * factor, 0.0)}

    return fn


def write(plugin: base.Plugin, run: checkpoint.Run, run_dir: str) -> str:
    """Writes ``RUN/export``, whole or not at all.

    Returns:
      Its path.
    """
    target = posixpath.join(run_dir, "export")
    module = Exported(plugin, run)
    tf.saved_model.save(module, f"{target}.part", signatures=_named(module.signatures()))
    if tf.io.gfile.exists(target):
        tf.io.gfile.rmtree(target)
    tf.io.gfile.rename(f"{target}.part", target)
    return target


def _named(signatures: dict[str, Callable]) -> dict:
    """Concrete functions that return dicts, as SavedModel signatures must."""
    return {name: _as_dict(name, fn).get_concrete_function() for name, fn in signatures.items()}


def _as_dict(name: str, fn):
    others = {"encode": "code", "log_variance": "log_variance", "negative_elbo": "nats", "classify": "logits"}
    output = {**others, "vocode": "waveform"}.get(name, "features")

    @tf.function(input_signature=fn.input_signature, autograph=False)
    @functools.wraps(fn.python_function)
    def wrapped(*arguments):
        outcome = fn(*arguments)
        return outcome if isinstance(outcome, dict) else {output: outcome}

    return wrapped
