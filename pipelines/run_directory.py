"""The run directory: its configuration `config.json`, the plugin of that configuration, and its lock.

``RUN/config.json`` is the complete configuration, ``RUN/checkpoints`` holds the last few training states, ``RUN/best``
the training state of the best validation.
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
    """The content of `config.json`.

    Attributes:
      plugin: name of the plugin.
      preset: "small" or "full".
      config: the plugin's configuration.
      data_dir: directory of the training records.
      spec: kind, front end and domains of these records.
      precision: dtype policy of the networks; weights are float32 in any case.
      strategy: distribution strategy; may change on resuming.
      jit_compile: whether XLA compiles the training step; may change on resuming.
      warm_start: run whose networks are the initial weights; empty for random initial weights.
      sample_weights: file and hash of the sampling weights of the records; empty for uniform sampling.
      versions: package versions that wrote it; may change on resuming.
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
    """Return the versions of the packages that affect results; read from modules, as distributions differ in name."""
    return {module.__name__: module.__version__ for module in (tf, keras, np, librosa)}


def describe_spec(spec: Spec) -> dict:
    """Return kind, front end and domains, which may not change on resuming."""
    return {"kind": spec.kind, "features": config.to_json(spec.features), "domains": list(spec.domains)}


def write_run(run_dir: str, run: Run) -> None:
    """Write `config.json` atomically."""
    files.write(posixpath.join(run_dir, "config.json"), (json.dumps(config.to_json(run), indent=2) + "\n").encode())


def read_run(run_dir: str) -> Run | None:
    """Return the run of a directory; None if there is no `config.json`.

    Raises:
      UserError: `config.json` is not the configuration of a run.
    """
    path = posixpath.join(run_dir, "config.json")
    if not tf.io.gfile.exists(path):
        return None
    try:
        return Run(**json.loads(files.read(path)))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not a run's configuration: {error}") from None


def build_plugin(run: Run, spec: Spec) -> base.Plugin:
    """Return the plugin of a run with initial weights; call it under the strategy's scope."""
    plugin_class = plugins.load(run.plugin)
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(run.precision)
    try:
        return plugin_class(config.from_json(plugin_class.Config, run.config), spec)
    finally:
        keras.config.set_dtype_policy(previous_policy)


@contextlib.contextmanager
def lock_run(run_dir: str) -> Iterator[None]:
    """Lock a run directory against training by other processes of this machine while the block runs.

    Raises:
      UserError: another process holds the lock.
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
            raise UserError(
                f"{run_dir} is being trained by process {file.read().strip()}; wait for it, or stop it"
            ) from None
        except OSError as error:  # a file system without locks
            print(f"warning: {run_dir}: no lock ({error}); do not train this run in two processes", file=sys.stderr)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
