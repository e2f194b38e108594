"""Strategies by name, and who does what under them."""

import json
import types

import pytest
import tensorflow as tf

from pipelines.training import distribution

TWO = {"worker": ["localhost:12345", "localhost:12346"]}


@pytest.mark.parametrize(("name", "replicas"), [("one", 1), ("auto", 1)])
def test_strategies_by_name(name, replicas):
    strategy = distribution.make_strategy(name)
    assert strategy.num_replicas_in_sync == replicas
    assert distribution.worker_rank(strategy) == (0, 1)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="--strategy=two"):
        distribution.make_strategy("two")


@pytest.mark.parametrize(
    "given",
    ["", "{", "[]", json.dumps({"cluster": TWO}), json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}})],
)
def test_workers_want_a_configuration_that_holds_together(given, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(ValueError, match="a valid TF_CONFIG; wanted"):
        distribution.make_strategy("multi_worker")


def test_one_worker_is_no_cluster(monkeypatch):
    alone = {"cluster": {"worker": ["localhost:12345"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(alone))
    with pytest.raises(ValueError, match="localhost:12345 alone"):
        distribution.make_strategy("multi_worker")


class Resolver:
    """Says where a process stands in a cluster."""

    def __init__(self, cluster, task_type, task_id):
        self.cluster, self.task_type, self.task_id = cluster, task_type, task_id

    def cluster_spec(self):
        return tf.train.ClusterSpec(self.cluster)


@pytest.mark.parametrize(
    ("cluster", "task", "place"),
    [
        (TWO, ("worker", 1), (1, 2)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("chief", 0), (0, 3)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("worker", 1), (2, 3)),
    ],
)
def test_the_chief_is_the_first_of_all_workers(cluster, task, place):
    assert distribution.rank_in_cluster(Resolver(cluster, *task)) == place


def test_no_tpu_is_one_clear_line(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(ValueError, match="--strategy=tpu: no TPU was found"):
        distribution.make_strategy("tpu")


def test_a_tpu_is_connected_to_and_initialised_before_its_strategy(monkeypatch):
    resolver, done = object(), []
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", lambda: resolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda r: done.append(("connected", r)))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda r: done.append(("initialised", r)))
    made = types.SimpleNamespace(extended=types.SimpleNamespace(num_hosts=1))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda r: done.append(("strategy", r)) or made)
    assert distribution.make_strategy("tpu") is made
    assert done == [("connected", resolver), ("initialised", resolver), ("strategy", resolver)]
    made.extended.num_hosts = 4
    with pytest.raises(ValueError, match="a TPU of 4 hosts; wanted one of a single host"):
        distribution.make_strategy("tpu")
