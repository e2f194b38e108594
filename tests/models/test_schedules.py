"""Numbers that change with the step."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models import schedules


@st.composite
def points(draw):
    """Points of a schedule, their steps in rising order."""
    steps = sorted(draw(st.sets(st.integers(0, 10000), min_size=1, max_size=5)))
    return tuple((step, draw(st.floats(-10, 10, width=32))) for step in steps)


def at(schedule, step):
    return float(schedules.at_step(schedule, tf.constant(step)))


@laws
@given(schedule=points())
def test_a_schedule_passes_through_its_points(schedule):
    assert [at(schedule, step) for step, _ in schedule] == pytest.approx([value for _, value in schedule], abs=1e-4)


@laws
@given(schedule=points(), step=st.integers(0, 20000))
def test_a_schedule_is_linear_between_its_points_and_flat_outside_them(schedule, step):
    assert at(schedule, step) == pytest.approx(np.interp(step, *zip(*schedule, strict=True)), abs=1e-3)


@laws
@given(schedule=points(), step=st.integers(0, 20000))
def test_a_schedule_is_the_same_in_a_graph_that_does_not_know_the_step(schedule, step):
    graph = tf.function(lambda step: schedules.at_step(schedule, step), input_signature=[tf.TensorSpec([], tf.int64)])
    assert float(graph(tf.constant(step, tf.int64))) == pytest.approx(at(schedule, step), abs=1e-5)


@pytest.mark.parametrize("step", [0, 7, 10**6])
def test_a_number_is_the_schedule_that_never_changes(step):
    assert schedules.at_step(3.5, tf.constant(step)) == 3.5
    assert at(((0, 3.5),), step) == 3.5


def test_two_points_at_one_step_are_a_jump():
    schedule = ((0, 1.0), (100, 1.0), (100, 0.0))
    assert [at(schedule, step) for step in (99, 101)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("schedule", "zero"),
    [
        (0.0, True),
        (0, True),
        (2.0, False),
        (((0, 0.0), (9, 0.0)), True),
        (((0, 0.0), (9, 1e-9)), False),
        (((0, 5.0), (9, 0.0)), False),
    ],
)
def test_only_what_is_zero_at_every_step_counts_as_zero(schedule, zero):
    assert schedules.is_zero(schedule) is zero


@laws
@given(rate=st.floats(1e-6, 1), steps=st.integers(1, 5000), flat=st.floats(0, 1), place=st.floats(0, 1.5))
def test_a_rate_stays_then_falls_in_a_line_to_zero(rate, steps, flat, place):
    step = int(place * steps)
    start = flat * steps
    wanted = 1.0 if step <= start else max(0.0, (steps - step) / max(steps - start, 1))
    found = float(schedules.LearningRate(rate, steps, flat=flat)(step))
    if steps - start >= 1:  # else there is no room for a line
        assert found == pytest.approx(rate * wanted, abs=2e-3 * rate)
    assert 0 <= found <= rate * (1 + 1e-6) and (found == 0 or step < steps)


def test_a_rate_falls_by_its_factor_from_the_step_at_which_the_factor_is_lowered():
    factor = tf.Variable(1.0)
    schedule = schedules.LearningRate(0.1, 100, scale=factor)
    compiled = tf.function(lambda step: schedule(step))
    before = float(compiled(tf.constant(60)))
    factor.assign(0.5)
    assert float(compiled(tf.constant(60))) == pytest.approx(before / 2)


def test_a_rate_is_rebuilt_from_its_configuration():
    one = schedules.LearningRate(0.1, 100, flat=0.25)
    other = schedules.LearningRate(**json.loads(json.dumps(one.get_config())))
    assert [float(one(step)) for step in range(0, 120, 7)] == [float(other(step)) for step in range(0, 120, 7)]


def test_an_optimiser_steps_by_the_rate_of_its_step():
    weight = keras.Variable(0.0)
    optimizer = keras.optimizers.SGD(schedules.LearningRate(1.0, 4, flat=0.5))
    places = []
    for _ in range(5):
        optimizer.apply_gradients([(tf.constant(-1.0), weight)])
        places.append(float(weight))
    np.testing.assert_allclose(places, np.cumsum([1.0, 1.0, 1.0, 0.5, 0.0]))


@laws
@given(step=st.integers(0, 200), warmup=st.integers(1, 50))
def test_a_rate_rises_to_what_it_would_be_and_then_is_it(step, warmup):
    warm, cold = (float(schedules.LearningRate(1.0, 200, warmup_steps=n)(step)) for n in (warmup, 0))
    assert warm == pytest.approx(cold * min(1, (step + 1) / warmup), abs=1e-6)


def test_other_decays_stay_and_fall_along_a_cosine():
    constant, cosine = (schedules.LearningRate(2.0, 100, decay=d) for d in ("constant", "cosine"))
    assert [float(constant(step)) for step in (0, 50, 500)] == [2.0, 2.0, 2.0]
    np.testing.assert_allclose([cosine(step) for step in (0, 25, 50, 100, 200)], [2, 1 + 0.5**0.5, 1, 0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="decay='fast'; wanted one of linear"):
        schedules.LearningRate(1.0, 10, decay="fast")
