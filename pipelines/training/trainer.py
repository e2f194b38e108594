"""The training loop of every plugin: distribution, logging, validation, checkpoints, recovery and export."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

import plugins
from models.errors import UserError
from pipelines import config, run_directory
from pipelines.data import dataset, input_pipeline
from pipelines.export import saved_model, waveform_signatures
from pipelines.progress import Progress
from pipelines.training import (
    alarms,
    checkpoint,
    checkpoint_policy,
    data_loader,
    distribution,
    early_stopping,
    metrics_log,
    round_trip_mels,
    signals,
    validation,
)
from pipelines.training.step_metrics import Meter, format_metrics

MAX_DIVERGENCES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intervals:
    """Intervals of logging, validation and checkpoints.

    Attributes:
      log_steps: steps between rows of training metrics.
      validations: number of validations in the whole training; 0 for none.
      checkpoint_s: seconds between checkpoints; there is always one at the end.
    """

    log_steps: int = 50
    validations: int = 10
    checkpoint_s: float = 120.0

    def is_validation_step(self, step: int, steps: int) -> bool:
        """Return whether validation follows a step of a training of `steps` steps."""
        if not self.validations:
            return False
        return step == steps or step % max(self.log_steps, steps // self.validations) == 0


class Diverged(RuntimeError):
    """Losses or weights were not finite, also after several returns to a checkpoint."""


class Trainer:
    """Trains the plugin of a run on records.

    Args:
      run: the run; its `config` holds the number of steps, the batch size and the random seed.
      data: the records.
      run_dir: the run directory.
      strategy: the distribution strategy.
      intervals: intervals of logging, validation and checkpoints.

    Attributes:
      step: the last step that was trained, on every worker.
      monitor: name of the validation metric of early stopping and of the best checkpoint, or None.
    """

    def __init__(
        self,
        run: run_directory.Run,
        data: dataset.Records,
        run_dir: str,
        strategy: tf.distribute.Strategy,
        intervals: Intervals,
    ):
        self.run, self.run_dir, self.strategy, self.intervals = run, run_dir, strategy, intervals
        self.plugin_class = plugins.load(run.plugin)
        self.config = config.from_json(self.plugin_class.Config, run.config)
        dataset.check_batches(data, self.plugin_class)
        records = round_trip_mels.with_round_trip_mels(data, self.config)
        self.loader = data_loader.DataLoader(records, self.plugin_class, self.config, strategy)
        self.monitor = self.config.monitor or self.plugin_class.MONITOR
        self.has_validation = input_pipeline.has_examples(data, self.plugin_class, "val")
        rank, self.num_workers = distribution.worker_rank(strategy)
        self.is_chief = rank == 0
        if run.jit_compile and strategy.num_replicas_in_sync > 1:
            raise UserError(f"--jit_compile on {strategy.num_replicas_in_sync} replicas; wanted one")
        keras.utils.set_random_seed(self.config.seed)
        with strategy.scope():
            self.plugin = run_directory.build_plugin(run, data.spec)
            self.checkpoints = checkpoint_policy.CheckpointPolicy(run_dir, self.plugin)
        self.replicated_train_step = functools.cache(self._replicate_train_step)
        self.signatures = self.plugin.signatures()
        if data.spec.kind == "audio":
            self.signatures |= {"invert": waveform_signatures.invert_griffin_lim(data.spec.features)}
        eval_step = self._replicate(self.plugin.eval_step)
        self.validator = validation.Validator(self.loader, eval_step, self.signatures)
        self.alarms = alarms.AlarmReporter(wasserstein=getattr(self.config, "adversarial_loss", None) == "wgan")
        self.step, self.stop_requested = 0, False

    @property
    def data(self) -> dataset.Records:
        """The training records."""
        return self.loader.data

    def fit(self, *, exported: str = "last") -> dict[str, float]:
        """Train from the newest checkpoint to the configured number of steps, and export.

        Args:
          exported: "last", or "best" for the weights of the best validation.

        Returns:
          The last training metrics; empty if there was nothing left to train.

        Raises:
          Diverged: losses were not finite, also after returns to a checkpoint with lower learning rates.
          WorkerLost: another worker has ended.
          KeyboardInterrupt: SIGINT or SIGTERM; the last step has been saved.
          OSError: the last checkpoint could not be written.
          UserError: the networks of the warm start do not fit, the monitored metric does not exist, or there is no
            best validation to export.
        """
        self._check_monitor(exported)
        start = self._restore()
        with signals.call_on_interrupt(self._request_stop):
            values = self._train_with_recovery(start)
        if self.is_chief:  # other workers may get here before the best checkpoint is saved
            if exported == "best" and not self.checkpoints.best.restore():
                raise UserError(f"--export=best: there is no checkpoint of a validation with {self.monitor}")
            saved_model.write(checkpoint.to_single_precision(self.plugin, self.run), self.run, self.run_dir)
        return values

    def _request_stop(self) -> None:
        """Stop training after the current step has been saved."""
        self.stop_requested = True

    def _check_monitor(self, exported: str) -> None:
        """Refuse early stopping and the export of the best validation before training if their metric is missing."""
        options = [f"patience={self.config.patience}"] if self.config.patience else []
        options += [f"monitor={self.config.monitor}"] if self.config.monitor else []
        options += [f"--export={exported}"] if exported == "best" else []
        if not options:
            return
        if not self.monitor:
            raise UserError(f"{options[0]}: {self.run.plugin} has no default metric; set one by --set=monitor=NAME")
        if not self.has_validation:
            raise UserError(f"{options[0]}: the records have no validation split; see --val_fraction of preprocess")
        names = self.validator.metric_names()
        if self.monitor not in names:
            raise UserError(f"monitor={self.monitor}: no such metric; {config.suggest(self.monitor, names)}")

    def _restore(self) -> int:
        """Restore the newest checkpoint, or start a new run; return the step."""
        step = self.checkpoints.latest.restore()
        if self.run.warm_start and not step:
            checkpoint.warm_start(self.plugin, self.run.warm_start)
        self.step, self.log = step, metrics_log.MetricsLog(self.run_dir, step, writes=self.is_chief)
        if not step:
            self.log.log_hparams(self.run.plugin, self.run.config)
            self._save(0)
        return step

    def _train_with_recovery(self, step: int) -> dict[str, float]:
        """Train to the end; after a divergence, return to a checkpoint `MAX_DIVERGENCES` times at most."""
        divergences = 0
        while True:
            try:
                with distribution.as_worker_lost(self.num_workers):
                    return self._train(step)
            except FloatingPointError as error:
                divergences += 1
                if divergences > MAX_DIVERGENCES:
                    raise Diverged(
                        f"{error}; training diverged {divergences} times; lower the learning rates or set clip_norm"
                    ) from None
                step = self._roll_back(str(error))

    def _train(self, start: int) -> dict[str, float]:
        """Train from a step to the end; raise FloatingPointError where metrics or weights are not finite."""
        steps, intervals = self.config.steps, self.intervals
        batches, meter, saved_at = self.loader.batches("train", start), Meter(), time.monotonic()
        progress = Progress(f"train {self.run.plugin}", steps, "steps", start=start)
        values: dict[str, float] = {}
        for step in range(start + 1, 1 + (start if self._should_stop() else steps)):
            began = time.monotonic()
            self._train_step(step, batches, meter)
            last, validates = step == steps or self.stop_requested, intervals.is_validation_step(step, steps)
            if last or step % intervals.log_steps == 0:
                values = self._log_metrics(step, meter)
                progress.show(step, format_metrics(values))
                if not validates:
                    self._report_alarms()
            if validates and not self.stop_requested:
                self._validate(step)
                self._report_alarms()
                meter.exclude(time.monotonic() - began)
                last = last or self._should_stop()
            if last or time.monotonic() - saved_at > intervals.checkpoint_s:
                self._save(step, required=last)
                saved_at = time.monotonic()
            if last and self.stop_requested:
                raise KeyboardInterrupt
            if last:
                break
        if values:
            progress.close(format_metrics(values))
        return values

    def _train_step(self, step: int, batches: Iterator, meter: Meter) -> None:
        """Train one step on the next batch."""
        began = time.monotonic()
        batch = self.loader.next(batches)
        waited_s = time.monotonic() - began
        update_modes = tuple(optimizer.update_mode_at(step) for optimizer in self.plugin.optimizers())
        meter.add(self.replicated_train_step(update_modes)(batch), waited_s)
        self.step = step

    def _log_metrics(self, step: int, meter: Meter) -> dict[str, float]:
        values = meter.read()
        checkpoint_policy.require_finite(self.plugin, step, values)
        self.log.log_scalars("train", step, values)
        return values

    def _should_stop(self) -> bool:
        """Return whether early stopping ends training, and print that it does."""
        stops = early_stopping.should_stop(self.log.rows, self.monitor, self.config.patience)
        if stops and self.is_chief:
            print(f"early stopping: {self.monitor} has not improved for {self.config.patience} validations", flush=True)
        return stops

    def _replicate_train_step(self, update_modes: tuple[str, ...]) -> Callable:
        """Return the plugin's training step on all replicas; the trainer keeps one function for each `update_modes`."""
        return self._replicate(self.plugin.train_step, update_modes)

    def _replicate(self, step: Callable, update_modes: tuple[str, ...] = ()) -> Callable:
        """Return `step` as a function of a distributed batch that runs on all replicas and sums their scalars.

        Args:
          step: the training or validation step of the plugin.
          update_modes: the update mode of each optimizer in a training step; empty for a validation step.
        """
        compiled = self.run.jit_compile and bool(update_modes)
        step = tf.function(step, autograph=False, jit_compile=True) if compiled else step

        @tf.function(autograph=False)
        def call(batch):
            for optimizer, mode in zip(self.plugin.optimizers(), update_modes, strict=bool(update_modes)):
                optimizer.update_mode = mode
            values = self.strategy.run(step, args=(batch, self.config.batch_size))
            return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in values.items()}

        return call

    def _roll_back(self, reason: str) -> int:
        """Restore the newest checkpoint and halve the learning rates; return its step."""
        factor = float(self.plugin.learning_rate_scale.numpy()) / 2
        step = self.checkpoints.latest.restore()
        self.plugin.learning_rate_scale.assign(factor)
        self.log.rows = [row for row in self.log.rows if row["step"] <= step]
        print(f"{reason}; back to step {step}, learning rates times {factor:g}", file=sys.stderr, flush=True)
        return step

    def _save(self, step: int, *, required: bool = False) -> None:
        if self.is_chief:
            self.checkpoints.save(step, self.log, required=required)

    def _report_alarms(self) -> None:
        self.alarms.report(self.log.rows, self.monitor, prints=self.is_chief)

    def _validate(self, step: int) -> None:
        """Log metrics and model outputs of the validation split, if there is one, and save the best state."""
        if not self.has_validation:
            return
        values = self.validator.metrics()
        if self.is_chief:
            values |= self.validator.log_outputs(self.log, step)
        self.log.log_scalars("val", step, values)
        if self.is_chief:
            self.checkpoints.save_if_best(step, self.log, values.get(self.monitor))
