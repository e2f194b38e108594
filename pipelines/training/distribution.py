"""The distribution strategy of a run, and this process's share of the work."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

import tensorflow as tf

from models.errors import UserError
from pipelines import config, files
from pipelines.data.input_pipeline import WorkerShard

WORKER_ERRORS = (  # of collective operations where another process has ended
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
TF_CONFIG_EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


class WorkerLost(RuntimeError):
    """Another process of the cluster has ended."""


@contextlib.contextmanager
def as_worker_lost(num_workers: int) -> Iterator[None]:
    """Turn errors of collective operations into WorkerLost where there are several workers."""
    try:
        yield
    except WORKER_ERRORS as error:
        if num_workers == 1:
            raise
        raise WorkerLost(
            f"another worker has ended ({files.first_line(error)}); "
            "run the same command on every worker to resume from the last checkpoint"
        ) from None


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Return the `tf.distribute` strategy of a name. Call it before any computation.

    "auto" mirrors over the GPUs if there are several, and uses the one device otherwise. "mirrored" without GPUs
    mirrors over the logical CPUs. "multi_worker" is one of the processes in TF_CONFIG; each process is started with
    the same command and its own TF_CONFIG. "tpu" uses the TPU of the cluster resolver.

    Raises:
      UserError: no such strategy, no valid TF_CONFIG, or no TPU.
    """
    if name == "multi_worker":
        return _multi_worker_strategy()
    if name == "tpu":
        return _tpu_strategy()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(gpus or [d.name for d in tf.config.list_logical_devices("CPU")])
    if name in ("auto", "one"):
        return tf.distribute.get_strategy()
    raise UserError(f"--strategy={name}; wanted one of {', '.join(config.STRATEGIES)}")


def _multi_worker_strategy() -> tf.distribute.Strategy:
    try:
        tf_config = json.loads(os.environ.get("TF_CONFIG", ""))
        address = tf_config["cluster"][tf_config["task"]["type"]][int(tf_config["task"]["index"])]
    except (ValueError, KeyError, IndexError, TypeError):
        raise UserError(f"--strategy=multi_worker without a valid TF_CONFIG; wanted {TF_CONFIG_EXAMPLE}") from None
    if sum(map(len, tf_config["cluster"].values())) < 2:
        raise UserError(f"--strategy=multi_worker with {address} alone; wanted two workers or more in TF_CONFIG")
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
    except (ValueError, OSError) as error:
        raise UserError(f"--strategy=tpu: no TPU was found ({error}); set TPU_NAME to the name of one") from None
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    strategy = tf.distribute.TPUStrategy(resolver)
    if strategy.extended.num_hosts > 1:
        raise UserError(f"--strategy=tpu: a TPU of {strategy.extended.num_hosts} hosts; wanted one of a single host")
    return strategy


def worker_rank(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Return the rank of this process and the number of workers. Rank 0 is the chief, which alone writes files."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return rank_in_cluster(strategy.cluster_resolver)
    return 0, 1


def rank_in_cluster(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> tuple[int, int]:
    """Return the rank of a resolver's task among the workers, the chief first, and the number of workers."""
    cluster = resolver.cluster_spec().as_dict()
    num_chiefs = len(cluster.get("chief", []))
    rank = resolver.task_id + (0 if resolver.task_type == "chief" else num_chiefs)
    return rank, num_chiefs + len(cluster.get("worker", []))


def worker_share(strategy: tf.distribute.Strategy) -> WorkerShard:
    """Return the rows of each global batch that this process feeds to its replicas."""
    rank, num_workers = worker_rank(strategy)
    return WorkerShard(worker=rank, num_workers=num_workers, num_replicas=strategy.num_replicas_in_sync // num_workers)


def distribute(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset):
    """Distribute a dataset whose elements are batches of single replicas, in the order of the replicas."""
    if strategy.num_replicas_in_sync == 1:
        return dataset
    return strategy.distribute_datasets_from_function(lambda _: dataset)


def configure_threads() -> None:
    """Let TensorFlow run as many operations in parallel as there are cores, each on half of the cores.

    Call it before any computation. A step of a GAN is many small operations: in parallel they use all cores, while a
    single one does not.
    """
    cores = os.cpu_count() or 1
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // 2))
