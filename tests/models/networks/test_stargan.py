"""Networks of StarGAN-VC: filters, generators and discriminators that depend on the domain."""

import numpy as np
import tensorflow as tf
from network_cases import BINS, perturb_weights

from models.networks import mels, stargan


def test_the_filter_is_selected_by_source_and_target(rng):
    kernels, x = rng.normal(size=(3, 3, 5, 4, 4)).astype(np.float32), rng.normal(size=(2, 9, 4)).astype(np.float32)
    source, target = np.eye(3, dtype=np.float32)[[0, 2]], np.eye(3, dtype=np.float32)[[1, 0]]
    outputs = stargan.apply_domain_pair_filter(
        tf.constant(x), tf.constant(kernels), tf.constant(source), tf.constant(target)
    )
    for n, (a, b) in enumerate(((0, 1), (2, 0))):
        np.testing.assert_allclose(outputs[n], tf.nn.conv1d(x[n : n + 1], kernels[a, b], 1, "SAME")[0], atol=1e-4)


def test_a_conditional_mel_generator_starts_at_the_transport_filter_of_its_domains_and_depends_on_them(rng):
    kernels = rng.normal(size=(2, 2, 5, 4, 4)).astype(np.float32)
    network = stargan.mel_generator(4, domains=2, channels=4, blocks=1, kernel=3, transports=kernels)
    x, (here, there) = rng.normal(size=(1, 9, 4)).astype(np.float32), np.eye(2, dtype=np.float32)[:, None]
    np.testing.assert_allclose(network([x, here, there]), tf.nn.conv1d(x, kernels[0, 1], 1, "SAME"), atol=1e-4)
    same = stargan.mel_generator(4, domains=2, channels=4, blocks=1, kernel=3, transports=np.zeros_like(kernels))
    perturb_weights(same, rng)
    assert np.abs(same([x, here, there]) - same([x, there, here])).max() > 1e-3


def test_a_conditional_discriminator_outputs_the_channel_of_the_domain_label(rng):
    discriminator = perturb_weights(mels.mel_discriminator(BINS, channels=4, outputs=3), rng)
    x, code = rng.normal(size=(2, 16, BINS)).astype(np.float32), np.eye(3, dtype=np.float32)[[2, 0]]
    logits, every = stargan.select_by_domain_label(discriminator, 3)([x, code]), discriminator(x).numpy()
    np.testing.assert_allclose(logits[..., 0], [every[0, :, 2], every[1, :, 0]], atol=1e-6)


def test_one_filter_can_serve_all_domains(rng):
    kernels, x = rng.normal(size=(1, 1, 5, 4, 4)).astype(np.float32), rng.normal(size=(2, 9, 4)).astype(np.float32)
    source, target = np.eye(3, dtype=np.float32)[[0, 2]], np.eye(3, dtype=np.float32)[[1, 0]]
    network = stargan.mel_generator(4, domains=3, channels=4, blocks=1, kernel=3, transports=kernels)
    np.testing.assert_allclose(network([x, source, target]), tf.nn.conv1d(x, kernels[0, 0], 1, "SAME"), atol=1e-4)
