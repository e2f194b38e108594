"""Rules for resuming a run: what may change between two invocations of `train`, and what is refused."""

from __future__ import annotations

import dataclasses
import posixpath

import tensorflow as tf

import plugins
from models.errors import UserError
from pipelines import config, files, run_directory
from pipelines.data import fingerprint

MAY_CHANGE = ("versions", "strategy", "jit_compile", "records")  # fields of Run; `fingerprint` compares the records


def resolve_resume(run_dir: str, run: run_directory.Run) -> run_directory.Run:
    """Return the run to train: the requested one, with the warm start of the run that is resumed.

    The number of steps and the versions of packages may change; all else, the records included, must be the same.
    Keys that have been renamed since count as the same; a key that was added since has its default in the older run,
    which is what was done without it. A run without a checkpoint is replaced, not resumed.

    Args:
      run_dir: the run directory.
      run: the requested run.

    Raises:
      UserError: the directory holds another run (the message lists the differences), or folders of a run without
        its `config.json`.
    """
    old = run_directory.read_run(run_dir)
    if old is None:
        _refuse_foreign_folders(run_dir)
    if old is None or not has_checkpoint(run_dir):
        return run
    run = dataclasses.replace(run, warm_start=run.warm_start or old.warm_start)
    if changed := _differences(old, run):
        raise UserError(f"{run_dir} holds another run ({'; '.join(changed)}); take another --run_dir")
    if old.records and (changed := fingerprint.differences(old.records, run.records)):
        raise UserError(
            f"{run_dir} was trained on other records than {run.data_dir} holds now ({'; '.join(changed)}); "
            "take another --run_dir, or preprocess as for the first training"
        )
    return run


def has_checkpoint(run_dir: str) -> bool:
    """Whether the run has a checkpoint, so that its training goes on from there."""
    return tf.train.latest_checkpoint(posixpath.join(run_dir, "checkpoints")) is not None


def _differences(old: run_directory.Run, new: run_directory.Run) -> list[str]:
    """Return the differences that forbid to resume; a different plugin or data_dir is reported alone."""
    for key in ("plugin", "data_dir"):  # they determine the rest
        before, after = getattr(old, key), getattr(new, key)
        if before != after:
            return [f"{key}: {before} -> {after}"]
    return config.differences(*(_fixed_fields(run) for run in (old, new)))


def _fixed_fields(run: run_directory.Run) -> dict:
    """Return what may not change, under the current names of the keys."""
    fields = {key: value for key, value in config.to_json(run).items() if key not in MAY_CHANGE}
    cls = plugins.load(run.plugin).Config
    keys = config.to_json(cls()) | config.rename_keys(cls, fields["config"])
    fields["config"] = {key: value for key, value in keys.items() if key != "steps"}
    if run.spec:
        features = config.rename_keys(config.KINDS[run.spec["kind"]], run.spec["features"])
        fields["spec"] = {**fields["spec"], "features": features}
    return fields


def _refuse_foreign_folders(run_dir: str) -> None:
    """Refuse folders that training would overwrite where no `config.json` says to which run they belong."""
    for name in ("checkpoints", "best", "export", files.NEXT_FOLDER.format("export")):
        path = posixpath.join(run_dir, name)
        if tf.io.gfile.isdir(path) and tf.io.gfile.listdir(path):
            raise UserError(f"{run_dir} has a folder {name} but no config.json of a run; take another --run_dir")
