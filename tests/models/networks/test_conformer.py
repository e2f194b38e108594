import numpy as np
import pytest
import tensorflow as tf

from models.networks import conformer

SIZE, BANDS, OUTPUTS, BLOCKS = 8, 6, 5, 2


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)

    def dense(name, inputs, outputs):
        return {f"{name}/kernel": rng.normal(size=(inputs, outputs)) / inputs**0.5, f"{name}/bias": np.zeros(outputs)}

    def norm(name):
        return {f"{name}/scale": np.ones(SIZE), f"{name}/bias": np.zeros(SIZE)}

    made = {"stem/kernel": rng.normal(size=(3, BANDS, SIZE)), "stem/bias": np.zeros(SIZE)}
    for n in range(BLOCKS):
        block = f"block_{n}"
        for part, hidden in (("feed_forward_1", 4 * SIZE), ("feed_forward_2", 4 * SIZE)):
            made |= norm(f"{block}/{part}/norm") | dense(f"{block}/{part}/in", SIZE, hidden)
            made |= dense(f"{block}/{part}/out", hidden, SIZE)
        made |= norm(f"{block}/attention/norm") | dense(f"{block}/attention/in", SIZE, 3 * SIZE)
        made |= dense(f"{block}/attention/out", SIZE, SIZE)
        made |= norm(f"{block}/convolution/norm") | dense(f"{block}/convolution/in", SIZE, 2 * SIZE)
        made |= dense(f"{block}/convolution/out", SIZE, SIZE)
        made[f"{block}/convolution/depthwise/kernel"] = rng.normal(size=(31, SIZE))
        made[f"{block}/convolution/depthwise/bias"] = np.zeros(SIZE)
        made |= norm(f"{block}/norm")
    return {name: tf.constant(value, tf.float32) for name, value in (made | dense("output", SIZE, OUTPUTS)).items()}


def encode(x, weights, **options):
    return conformer.encode(tf.constant(x, tf.float32), weights, blocks=BLOCKS, **options).numpy()


def test_shape_and_stride(weights):
    x = np.zeros((2, 21, BANDS))
    assert encode(x, weights).shape == (2, 21, OUTPUTS)
    assert encode(x, weights, stride=2).shape == (2, 11, OUTPUTS)


def test_examples_are_independent(weights):
    x = np.random.default_rng(1).normal(size=(2, 20, BANDS))
    np.testing.assert_allclose(encode(x, weights)[1:], encode(x[1:], weights), atol=1e-5)


def test_limited_attention_limits_the_receptive_field(weights):
    x = np.random.default_rng(1).normal(size=(1, 200, BANDS))
    changed = x.copy()
    changed[:, 0] += 1.0
    reach = 1 + BLOCKS * (3 + 15)
    near, far = (encode(each, weights, attention_frames=3) for each in (x, changed))
    assert np.abs(near - far)[:, reach + 1 :].max() == 0
    assert np.abs(near - far)[:, : reach - 2].max() > 0
    assert np.abs(encode(x, weights) - encode(changed, weights))[:, reach + 1 :].max() > 0
