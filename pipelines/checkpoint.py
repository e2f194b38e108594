"""The run directory: configuration, checkpoints, and the SavedModel that needs nothing else.

``RUN/config.json`` is the whole configuration, ``RUN/checkpoints`` holds the last few complete
states, ``RUN/export`` the SavedModel with front end and statistics inside.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import posixpath
from collections.abc import Callable, Mapping

import tensorflow as tf

import plugins
from models import spectral
from models.features.spec import Spec
from pipelines import config
from plugins import base

KEPT = 3
SPECTROGRAM_SIGNATURES = ("reconstruct", *base.TRANSLATIONS)  # speech in, speech out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run is: the content of `config.json`.

    Attributes:
      plugin: its name.
      preset: "small" or "full".
      config: the plugin's configuration.
      data_dir: the records it is trained on.
      spec: kind, front end and domains of these records.
      strategy: how it is distributed.
      versions: of the packages that wrote it; may differ when it goes on.
    """

    plugin: str
    preset: str
    config: Mapping
    data_dir: str
    spec: Mapping
    strategy: str = "auto"
    versions: Mapping = dataclasses.field(default_factory=dict)


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a run computes."""
    return {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy", "librosa")}


def describe_spec(spec: Spec) -> dict:
    """Kind, front end and domains: what must be the same for a run to go on."""
    return {"kind": spec.kind, "features": config.to_json(spec.features), "domains": list(spec.domains)}


def write_run(run_dir: str, run: Run) -> None:
    """Writes `config.json`, whole or not at all."""
    path = posixpath.join(run_dir, "config.json")
    tf.io.gfile.makedirs(run_dir)
    with tf.io.gfile.GFile(f"{path}.part", "w") as file:
        file.write(json.dumps(config.to_json(run), indent=2) + "\n")
    tf.io.gfile.rename(f"{path}.part", path, overwrite=True)


def read_run(run_dir: str) -> Run | None:
    """The run of a directory; None where there is none.

    Raises:
      ValueError: `config.json` is there and is not one.
    """
    path = posixpath.join(run_dir, "config.json")
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        try:
            return Run(**json.load(file))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path} is not a run's configuration: {error}") from None


def continued(run_dir: str, run: Run) -> Run:
    """The run to go on with: the one that is there, if it is the same; else the new one.

    More or fewer steps may be asked for, and packages may have changed; nothing else.

    Raises:
      ValueError: the directory holds another run; says what differs.
    """
    old = read_run(run_dir)
    if old is None:
        return run
    fixed = [{k: v for k, v in config.to_json(r).items() if k not in ("versions", "strategy")} for r in (old, run)]
    for each in fixed:
        each["config"] = {k: v for k, v in each["config"].items() if k != "steps"}
    changed = config.differences(*fixed)
    if changed:
        raise ValueError(f"{run_dir} holds another run ({'; '.join(changed)}); take another --run_dir")
    return run


def build_plugin(run: Run, spec: Spec) -> base.Plugin:
    """The plugin of a run, with fresh weights; call it under the strategy's scope."""
    plugin_class = plugins.load(run.plugin)
    return plugin_class(config.from_json(plugin_class.Config, run.config), spec)


class Keeper:
    """Saves and restores all that training goes on from: the plugin and the step.

    Args:
      run_dir: the run.
      plugin: its variables are saved, those of its optimisers and pools among them.
    """

    def __init__(self, run_dir: str, plugin: base.Plugin):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.checkpoint = tf.train.Checkpoint(plugin=plugin, step=self.step)
        folder = posixpath.join(run_dir, "checkpoints")
        self.manager = tf.train.CheckpointManager(self.checkpoint, folder, max_to_keep=KEPT)

    def save(self, step: int) -> None:
        """Writes a checkpoint; one that is cut off is never taken for complete."""
        self.step.assign(step)
        self.manager.save(checkpoint_number=step)

    def restore(self) -> int:
        """Restores the newest complete checkpoint; the step it was saved at, 0 if there is none."""
        newest = self.manager.latest_checkpoint
        if newest:
            self.checkpoint.restore(newest).assert_existing_objects_matched()
        return int(self.step.numpy())


# ------------------------------------------------------------------ the SavedModel


class Exported(tf.Module):
    """What is saved: the plugin's signatures, the front end and inversion around them, the configuration."""

    def __init__(self, plugin: base.Plugin, run: Run):
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
        if self.spec.kind == "audio":
            spec = self.spec.features
            made |= {"analyse": analyse(spec), "invert": invert(spec), "invert_from_phase": invert_from_phase(spec)}
            for name in SPECTROGRAM_SIGNATURES:
                if name in made:
                    made[f"waveform_{name}"] = waveform(made[name], made["analyse"], made["invert"], spec, self.context)
        return made


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


def export(plugin: base.Plugin, run: Run, run_dir: str) -> str:
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
    output = {"encode": "code", "vocode": "waveform"}.get(name, "features")

    @tf.function(input_signature=fn.input_signature, autograph=False)
    @functools.wraps(fn.python_function)
    def wrapped(*arguments):
        outcome = fn(*arguments)
        return outcome if isinstance(outcome, dict) else {output: outcome}

    return wrapped
