"""The run directory: configuration and checkpoints.

``RUN/config.json`` is the whole configuration, ``RUN/checkpoints`` holds the last few complete
states, ``RUN/best`` the one of the best validation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import json
import math
import os
import posixpath
import sys
from collections.abc import Iterator, Mapping

import keras
import librosa
import numpy as np
import tensorflow as tf

import plugins
from models.errors import UserError
from models.features.spec import Spec
from pipelines import config, files, fingerprint
from plugins import base

KEPT = 3
BOOKS = ("_self_", "_obj_")  # attributes in which TensorFlow keeps its books of the others
MAY_CHANGE = ("versions", "strategy", "jit_compile", "records")  # when a run goes on; of records see `fingerprint`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run is: the content of `config.json`.

    Attributes:
      plugin: its name.
      preset: "small" or "full".
      config: the plugin's configuration.
      data_dir: the records it is trained on.
      spec: kind, front end and domains of these records.
      precision: what networks compute in; weights are float32 in any case.
      strategy: how it is distributed; may differ when it goes on.
      jit_compile: whether XLA compiles the training step; may differ when it goes on.
      warm_start: the run whose networks it began with.
      sample_weights: file and hash of the weights that its records are drawn by; nothing for all alike.
      versions: of the packages that wrote it; may differ when it goes on.
      records: fingerprint of the records, see `pipelines.fingerprint`; nothing in runs written before there was one.
    """

    plugin: str
    preset: str
    config: Mapping
    data_dir: str
    spec: Mapping
    precision: str = "float32"
    strategy: str = "auto"
    jit_compile: bool = False
    warm_start: str = ""
    sample_weights: Mapping = dataclasses.field(default_factory=dict)
    versions: Mapping = dataclasses.field(default_factory=dict)
    records: Mapping = dataclasses.field(default_factory=dict)


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a run computes; TensorFlow's comes in several distributions."""
    return {module.__name__: module.__version__ for module in (tf, keras, np, librosa)}


def describe_spec(spec: Spec) -> dict:
    """Kind, front end and domains: what must be the same for a run to go on."""
    return {"kind": spec.kind, "features": config.to_json(spec.features), "domains": list(spec.domains)}


def write_run(run_dir: str, run: Run) -> None:
    """Writes `config.json`, whole or not at all."""
    files.write(posixpath.join(run_dir, "config.json"), (json.dumps(config.to_json(run), indent=2) + "\n").encode())


def read_run(run_dir: str) -> Run | None:
    """The run of a directory; None where there is none.

    Raises:
      UserError: `config.json` is there and is not one.
    """
    path = posixpath.join(run_dir, "config.json")
    if not tf.io.gfile.exists(path):
        return None
    try:
        return Run(**json.loads(files.read(path)))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not a run's configuration: {error}") from None


def continued(run_dir: str, run: Run) -> Run:
    """The run to go on with: the new one, if none is there or it is the same.

    More or fewer steps may be asked for, and packages may have changed; nothing else, the records neither. What the
    run that is there began with need not be said again. One that was refused before its first checkpoint is none.

    Raises:
      UserError: the directory holds another run, and what differs; or folders of a run that no run is known of.
    """
    old = read_run(run_dir)
    if old is None:
        _refuse_foreign(run_dir)
    if old is None or not tf.train.latest_checkpoint(posixpath.join(run_dir, "checkpoints")):
        return run
    for key in ("plugin", "data_dir"):  # of which all else follows
        was, now = getattr(old, key), getattr(run, key)
        if was != now:
            raise UserError(f"{run_dir} holds another run ({key}: {was} -> {now}); take another --run_dir")
    run = dataclasses.replace(run, warm_start=run.warm_start or old.warm_start)
    fixed = [{k: v for k, v in config.to_json(r).items() if k not in MAY_CHANGE} for r in (old, run)]
    for each in fixed:
        each["config"] = {k: v for k, v in each["config"].items() if k != "steps"}
    changed = config.differences(*fixed)
    if changed:
        raise UserError(f"{run_dir} holds another run ({'; '.join(changed)}); take another --run_dir")
    if old.records and (apart := fingerprint.differences(old.records, run.records)):
        what = f"{run_dir} was trained on other records than {run.data_dir} holds now ({'; '.join(apart)})"
        raise UserError(f"{what}; take another --run_dir, or preprocess as it was then")
    return run


def _refuse_foreign(run_dir: str) -> None:
    """Refuses folders that training would replace, empty or go on with, where no `config.json` says whose they are."""
    for name in ("checkpoints", "best", "export", files.NEXT.format("export")):
        path = posixpath.join(run_dir, name)
        if tf.io.gfile.isdir(path) and tf.io.gfile.listdir(path):
            raise UserError(f"{run_dir}: {name} is there and no config.json of a run; take another --run_dir")


def build_plugin(run: Run, spec: Spec) -> base.Plugin:
    """The plugin of a run, with fresh weights; call it under the strategy's scope."""
    plugin_class = plugins.load(run.plugin)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(run.precision)
    try:
        return plugin_class(config.from_json(plugin_class.Config, run.config), spec)
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turns whatever TensorFlow's readers raise where a checkpoint is broken into an OSError of one line."""
    try:
        with files.one_line(path):
            yield
    except (IndexError, RuntimeError) as error:  # of the reader that takes single tensors
        raise OSError(f"{path}: {' '.join(str(error).split())}") from None


class Keeper:
    """Saves and restores all that training goes on from: the plugin and the step.

    Args:
      run_dir: the run.
      plugin: its variables are saved, those of its optimisers and pools among them.
      folder: below the run.
      kept: how many checkpoints stay.

    Attributes:
      step: of the last checkpoint that was saved or restored.
      value: what is saved beside it, where a checkpoint is kept for its validation.
    """

    def __init__(self, run_dir: str, plugin: base.Plugin, folder: str = "checkpoints", kept: int = KEPT):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.value = tf.Variable(math.inf, trainable=False, name="value")
        self.checkpoint = tf.train.Checkpoint(plugin=plugin, step=self.step, value=self.value)
        self.folder = posixpath.join(run_dir, folder)
        self.manager = tf.train.CheckpointManager(self.checkpoint, self.folder, max_to_keep=kept)

    def save(self, step: int) -> None:
        """Writes a checkpoint; one that is cut off is never taken for complete, and earlier ones stay.

        Raises:
          OSError: it could not be written; what there is of it is gone.
        """
        before = int(self.step.numpy())
        self.step.assign(step)
        try:
            self.manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            self.step.assign(before)
            for path in tf.io.gfile.glob(posixpath.join(glob.escape(self.folder), f"ckpt-{step}[._]*")):
                (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)
            reason = " ".join(str(getattr(error, "message", error)).split())
            raise OSError(f"{self.folder}: no checkpoint of step {step} could be written: {reason}") from None

    def restore(self) -> int:
        """Restores the newest complete checkpoint; the step it was saved at, 0 if there is none.

        Raises:
          OSError: it cannot be read.
          UserError: it is of other networks, as of another version of the plugin.
        """
        newest = tf.train.latest_checkpoint(self.folder)  # another process may have written it
        if not newest:
            return 0
        try:
            with _readable(newest):
                self.checkpoint.restore(newest).assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{newest} does not fit this plugin: {reason}; wanted the version that wrote it") from None
        return int(self.step.numpy())

    def lowest(self) -> float:
        """The value beside the newest complete checkpoint; infinity if there is none."""
        newest = tf.train.latest_checkpoint(self.folder)
        if not newest:
            return math.inf
        with _readable(newest):
            return float(tf.train.load_checkpoint(newest).get_tensor("value/.ATTRIBUTES/VARIABLE_VALUE"))


def warm_start(plugin: base.Plugin, run_dir: str) -> None:
    """Gives a plugin the networks of another run; its players begin afresh.

    Raises:
      UserError: the other run has no checkpoint, or networks of other names or sizes.
    """
    newest = tf.train.latest_checkpoint(posixpath.join(run_dir, "checkpoints"))
    if newest is None:
        raise UserError(f"{run_dir} has no checkpoint to begin with")
    try:
        with _readable(newest):
            status = tf.train.Checkpoint(plugin=_networks_in(plugin)).restore(newest)
            status.expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError) as error:
        other = read_run(run_dir)
        what = f"plugin {other.plugin}" if other else "no config.json"
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{run_dir} ({what}) has other networks than this run: {reason}") from None
    for player in plugin.players():
        player.forget()


def _networks_in(value):
    """The networks in a module, mapping or sequence, under the names that they have in checkpoints; None for none."""
    if isinstance(value, keras.Model):
        return value
    if isinstance(value, tf.Module):
        networks = _networks_of(vars(value))
        return tf.train.Checkpoint(**networks) if networks else None
    if isinstance(value, Mapping):
        return _networks_of(value) or None
    if isinstance(value, (list, tuple)):
        return _networks_of({str(n): each for n, each in enumerate(value)}) or None
    return None


def _networks_of(named: Mapping) -> dict:
    own = {name: value for name, value in named.items() if isinstance(name, str) and not name.startswith(BOOKS)}
    networks = {name: _networks_in(value) for name, value in own.items()}
    return {name: value for name, value in networks.items() if value is not None}


def in_single_precision(plugin: base.Plugin, run: Run) -> base.Plugin:
    """The plugin, or where it computes in half precision its twin that does not, with the same weights."""
    if run.precision == "float32":
        return plugin
    twin = build_plugin(dataclasses.replace(run, precision="float32"), plugin.spec)
    for old, new in zip(plugin.networks(), twin.networks(), strict=True):
        for ours, theirs in zip(new.variables, old.variables, strict=True):
            ours.assign(theirs)
    for old, new in zip(plugin.players(), twin.players(), strict=True):
        if old.average is not None:
            new.average.assign(old.average)
    return twin


@contextlib.contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Keeps other processes of this machine from training the same run.

    Raises:
      UserError: another one does.
    """
    if "://" in run_dir:  # object stores have no locks
        yield
        return
    os.makedirs(run_dir, exist_ok=True)
    with open(os.path.join(run_dir, ".lock"), "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(f"{run_dir} is being trained by process {file.read().strip()}; wait, or stop it") from None
        except OSError as error:  # of a file system without locks
            print(f"warning: {run_dir}: {error}: a second process would not be kept from it", file=sys.stderr)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
