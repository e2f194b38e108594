"""A training step as an XLA program: its inputs are variables, and its outputs their new values and the losses."""

import json
import lzma

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import export_step


class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(np.ones([3, 2], np.float32), name="weight")
        self.batch = tf.Variable(tf.zeros([4, 3]), name="batch")
        self.number = tf.Variable(0, dtype=tf.int64, name="number")

    def step(self):
        loss = tf.reduce_mean(tf.square(self.batch.read_value() @ self.weight.read_value()))
        self.weight.assign_sub(tf.fill([3, 2], loss) * tf.cast(self.number.read_value() + 1, tf.float32))
        return {"loss": loss}


@pytest.mark.parametrize("redrawn", [False, True])
def test_variables_are_inputs_and_what_is_updated_is_an_output(tmp_path, redrawn):
    model, path = Model(), str(tmp_path / "step.npz")
    variables = {"batch": model.batch, "number": model.number}
    drawn = [model.weight] if redrawn else []
    export_step.write(path, model, model.step, **variables, networks=[], redrawn=drawn)
    with np.load(path) as arrays:
        fields = json.loads(str(arrays["fields"]))
        values = {name: arrays[f"value_{n:04}"] for n, name in enumerate(fields["names"])}
        assert lzma.decompress(arrays["program"].tobytes())
    names = fields["names"]
    assert sorted(names) == ["batch:0", "number:0", "weight:0"] and fields["losses"] == ["loss"]
    assert fields["outputs"] == [-1, names.index("weight:0")]
    assert (names[fields["batch"]], names[fields["number"]]) == ("batch:0", "number:0")
    assert values["weight:0"].shape == (() if redrawn else (3, 2))


def test_a_program_that_does_not_read_the_batch_is_refused(tmp_path):
    model = Model()

    def step():
        return {"loss": tf.reduce_sum(tf.zeros(tf.cast(model.batch[0, :1], tf.int32)))}

    with pytest.raises(ValueError, match="the batch is a constant of the program"):
        export_step.write(str(tmp_path / "x.npz"), model, step, batch=model.batch, number=model.number, networks=[])


def test_networks_are_written_without_the_functions_of_the_optimizer(tmp_path):
    model = Model()
    x = keras.Input((3,))
    network = keras.Model(x, keras.layers.Dense(1)(x))
    network.call = tf.function(network.call, autograph=False)
    function = network.call

    def step():
        return {"loss": tf.reduce_sum(network(model.batch.read_value())) + tf.cast(model.number, tf.float32)}

    model.network = network
    variables = {"batch": model.batch, "number": model.number}
    export_step.write(str(tmp_path / "x.npz"), model, step, **variables, networks=[network])
    assert network.call is not function
