"""One loop for every plugin: the replicas, the clock, the disk."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

import plugins
from models.errors import UserError
from models.features.spec import Spec
from pipelines import config, run_directory
from pipelines.data import dataset, input_pipeline
from pipelines.export import saved_model, waveform_signatures
from pipelines.progress import Progress
from pipelines.training import (
    batch_feed,
    checkpoint,
    distribution,
    early_stopping,
    metrics_log,
    round_trip_mels,
    signals,
    validation,
)
from pipelines.training.step_metrics import Meter, spoken

MAX_DIVERGENCES = 3
LOST = (  # what a collective operation ends with when another process is gone
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
GO_ON = "the same command on every worker goes on from the last checkpoint"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """How often things are written.

    Attributes:
      log_steps: steps between lines of training metrics.
      evaluations: times the validation split is gone through in the whole training; 0 for never.
      save_s: seconds between checkpoints; one is written at the end in any case.
    """

    log_steps: int = 50
    evaluations: int = 10
    save_s: float = 120.0


class Diverged(RuntimeError):
    """Training came to numbers that are not finite, again and again."""


class WorkerLost(RuntimeError):
    """Another process of the cluster is gone."""


class Trainer:
    """Trains a run's plugin on records.

    Args:
      run: the run; its `config` names steps, batch size and seed.
      data: the records.
      run_dir: where it is kept.
      strategy: how it is distributed.
      pace: how often things are written.

    Attributes:
      step: that was trained last, on every worker.
    """

    def __init__(
        self, run: run_directory.Run, data: dataset.Records, run_dir: str, strategy: tf.distribute.Strategy, pace: Pace
    ):
        self.run, self.run_dir, self.strategy, self.pace = run, run_dir, strategy, pace
        self.plugin_class = plugins.load(run.plugin)
        self.config = config.from_json(self.plugin_class.Config, run.config)
        dataset.check_batches(data, self.plugin_class)
        self.feed = batch_feed.Feed(
            round_trip_mels.imitated(data, self.config), self.plugin_class, self.config, strategy
        )
        self.watched = self.config.monitor or self.plugin_class.MONITOR
        self.validates = input_pipeline.has_examples(data, self.plugin_class, "val")
        number, self.workers = distribution.place_of(strategy)
        self.chief = number == 0
        if run.jit_compile and strategy.num_replicas_in_sync > 1:
            raise UserError(f"--jit_compile on {strategy.num_replicas_in_sync} replicas; wanted one")
        keras.utils.set_random_seed(self.config.seed)
        with strategy.scope():
            self.plugin = run_directory.build_plugin(run, data.spec)
            self.keeper = checkpoint.Checkpointer(run_dir, self.plugin)
            self.best = checkpoint.Checkpointer(run_dir, self.plugin, folder="best", kept=1)
        self.train_step = functools.cache(lambda update_modes: self._replicated(self.plugin.train_step, update_modes))
        self.eval_step = self._replicated(self.plugin.eval_step)
        self.signatures = self.plugin.signatures()
        if data.spec.kind == "audio":
            self.signatures |= {"invert": waveform_signatures.invert(data.spec.features)}
        self.step, self.stopping, self.alarmed = 0, False, set()

    @property
    def data(self) -> dataset.Records:
        """The records that are trained on."""
        return self.feed.data

    def fit(self, *, exported: str = "last") -> dict[str, float]:
        """Trains from the newest checkpoint to the configured number of steps, and exports.

        Args:
          exported: "last", or "best" for the weights of the best validation.

        Returns:
          The last training metrics.

        Raises:
          Diverged: losses were not finite, also after returning to a checkpoint with lower rates.
          KeyboardInterrupt: the process was told to stop; what was reached is saved.
          OSError: the last checkpoint could not be written.
          UserError: another run to begin with does not fit, or there is no best validation to export.
        """
        self._check_watched(exported)
        step = self.keeper.restore()
        if self.run.warm_start and not step:
            checkpoint.warm_start(self.plugin, self.run.warm_start)
        self.step, self.log = step, metrics_log.MetricsLog(self.run_dir, step, writes=self.chief)
        if not step:
            self.log.configuration(self.run.plugin, self.run.config)
            self._save(0)
        values: dict[str, float] = {}
        with signals.deferred(self._stop):
            for divergences in range(1, MAX_DIVERGENCES + 2):
                try:
                    values = self._train(step)
                    break
                except LOST as error:
                    if self.workers == 1:
                        raise
                    raise WorkerLost(f"another worker is gone ({batch_feed.first_line(error)}); {GO_ON}") from None
                except FloatingPointError as error:
                    if divergences > MAX_DIVERGENCES:
                        raise Diverged(f"{error}; gave up after {divergences} times") from None
                    step = self._return(str(error))
        if self.chief:  # alone: others may be here before the best is saved
            if exported == "best" and not self.best.restore():
                raise UserError(f"--export=best: no validation of {self.watched} was kept")
            saved_model.write(checkpoint.to_single_precision(self.plugin, self.run), self.run, self.run_dir)
        return values

    def _stop(self) -> None:
        """Ends training after the step that is at work, when it has been saved."""
        self.stopping = True

    def _check_watched(self, exported: str) -> None:
        """Refuses, before anything is trained, to watch a metric that there will not be."""
        asked = [f"patience={self.config.patience}"] if self.config.patience else []
        asked += [f"monitor={self.config.monitor}"] if self.config.monitor else []
        asked += [f"--export={exported}"] if exported == "best" else []
        if not asked:
            return
        if not self.watched:
            raise UserError(f"{asked[0]}: {self.run.plugin} watches no metric; name one by --set=monitor=")
        if not self.validates:
            raise UserError(f"{asked[0]}: the records hold nothing for validation; see --val_fraction of preprocess")
        batch = self.feed.next(self.feed.batches("val", 0))
        metrics = self.eval_step.get_concrete_function(batch).structured_outputs
        if self.watched not in metrics:
            raise UserError(f"monitor={self.watched}: no such metric; {config.suggest(self.watched, metrics)}")

    def _train(self, done: int) -> dict[str, float]:
        """Trains on from step `done` to the end; raises FloatingPointError where losses are not finite."""
        steps = self.config.steps
        every = max(self.pace.log_steps, steps // max(1, self.pace.evaluations))
        batches, meter, saved = self.feed.batches("train", done), Meter(), time.monotonic()
        progress = Progress(f"train {self.run.plugin}", steps, "steps", start=done)
        values: dict[str, float] = {}
        for step in range(done + 1, 1 + (done if self._is_over() else steps)):
            before = time.monotonic()
            batch = self.feed.next(batches)
            waited = time.monotonic() - before
            update_modes = tuple(optimizer.update_mode_at(step) for optimizer in self.plugin.optimizers())
            meter.add(self.train_step(update_modes)(batch), waited)
            last = step == steps or self.stopping
            self.step = step
            if last or step % self.pace.log_steps == 0:
                values = self._checked(step, meter.read())
                self.log.scalars("train", step, values)
                progress.show(step, spoken(values))
                if not self.pace.evaluations or step % every:
                    self._watch()
            if self.pace.evaluations and (step == steps or step % every == 0) and not self.stopping:
                self._evaluate(step)
                self._watch()
                meter.began += time.monotonic() - before
                last = last or self._is_over()
            if last or time.monotonic() - saved > self.pace.save_s:
                self._save(step, must=last)
                saved = time.monotonic()
            if self.stopping:
                raise KeyboardInterrupt
            if last:
                break
        if values:
            progress.close(spoken(values))
        return values

    def _is_over(self) -> bool:
        """Whether validation has not improved for as long as was asked for; says so."""
        over = early_stopping.is_over(self.log.rows, self.watched, self.config.patience)
        if over and self.chief:
            print(f"{self.watched} has not improved for {self.config.patience} validations: the end", flush=True)
        return over

    def _replicated(self, step: Callable, update_modes: tuple[str, ...] = ()) -> Callable:
        """`step` on every replica, its scalars added up; the update modes of its optimizers, if it trains."""
        compiled = self.run.jit_compile and bool(update_modes)
        step = tf.function(step, autograph=False, jit_compile=True) if compiled else step

        @tf.function(autograph=False)
        def call(batch):
            for optimizer, mode in zip(self.plugin.optimizers(), update_modes, strict=bool(update_modes)):
                optimizer.update_mode = mode
            values = self.strategy.run(step, args=(batch, self.config.batch_size))
            return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in values.items()}

        return call

    def _checked(self, step: int, values: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if not wrong and not self._is_finite():
            wrong = ["weights"]
        if wrong:
            raise FloatingPointError(f"step {step}: {', '.join(wrong)} not finite")
        return values

    def _is_finite(self) -> bool:
        """Whether all that a checkpoint would hold is."""
        networks = [v.value for network in self.plugin.networks() for v in network.variables]
        everything = [v for v in [*networks, *self.plugin.variables] if v.dtype.is_floating]
        return all(np.isfinite(float(tf.reduce_sum(tf.abs(v)))) for v in everything)

    def _return(self, why: str) -> int:
        """Goes back to the newest checkpoint with half the learning rates; the step it was saved at."""
        factor = float(self.plugin.learning_rate_scale.numpy()) / 2
        step = self.keeper.restore()
        self.plugin.learning_rate_scale.assign(factor)
        self.log.rows = [row for row in self.log.rows if row["step"] <= step]
        print(f"{why}; back to step {step}, learning rates times {factor:g}", file=sys.stderr, flush=True)
        return step

    def _save(self, step: int, keeper: checkpoint.Checkpointer | None = None, *, must: bool = False) -> None:
        """Saves; where that fails, goes on with the earlier checkpoints, unless this one must be.

        What is not finite is not saved: it would push out what there is to return to.
        """
        if not self.chief or not self._is_finite():
            return
        try:
            self.log.flush()
            (keeper or self.keeper).save(step)
        except (OSError, tf.errors.OpError) as error:
            if must:
                raise
            print(f"warning: {error}; training goes on", file=sys.stderr, flush=True)

    def _watch(self) -> None:
        """Says, once, what looks wrong."""
        differences = getattr(self.config, "adversary", None) == "wgan"
        alarms = early_stopping.alarms(self.log.rows, self.watched, differences=differences)
        for name in alarms.keys() - self.alarmed:
            if self.chief:
                print(f"alarm: {alarms[name]}", file=sys.stderr, flush=True)
        self.alarmed |= alarms.keys()

    def _evaluate(self, step: int) -> None:
        """Adds the metrics and samples of the validation split, if there is one."""
        if not self.validates:
            return
        batches, meter = self.feed.batches("val", 0), Meter()
        for _ in range(validation.batches_of(self.data, self.plugin_class, self.config)):
            meter.add(self.eval_step(self.feed.next(batches)), 0.0)
        values = {name: value for name, value in meter.read().items() if name not in ("steps_per_s", "waiting")}
        if self.chief:
            pairs = metrics_log.log_samples(self.log, self.plugin.spec, self.signatures, self.samples, step)
            several = [pair for pair in pairs if min(map(len, pair)) > 1]
            values |= {"diversity": min(early_stopping.diversity(*pair) for pair in several)} if several else {}
        self.log.scalars("val", step, values)
        if self.chief and values.get(self.watched, math.inf) < self.best.lowest():
            self.best.value.assign(values[self.watched])
            self._save(step, self.best)

    @functools.cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """A few validation examples of each domain, one excerpt each."""
        return validation.samples(self.data)


def summary(run: run_directory.Run, spec: Spec) -> str:
    """The networks with the number of their parameters, after one pass over shapes."""
    plugin = run_directory.build_plugin(run, spec)
    lines = [f"{run.plugin} on {spec.kind} {spec.feature_shape()}, domains {', '.join(spec.domains)}"]
    for network in plugin.networks():
        lines.append(f"  {network.name:24} {str(network.input_shape):24} {network.count_params():>12,} parameters")
    lines.append(f"  can do: {', '.join(sorted(plugin.signatures()))}")
    return "\n".join(lines)
