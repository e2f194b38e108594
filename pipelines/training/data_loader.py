"""Batches of a run's records, distributed over the replicas of its strategy."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from pipelines import files
from pipelines.data import dataset, input_pipeline
from pipelines.training import distribution

READ_ERRORS = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.PermissionDeniedError)


class DataLoader:
    """Distributed batches of records for a plugin.

    Args:
      data: the records.
      plugin_class: its `BATCHES` is the kind of batches.
      plugin_config: its `batch_size`, `crop_frames` and `seed` are used.
      strategy: the distribution strategy.
    """

    def __init__(self, data: dataset.Records, plugin_class: type, plugin_config, strategy: tf.distribute.Strategy):
        self.data, self.plugin_class, self.config, self.strategy = data, plugin_class, plugin_config, strategy

    def batches(self, split: str, start_step: int) -> Iterator:
        """Iterate over batches of a split without end, from a step on; raises as `input_pipeline.batches`."""
        batches = input_pipeline.batches(
            self.data,
            self.plugin_class,
            self.config,
            batch_size=self.config.batch_size,
            split=split,
            start_step=start_step,
            shard=distribution.worker_share(self.strategy),
        )
        return iter(distribution.distribute(self.strategy, batches))

    def next(self, batches: Iterator):
        """Return the next batch.

        Raises:
          OSError: the records can no longer be read.
        """
        try:
            return next(batches)
        except READ_ERRORS as error:
            raise OSError(f"{self.data.data_dir}: the records cannot be read: {files.first_line(error)}") from None
