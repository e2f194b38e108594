"""The run directory: its configuration `config.json`, and the plugin that it describes.

``RUN/config.json`` is the whole configuration, ``RUN/checkpoints`` holds the last few complete training states,
``RUN/best`` the state of the best validation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
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
from pipelines import config, files
from plugins import base


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
      records: fingerprint of the records, see `pipelines.data.fingerprint`; empty in runs of older versions.
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
def lock_run(run_dir: str) -> Iterator[None]:
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
