"""The strategy a run is trained under, and this process's share of its work."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from models.errors import UserError
from pipelines import config
from pipelines.data.input_pipeline import WorkerShard


def strategy_of(name: str) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of that name. Make it before anything is computed.

    "auto" mirrors over the GPUs where there are several, and takes the one device else. "mirrored"
    without GPUs mirrors over the logical CPUs. "multi_worker" is one of the processes that TF_CONFIG
    names; each is started with the same command and its own TF_CONFIG. "tpu" takes the TPU that the
    cluster resolver finds.

    Raises:
      UserError: no such strategy, no TF_CONFIG, or no TPU.
    """
    if name == "multi_worker":
        return _multi_worker()
    if name == "tpu":
        return _tpu()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(gpus or [d.name for d in tf.config.list_logical_devices("CPU")])
    if name in ("auto", "one"):
        return tf.distribute.get_strategy()
    raise UserError(f"--strategy={name}; wanted one of {', '.join(config.STRATEGIES)}")


def _multi_worker() -> tf.distribute.Strategy:
    wanted = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        given = json.loads(os.environ.get("TF_CONFIG", ""))
        place = given["cluster"][given["task"]["type"]][int(given["task"]["index"])]
    except (ValueError, KeyError, IndexError, TypeError):
        raise UserError(f"--strategy=multi_worker without a TF_CONFIG that holds together; wanted {wanted}") from None
    if sum(map(len, given["cluster"].values())) < 2:
        raise UserError(f"--strategy=multi_worker with {place} alone; wanted two workers or more in TF_CONFIG")
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
    except (ValueError, OSError) as error:
        raise UserError(f"--strategy=tpu: no TPU was found ({error}); TPU_NAME may name one") from None
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    strategy = tf.distribute.TPUStrategy(resolver)
    if strategy.extended.num_hosts > 1:
        raise UserError(f"--strategy=tpu: a TPU of {strategy.extended.num_hosts} hosts; wanted one of a single host")
    return strategy


def place_of(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """This process's number among the workers, and how many there are. Number 0 is the chief: it alone writes."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return place_in(strategy.cluster_resolver)
    return 0, 1


def place_in(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> tuple[int, int]:
    """The number of a resolver's task among the cluster's workers, the chief first, and how many there are."""
    cluster = resolver.cluster_spec().as_dict()
    chiefs = len(cluster.get("chief", []))
    number = resolver.task_id + (0 if resolver.task_type == "chief" else chiefs)
    return number, chiefs + len(cluster.get("worker", []))


def share_of(strategy: tf.distribute.Strategy) -> WorkerShard:
    """The rows of each global batch that this process feeds to its replicas."""
    worker, workers = place_of(strategy)
    return WorkerShard(worker=worker, num_workers=workers, num_replicas=strategy.num_replicas_in_sync // workers)


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
