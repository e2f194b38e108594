"""The batches of a run as its strategy hands them to the replicas."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from pipelines.data import dataset, input_pipeline
from pipelines.training import distribution

UNREADABLE = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.PermissionDeniedError)  # of files


class Feed:
    """Batches of records for a plugin, distributed.

    Args:
      data: the records.
      plugin_class: its `BATCHES` says what a batch holds.
      plugin_config: for `batch_size`, `crop_frames` and `seed`.
      strategy: how training is distributed.
    """

    def __init__(self, data: dataset.Records, plugin_class: type, plugin_config, strategy: tf.distribute.Strategy):
        self.data, self.plugin_class, self.config, self.strategy = data, plugin_class, plugin_config, strategy

    def batches(self, split: str, start_step: int) -> Iterator:
        """Endless batches of a split from a step on; errors as `input_pipeline.batches`."""
        batches = input_pipeline.batches(
            self.data,
            self.plugin_class,
            self.config,
            batch_size=self.config.batch_size,
            split=split,
            start_step=start_step,
            shard=distribution.share_of(self.strategy),
        )
        return iter(distribution.distributed(self.strategy, batches))

    def next(self, batches: Iterator):
        """The next batch.

        Raises:
          OSError: the records can no longer be read.
        """
        try:
            return next(batches)
        except UNREADABLE as error:
            raise OSError(f"{self.data.data_dir}: the records cannot be read: {first_line(error)}") from None


def first_line(error: tf.errors.OpError) -> str:
    """The first line of an error of TensorFlow, which may have hundreds."""
    return (str(error.message).strip().splitlines() or [type(error).__name__])[0][:200]
