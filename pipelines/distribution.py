"""The strategy a run is trained under, and this process's share of its work."""

from __future__ import annotations

import os

import tensorflow as tf

from pipelines.dataset import Share

NAMES = ("auto", "one", "mirrored")


def strategy_of(name: str) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of that name.

    "auto" mirrors over the GPUs where there are several, and takes the one device else. "mirrored"
    without GPUs mirrors over the logical CPUs.

    Raises:
      ValueError: no such strategy.
    """
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(gpus or [d.name for d in tf.config.list_logical_devices("CPU")])
    if name in ("auto", "one"):
        return tf.distribute.get_strategy()
    raise ValueError(f"--strategy={name}; wanted one of {', '.join(NAMES)}")


def share_of(strategy: tf.distribute.Strategy) -> Share:
    """The rows of each global batch that this process feeds to its replicas."""
    return Share(replicas=strategy.num_replicas_in_sync)


def distributed(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset):
    """A dataset whose elements are single replicas' portions, handed out to the replicas in turn."""
    if strategy.num_replicas_in_sync == 1:
        return dataset
    return strategy.distribute_datasets_from_function(lambda _: dataset)


def use_cores() -> None:
    """Lets operations of the graph run side by side on all cores, each on half of them; call it first.

    A step of a GAN is many small operations: side by side they fill two cores, split up they wait.
    """
    cores = os.cpu_count() or 1
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // 2))
