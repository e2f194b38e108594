"""Laws of every network: finite gradients, independent examples, reproducible weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from network_cases import BINS, SPECS, generator, perturb_weights

from models.features.image import ImageSpec
from models.networks import images, mask_cyclegan, mels

SPEC = SPECS["28x28x1"]


NETWORKS = {
    "mel_generator": (lambda: generator(), (16, BINS)),
    "mel_discriminator": (lambda: mels.mel_discriminator(BINS, channels=4), (16, BINS)),
    "masked_generator": (lambda: mask_cyclegan.masked_generator(8, channels=4, blocks=1, masks=False), (16, 8)),
    "mel_patch_discriminator": (lambda: mask_cyclegan.mel_patch_discriminator(8, channels=4), (16, 8)),
    "unet_generator": (lambda: images.unet_generator(SPEC, channels=2), (28, 28, 1)),
    "mel_encoder": (lambda: mels.mel_encoder(BINS, 16, channels=4, outputs=3), (16, BINS)),
    "mel_decoder": (lambda: mels.mel_decoder(BINS, 16, channels=4, latent=3), (3,)),
    "resnet_generator": (lambda: images.resnet_generator(SPEC, channels=2, blocks=1), (28, 28, 1)),
    "patch_discriminator": (lambda: images.patch_discriminator(SPEC, channels=2), (28, 28, 1)),
    "image_encoder": (lambda: images.image_encoder(SPEC, channels=2, outputs=3), (28, 28, 1)),
    "image_decoder": (lambda: images.image_decoder(SPEC, channels=2, latent=3), (3,)),
}


parametrize_networks = pytest.mark.parametrize("name", NETWORKS)


@parametrize_networks
@pytest.mark.parametrize("value", [0.0, -1.0, 1.0, -9.0])
def test_constant_input_gives_finite_outputs_and_gradients(name, value):
    build, shape = NETWORKS[name]
    network, x = build(), tf.fill([2, *shape], value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = network(x)
        loss = tf.reduce_sum(tf.square(y - 1))
    gradients = tape.gradient(loss, [x, *network.trainable_variables])
    assert np.isfinite(y).all() and all(np.isfinite(gradient).all() for gradient in gradients)


@parametrize_networks
def test_no_example_depends_on_its_neighbours_in_the_batch(name, rng):
    build, shape = NETWORKS[name]
    network = perturb_weights(build(), rng)
    x = rng.uniform(-1, 1, (3, *shape)).astype(np.float32)
    np.testing.assert_allclose(network(x)[1:2], network(x[1:2]), atol=1e-4)


@parametrize_networks
def test_the_same_seed_gives_the_same_weights(name):
    build, _ = NETWORKS[name]
    networks = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        networks.append(build())
    assert networks[0].name == networks[1].name == name
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(one, other)


def test_spectral_norm_applies_to_every_kernel_of_a_discriminator():
    for discriminator in (
        images.image_discriminator(ImageSpec(height=20, width=36), channels=4, spectral_norm=True),
        mels.mel_discriminator(32, channels=4, spectral_norm=True),
    ):
        maps = [layer for layer in discriminator.layers if hasattr(layer, "kernel")]
        assert maps and all(hasattr(layer, "power_iteration") for layer in maps)
