"""Networks for mel spectrograms: shapes, receptive fields and initial values."""

import numpy as np
import pytest
import tensorflow as tf
from network_cases import BINS, generator, lengths, seen_by, shaken

from models.features import transport
from models.networks import mels


@lengths
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_a_mel_generator_begins_as_its_transport_filter(frames, taps, rng):
    kernel = rng.normal(size=(taps, BINS, BINS))
    x = rng.normal(size=(2, frames, BINS)).astype(np.float32)
    found = generator(taps=kernel)(x)
    assert found.shape == x.shape
    for one, wanted in zip(found, x, strict=True):
        np.testing.assert_allclose(one, transport.apply_kernel(wanted, kernel), atol=1e-5)


def test_a_mel_generator_never_trains_its_filter_and_can_train_all_else(rng):
    network = shaken(generator(taps=np.ones((3, BINS, BINS))), rng)
    assert len(network.non_trainable_variables) == 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(rng.normal(size=(2, 9, BINS)))))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert gradients and all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_a_mel_generator_sees_exactly_the_context_it_says(blocks, kernel, rng):
    context = mels.mel_generator_context(blocks=blocks, kernel=kernel, taps=2 * transport.CONTEXT + 1)
    frames, middle = 2 * context + 21, context + 10
    taps = rng.normal(size=(2 * transport.CONTEXT + 1, BINS, BINS))
    network = shaken(generator(blocks, kernel, taps), rng)
    x = rng.normal(size=(1, frames, BINS)).astype(np.float32)
    seen = np.flatnonzero(seen_by(network, x, (0, middle)))
    assert (middle - seen.min(), seen.max() - middle) == (context, context)
    whole = network(x)[:, middle]
    beyond = np.abs(np.arange(frames) - middle)[:, None] > context
    np.testing.assert_allclose(network(np.where(beyond, 9, x))[:, middle], whole, atol=1e-5)
    at_the_edge = np.abs(np.arange(frames) - middle)[:, None] == context
    assert not np.allclose(network(np.where(at_the_edge, 9, x))[:, middle], whole, atol=1e-5)


@lengths
def test_a_mel_discriminator_judges_every_fourth_frame(frames, rng):
    critic = mels.mel_discriminator(BINS, channels=4)
    judged = critic(rng.normal(size=(2, frames, BINS)))
    assert judged.shape == (2, -(-frames // 4), 1)
    assert critic.trainable_variables == critic.variables


def test_a_mel_discriminator_judges_stretches_of_some_thirty_frames(rng):
    critic = shaken(mels.mel_discriminator(BINS, channels=4), rng)
    seen = np.flatnonzero(seen_by(critic, rng.normal(size=(1, 100, BINS)).astype(np.float32), (0, 12)))
    assert 25 <= np.ptp(seen) + 1 <= 35


@pytest.mark.parametrize("frames", [4, 16, 40])
def test_mels_are_coded_and_decoded_in_shape(frames, rng):
    encoder = mels.mel_encoder(BINS, frames, channels=4, outputs=5)
    decoder = mels.mel_decoder(BINS, frames, channels=4, latent=5)
    code = encoder(rng.normal(size=(2, frames, BINS)))
    assert code.shape == (2, 5) and decoder(code).shape == (2, frames, BINS)
