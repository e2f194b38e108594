"""Checkpoints of a run: save and restore the complete training state, or the networks of another run."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import math
import posixpath
from collections.abc import Iterator

import tensorflow as tf

from models import layers
from models.errors import UserError
from pipelines import files, run_directory
from pipelines.training import version_0_1
from pipelines.training.checkpoint_tree import EVERYTHING, NETWORKS, checkpoint_tree
from plugins import base

MAX_CHECKPOINTS = 3


@contextlib.contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    """Turn every error of TensorFlow's readers on a broken checkpoint into an OSError of one line."""
    try:
        with files.as_os_error(path):
            yield
    except (IndexError, RuntimeError) as error:  # of the reader of single tensors
        raise OSError(f"{path}: {' '.join(str(error).split())}") from None


class Checkpointer:
    """Saves and restores the complete training state: the plugin and the step.

    Args:
      run_dir: the run directory.
      plugin: all of its variables are saved, those of its optimizers and image pools included.
      folder: folder of the checkpoints in the run directory.
      max_to_keep: number of checkpoints to keep.

    Attributes:
      step: step of the last checkpoint that was saved or restored.
      value: value of the validation metric that is saved beside it, in checkpoints of the best validation.
    """

    def __init__(
        self, run_dir: str, plugin: base.Plugin, folder: str = "checkpoints", max_to_keep: int = MAX_CHECKPOINTS
    ):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.value = tf.Variable(math.inf, trainable=False, name="value")
        self.plugin = plugin
        self.checkpoint = tf.train.Checkpoint(plugin=plugin, step=self.step, value=self.value)
        self.folder = posixpath.join(run_dir, folder)
        self.manager = tf.train.CheckpointManager(self.checkpoint, self.folder, max_to_keep=max_to_keep)

    def save(self, step: int) -> None:
        """Write a checkpoint. An incomplete one is never restored; earlier ones stay.

        Raises:
          OSError: it could not be written; its partial files have been removed.
        """
        previous_step = int(self.step.numpy())
        self.step.assign(step)
        try:
            self.manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            self.step.assign(previous_step)
            self._remove_partial_files(step)
            reason = " ".join(str(getattr(error, "message", error)).split())
            raise OSError(f"{self.folder}: no checkpoint of step {step} could be written: {reason}") from None

    def _remove_partial_files(self, step: int) -> None:
        for path in tf.io.gfile.glob(posixpath.join(glob.escape(self.folder), f"ckpt-{step}[._]*")):
            (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)

    def restore(self) -> int:
        """Restore the newest complete checkpoint and return its step; return 0 if there is none.

        Raises:
          OSError: it cannot be read.
          UserError: its networks are others, such as those of another version of the plugin.
        """
        newest = tf.train.latest_checkpoint(self.folder)  # another process may have written it
        if not newest:
            return 0
        try:
            with _as_os_error(newest):
                self._tree_of(newest).restore(newest).assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{newest} does not fit this plugin: {reason}; wanted the version that wrote it") from None
        return int(self.step.numpy())

    def _tree_of(self, path: str) -> tf.train.Checkpoint:
        """Return the objects to restore under the names that they have in a checkpoint."""
        if not version_0_1.is_version_0_1(path):
            return self.checkpoint
        plugin = checkpoint_tree(self.plugin, EVERYTHING, version_0_1.former_names)
        return tf.train.Checkpoint(plugin=plugin, step=self.step, value=self.value)

    def best_value(self) -> float:
        """Return the value beside the newest complete checkpoint; infinity if there is none."""
        newest = tf.train.latest_checkpoint(self.folder)
        if not newest:
            return math.inf
        with _as_os_error(newest):
            return float(tf.train.load_checkpoint(newest).get_tensor("value/.ATTRIBUTES/VARIABLE_VALUE"))


def warm_start(plugin: base.Plugin, run_dir: str) -> None:
    """Load the networks of another run into a plugin and reset its optimizers.

    If the other run has other domains, `DOMAIN_NETWORKS` of the plugin are not loaded. Fixed filters, which follow from
    the records, are not loaded either.

    Raises:
      UserError: the other run has no checkpoint, or networks of other names or sizes.
    """
    newest = tf.train.latest_checkpoint(posixpath.join(run_dir, "checkpoints"))
    if newest is None:
        raise UserError(f"{run_dir} has no checkpoint for --warm_start")
    other = run_directory.read_run(run_dir)
    same_domains = other is None or list(other.spec["domains"]) == list(plugin.spec.domains)
    excluded = () if same_domains else plugin.DOMAIN_NETWORKS
    fixed = [(weight, weight.numpy()) for network in plugin.networks() for weight in layers.fixed_weights(network)]
    try:
        with _as_os_error(newest):
            names = version_0_1.former_names if version_0_1.is_version_0_1(newest) else lambda _: {}
            tree = checkpoint_tree(plugin, NETWORKS, names, excluded=excluded)
            status = tf.train.Checkpoint(plugin=tree).restore(newest)
            status.expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError) as error:
        origin = f"plugin {other.plugin}" if other else "no config.json"
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{run_dir} ({origin}) has other networks than this run: {reason}") from None
    for weight, value in fixed:
        weight.assign(value)
    for optimizer in plugin.optimizers():
        optimizer.reset()


def to_single_precision(plugin: base.Plugin, run: run_directory.Run) -> base.Plugin:
    """Return a plugin that computes in float32: the plugin itself, or a copy of it with the same weights."""
    if run.precision == "float32":
        return plugin
    copy = run_directory.build_plugin(dataclasses.replace(run, precision="float32"), plugin.spec)
    for old, new in zip(plugin.networks(), copy.networks(), strict=True):
        for ours, theirs in zip(new.variables, old.variables, strict=True):
            ours.assign(theirs)
    for old, new in zip(plugin.statistics(), copy.statistics(), strict=True):
        new.assign(old)
    for old, new in zip(plugin.optimizers(), copy.optimizers(), strict=True):
        if old.average is not None:
            new.average.assign(old.average)
    return copy
