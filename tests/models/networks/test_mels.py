"""Networks for mel spectrograms: shapes, receptive fields and initial values."""

import numpy as np
import pytest
import tensorflow as tf
from network_cases import BINS, generator, lengths, perturb_weights, receptive_field

from models.features import transport
from models.networks import mels


@lengths
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_a_mel_generator_begins_as_its_transport_filter(frames, taps, rng):
    kernel = rng.normal(size=(taps, BINS, BINS))
    x = rng.normal(size=(2, frames, BINS)).astype(np.float32)
    outputs = generator(taps=kernel)(x)
    assert outputs.shape == x.shape
    for one, wanted in zip(outputs, x, strict=True):
        np.testing.assert_allclose(one, transport.apply_kernel(wanted, kernel), atol=1e-5)


def test_all_weights_of_a_mel_generator_but_its_filter_are_trained(rng):
    network = perturb_weights(generator(taps=np.ones((3, BINS, BINS))), rng)
    assert len(network.non_trainable_variables) == 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(rng.normal(size=(2, 9, BINS)))))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert gradients and all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_the_receptive_field_of_a_mel_generator_is_its_context(blocks, kernel, rng):
    context = mels.mel_generator_context(blocks=blocks, kernel=kernel, taps=2 * transport.CONTEXT + 1)
    frames, middle = 2 * context + 21, context + 10
    taps = rng.normal(size=(2 * transport.CONTEXT + 1, BINS, BINS))
    network = perturb_weights(generator(blocks, kernel, taps), rng)
    x = rng.normal(size=(1, frames, BINS)).astype(np.float32)
    field = np.flatnonzero(receptive_field(network, x, (0, middle)))
    assert (middle - field.min(), field.max() - middle) == (context, context)
    whole = network(x)[:, middle]
    beyond = np.abs(np.arange(frames) - middle)[:, None] > context
    np.testing.assert_allclose(network(np.where(beyond, 9, x))[:, middle], whole, atol=1e-5)
    at_the_edge = np.abs(np.arange(frames) - middle)[:, None] == context
    assert not np.allclose(network(np.where(at_the_edge, 9, x))[:, middle], whole, atol=1e-5)


@lengths
def test_a_mel_discriminator_has_one_output_for_four_frames(frames, rng):
    discriminator = mels.mel_discriminator(BINS, channels=4)
    logits = discriminator(rng.normal(size=(2, frames, BINS)))
    assert logits.shape == (2, -(-frames // 4), 1)
    assert discriminator.trainable_variables == discriminator.variables


def test_the_receptive_field_of_a_mel_discriminator_is_about_thirty_frames(rng):
    discriminator = perturb_weights(mels.mel_discriminator(BINS, channels=4), rng)
    field = np.flatnonzero(receptive_field(discriminator, rng.normal(size=(1, 100, BINS)).astype(np.float32), (0, 12)))
    assert 25 <= np.ptp(field) + 1 <= 35


@pytest.mark.parametrize("frames", [4, 16, 40])
def test_mel_encoders_and_decoders_have_matching_shapes(frames, rng):
    encoder = mels.mel_encoder(BINS, frames, channels=4, outputs=5)
    decoder = mels.mel_decoder(BINS, frames, channels=4, latent=5)
    code = encoder(rng.normal(size=(2, frames, BINS)))
    assert code.shape == (2, 5) and decoder(code).shape == (2, frames, BINS)
