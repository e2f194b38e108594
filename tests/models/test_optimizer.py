"""From gradients to moves: clipping, accumulation, loss scaling and averages, on one replica and on two."""

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


def made(rate=0.1, **options):
    network = linear()
    return network, Optimizer([network], lambda number: rate, **options)


def step(network, player, x, count=COUNT):
    with tf.GradientTape() as tape:
        loss = loss_of(network, x, count)
    player.minimise(tape, loss)


def weights(network):
    return np.concatenate([w.ravel() for w in network.get_weights()])


@pytest.mark.parametrize("clip_norm", [0.0, 0.3])
def test_moves_are_those_of_adam(clip_norm):
    network, player = made(clip_norm=clip_norm)
    first, second = np.zeros(8), np.zeros(8)
    for t in range(1, 9):
        with tf.GradientTape() as tape:
            loss = loss_of(network, X)
        found = tape.gradient(loss, network.trainable_variables)
        g, before = np.concatenate([np.float64(part).ravel() for part in found]), np.float64(weights(network))
        g *= min(1.0, clip_norm / np.linalg.norm(g)) if clip_norm else 1.0
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        unbiased = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        step(network, player, X)
        wanted = before - 0.1 * unbiased * first / (np.sqrt(second) + 1e-7)
        np.testing.assert_allclose(weights(network), wanted, atol=1e-6)
    assert int(player.made) == 8


def test_the_rate_is_that_of_the_number_of_moves():
    network = linear()
    player = Optimizer([network], lambda number: tf.where(number < 2, 0.1, 0.0))
    places = []
    for _ in range(4):
        step(network, player, X)
        places.append(weights(network))
    assert not np.array_equal(places[0], places[1]) and np.array_equal(places[1], places[3])


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_an_absurd_gradient_leaves_no_trace_and_one_that_is_no_number_is_not_hidden(clip_norm):
    network, player = made(clip_norm=clip_norm)
    step(network, player, X)
    before, second = weights(network), player.second.numpy()
    step(network, player, X * 1e10)  # whose square is no number of single precision
    assert np.all(player.second <= second) and np.abs(weights(network) - before).max() < 0.2
    step(network, player, X)
    assert np.isfinite(weights(network)).all() and np.isfinite(player.second).all()
    step(network, player, X * np.nan)
    assert np.isnan(weights(network)).any()


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_gradients_that_are_held_move_like_those_of_one_large_batch(clip_norm):
    (whole, at_once), (parts, held) = (made(clip_norm=clip_norm, accumulate=n) for n in (1, 4))
    for _ in range(3):
        step(whole, at_once, X)
        for n in range(4):
            before, held.turn = weights(parts), held.turn_at(n + 1)
            step(parts, held, X[2 * n : 2 * n + 2], 2)
            assert (held.turn == "move") != np.array_equal(weights(parts), before)
    np.testing.assert_allclose(weights(parts), weights(whole), atol=1e-6)


def test_a_player_sits_out_all_but_every_third_step():
    network, player = made(every=3, accumulate=2)
    assert [player.turn_at(n) for n in range(1, 7)] == ["skip", "skip", "hold", "skip", "skip", "move"]
    for n in range(1, 7):
        before, player.turn = weights(network), player.turn_at(n)
        step(network, player, X)
        assert np.array_equal(weights(network), before) == (n < 6)


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.3}, {"accumulate": 2}, {"ema": 0.9}], ids=str)
def test_two_replicas_move_like_one(options, replicas):
    alone, one = made(**options)
    with replicas.scope():
        network, player = made(**options)

    @tf.function
    def both(portions):
        replicas.run(lambda x: step(network, player, x), args=(portions,))

    portions = replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(X[context.replica_id_in_sync_group :: 2])
    )
    for _ in range(3):
        step(alone, one, X)
        both(portions)
    np.testing.assert_allclose(weights(network), weights(alone), atol=1e-6)
    if "ema" in options:
        np.testing.assert_allclose(player.average, one.average, atol=1e-6)


def test_averages_follow_the_weights_at_their_decay():
    network, player = made(ema=0.5)
    wanted = weights(network)
    for moved in range(4):
        step(network, player, X)
        decay = min(0.5, (1 + moved) / (10 + moved))
        wanted = decay * wanted + (1 - decay) * weights(network)
    averaged = player.averaged(network)
    kernel, bias = wanted[:6].reshape(3, 2), wanted[6:]
    np.testing.assert_allclose(averaged(X), X @ kernel + bias, atol=1e-5)
    assert np.abs(averaged(X) - network(X)).max() > 1e-3


def test_without_an_average_the_network_speaks_for_itself():
    network, player = made()
    assert player.averaged(network) is network and player.average is None


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_in_half_precision_small_gradients_survive_and_large_ones_do_not_move(half_precision):
    network, player = made()
    before = weights(network)
    step(network, player, X, 1e7)  # gradients of 1e-7 are zero in float16
    assert not np.array_equal(weights(network), before)
    scale, before = float(player.scale), weights(network)
    step(network, player, X, 1e-6)
    np.testing.assert_array_equal(weights(network), before)
    assert float(player.scale) == scale / 2


@pytest.mark.parametrize("options", [{"clip_norm": 1e-3}, {"accumulate": 2}], ids=str)
def test_loss_scaling_makes_no_difference_to_clipping_and_accumulation(options, half_precision):
    network, player = made(**options)
    keras.config.set_dtype_policy("float32")
    plain, unscaled = made(**options)
    for _ in range(2):
        step(network, player, X, 1000)  # small enough for the first scale
        step(plain, unscaled, X, 1000)
    assert not np.array_equal(weights(network), weights(linear()))
    np.testing.assert_allclose(weights(network), weights(plain), atol=2e-4)
