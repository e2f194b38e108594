"""From gradient to update: clipping, accumulation, loss scaling and moving averages, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.optimizer import Optimizer

COUNT = 8
X = np.random.default_rng(0).normal(size=(COUNT, 3)).astype(np.float32)


def linear():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def loss_of(network, x, count=COUNT):
    return tf.reduce_sum(tf.square(tf.cast(network(x), tf.float32) - 1)) / count


def network_and_optimizer(learning_rate=0.1, **options):
    network = linear()
    return network, Optimizer([network], lambda iterations: learning_rate, **options)


def step(network, optimizer, x, count=COUNT):
    with tf.GradientTape() as tape:
        loss = loss_of(network, x, count)
    optimizer.minimize(tape, loss)


def weights(network):
    return np.concatenate([w.ravel() for w in network.get_weights()])


@pytest.mark.parametrize("clip_norm", [0.0, 0.3])
def test_updates_are_those_of_adam(clip_norm):
    network, optimizer = network_and_optimizer(clip_norm=clip_norm)
    m, v = np.zeros(8), np.zeros(8)
    for t in range(1, 9):
        with tf.GradientTape() as tape:
            loss = loss_of(network, X)
        gradients = tape.gradient(loss, network.trainable_variables)
        g, before = np.concatenate([np.float64(part).ravel() for part in gradients]), np.float64(weights(network))
        g *= min(1.0, clip_norm / np.linalg.norm(g)) if clip_norm else 1.0
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        correction = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        step(network, optimizer, X)
        expected = before - 0.1 * correction * m / (np.sqrt(v) + 1e-7)
        np.testing.assert_allclose(weights(network), expected, atol=1e-6)
    assert int(optimizer.iterations) == 8


def test_the_learning_rate_depends_on_the_number_of_updates():
    network = linear()
    optimizer = Optimizer([network], lambda iterations: tf.where(iterations < 2, 0.1, 0.0))
    history = []
    for _ in range(4):
        step(network, optimizer, X)
        history.append(weights(network))
    assert not np.array_equal(history[0], history[1]) and np.array_equal(history[1], history[3])


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_a_gradient_beyond_the_maximum_norm_is_dropped_and_nan_is_not_hidden(clip_norm):
    network, optimizer = network_and_optimizer(clip_norm=clip_norm)
    step(network, optimizer, X)
    before, v = weights(network), optimizer.v.numpy()
    step(network, optimizer, X * 1e10)  # its square overflows single precision
    assert np.all(optimizer.v <= v) and np.abs(weights(network) - before).max() < 0.2
    step(network, optimizer, X)
    assert np.isfinite(weights(network)).all() and np.isfinite(optimizer.v).all()
    step(network, optimizer, X * np.nan)
    assert np.isnan(weights(network)).any()


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_accumulated_gradients_update_like_one_large_batch(clip_norm):
    (large, large_optimizer), (small, accumulating) = (
        network_and_optimizer(clip_norm=clip_norm, accumulation_steps=n) for n in (1, 4)
    )
    for _ in range(3):
        step(large, large_optimizer, X)
        for n in range(4):
            before, accumulating.update_mode = weights(small), accumulating.update_mode_at(n + 1)
            step(small, accumulating, X[2 * n : 2 * n + 2], 2)
            assert (accumulating.update_mode == "update") != np.array_equal(weights(small), before)
    np.testing.assert_allclose(weights(small), weights(large), atol=1e-6)


def test_only_every_third_step_counts_with_an_update_interval_of_three():
    network, optimizer = network_and_optimizer(update_interval=3, accumulation_steps=2)
    modes = [optimizer.update_mode_at(n) for n in range(1, 7)]
    assert modes == ["skip", "skip", "accumulate", "skip", "skip", "update"]
    for n in range(1, 7):
        before, optimizer.update_mode = weights(network), optimizer.update_mode_at(n)
        step(network, optimizer, X)
        assert np.array_equal(weights(network), before) == (n < 6)


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.3}, {"accumulation_steps": 2}, {"ema": 0.9}], ids=str)
def test_two_replicas_update_like_one(options, replicas):
    single, single_optimizer = network_and_optimizer(**options)
    with replicas.scope():
        network, optimizer = network_and_optimizer(**options)

    @tf.function
    def replicated_step(portions):
        replicas.run(lambda x: step(network, optimizer, x), args=(portions,))

    portions = replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(X[context.replica_id_in_sync_group :: 2])
    )
    for _ in range(3):
        step(single, single_optimizer, X)
        replicated_step(portions)
    np.testing.assert_allclose(weights(network), weights(single), atol=1e-6)
    if "ema" in options:
        np.testing.assert_allclose(optimizer.average, single_optimizer.average, atol=1e-6)


def test_averages_follow_the_weights_at_their_decay():
    network, optimizer = network_and_optimizer(ema=0.5)
    expected = weights(network)
    for updates in range(4):
        step(network, optimizer, X)
        decay = min(0.5, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * weights(network)
    averaged = optimizer.averaged(network)
    kernel, bias = expected[:6].reshape(3, 2), expected[6:]
    np.testing.assert_allclose(averaged(X), X @ kernel + bias, atol=1e-5)
    assert np.abs(averaged(X) - network(X)).max() > 1e-3


def test_without_an_average_the_network_itself_is_returned():
    network, optimizer = network_and_optimizer()
    assert optimizer.averaged(network) is network and optimizer.average is None


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_in_half_precision_small_gradients_survive_and_overflows_skip_the_update(half_precision):
    network, optimizer = network_and_optimizer()
    before = weights(network)
    step(network, optimizer, X, 1e7)  # gradients of 1e-7 are zero in float16
    assert not np.array_equal(weights(network), before)
    scale, before = float(optimizer.loss_scale), weights(network)
    step(network, optimizer, X, 1e-6)
    np.testing.assert_array_equal(weights(network), before)
    assert float(optimizer.loss_scale) == scale / 2


@pytest.mark.parametrize("options", [{"clip_norm": 1e-3}, {"accumulation_steps": 2}], ids=str)
def test_loss_scaling_makes_no_difference_to_clipping_and_accumulation(options, half_precision):
    network, optimizer = network_and_optimizer(**options)
    keras.config.set_dtype_policy("float32")
    plain, unscaled = network_and_optimizer(**options)
    for _ in range(2):
        step(network, optimizer, X, 1000)  # small enough for the first scale
        step(plain, unscaled, X, 1000)
    assert not np.array_equal(weights(network), weights(linear()))
    np.testing.assert_allclose(weights(network), weights(plain), atol=2e-4)
