"""A third-party plugin that trains with a Keras optimizer: resuming, export, and replicas."""

import contextlib
import dataclasses
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from testbed import train

import plugins
from models.losses import reconstruction, reduction
from pipelines.data import dataset
from pipelines.inference import exported_model
from plugins import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Keys of `linear`."""

    learning_rate: float = 1e-2


class Linear(base.Plugin):
    """Reconstructs every frame by one matrix, trained by `keras.optimizers.AdamW`."""

    Config = Config
    KINDS = ("audio",)

    def __init__(self, config, spec):
        super().__init__(config, spec)
        x = keras.Input(spec.feature_shape())
        self.network = keras.Model(x, keras.layers.Dense(spec.bins)(x))
        schedule = self.learning_rate(config.learning_rate, steps=config.steps, warmup_steps=config.warmup_steps)
        self.optimizer = keras.optimizers.AdamW(schedule)
        self.optimizer.build(self.network.trainable_variables)

    def train_step(self, batch, global_batch_size):
        with tf.GradientTape() as tape:
            values = self.eval_step(batch, global_batch_size)
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(values["reconstruction"], variables), variables, strict=True))
        return values

    def eval_step(self, batch, global_batch_size):
        x = self.normalize(batch["x"], self.spec.overall)
        return {"reconstruction": reduction.batch_mean(reconstruction.l2(x, self.network(x)), global_batch_size)}

    def signatures(self):
        @tf.function(input_signature=[self.features_in()], autograph=False)
        def reconstruct(features):
            x = self.normalize(features, self.spec.overall)
            return self.denormalize(self.network(x), self.spec.overall)

        return {"reconstruct": reconstruct}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setitem(plugins.BUILT_IN, "linear", f"{__name__}:Linear")


def weights(plugin):
    return np.concatenate([w.ravel() for w in plugin.network.get_weights()])


def terminate_after(trained, steps):
    """Lets a trainer receive SIGTERM in that step."""
    step, calls = trained.replicated_train_step(()), []

    def terminated(batch):
        calls.append(None)
        if len(calls) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(batch)

    trained.replicated_train_step = lambda _: terminated


def test_training_resumes_exactly_and_the_export_is_the_model(speech_records, tmp_path, features_only):
    uninterrupted = train(str(tmp_path / "once"), speech_records, "linear", steps=6)
    initial = weights(uninterrupted.plugin)
    uninterrupted.fit()
    assert np.abs(weights(uninterrupted.plugin) - initial).max() > 1e-3
    stopped = train(str(tmp_path / "twice"), speech_records, "linear", steps=6)
    terminate_after(stopped, 3)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    resumed = train(str(tmp_path / "twice"), speech_records, "linear", steps=6)
    resumed.fit()
    np.testing.assert_array_equal(weights(resumed.plugin), weights(uninterrupted.plugin))
    x = np.random.default_rng(0).normal(size=(1, 16, 32)).astype(np.float32) - 3
    exported = exported_model.Model(str(tmp_path / "once")).call("reconstruct", features=x)
    np.testing.assert_allclose(exported, uninterrupted.signatures["reconstruct"](tf.constant(x)), atol=1e-5)


def test_two_replicas_update_like_one(speech_records, replicas):
    spec, x = dataset.open_records(speech_records).spec, np.random.default_rng(0).normal(size=(4, 16, 32)) - 3
    batch = {"x": tf.constant(x, tf.float32)}
    plugins_ = []
    for scope in (contextlib.nullcontext(), replicas.scope()):
        with scope:
            keras.utils.set_random_seed(0)
            plugins_.append(Linear(Config(), spec))
    single, mirrored = plugins_
    portions = {
        "x": replicas.experimental_distribute_values_from_function(
            lambda context: batch["x"][context.replica_id_in_sync_group :: 2]
        )
    }
    for _ in range(3):
        single.train_step(batch, 4)
        replicas.run(mirrored.train_step, args=(portions, 4))
    np.testing.assert_allclose(weights(mirrored), weights(single), atol=1e-6)
