"""Rules for resuming a run: what may change between two invocations of `train`, and what is refused."""

from __future__ import annotations

import dataclasses
import posixpath

import tensorflow as tf

from models.errors import UserError
from pipelines import config, files, run_directory
from pipelines.data import fingerprint

MAY_CHANGE = ("versions", "strategy", "jit_compile", "records")  # when a run goes on; of records see `fingerprint`


def resolve_resume(run_dir: str, run: run_directory.Run) -> run_directory.Run:
    """The run to go on with: the new one, if none is there or it is the same.

    More or fewer steps may be asked for, and packages may have changed; nothing else, the records neither. What the
    run that is there began with need not be said again. One that was refused before its first checkpoint is none.

    Raises:
      UserError: the directory holds another run, and what differs; or folders of a run that no run is known of.
    """
    old = run_directory.read_run(run_dir)
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
