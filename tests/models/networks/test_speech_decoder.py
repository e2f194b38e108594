"""The decoder of speech and its discriminator."""

import numpy as np
import pytest

from models.networks import speech_decoder

FEATURES, BINS, EMBEDDING = 10, 24, 4
SIZES = {"embedding": EMBEDDING, "channels": 16, "kernel": 3}


def random(rng, *shape):
    return np.float32(rng.normal(size=shape))


def test_harmonics_are_scaled_and_added_and_change_nothing_else(rng):
    network = speech_decoder.speech_decoder(FEATURES, BINS, blocks=2, **SIZES)
    gain = network.get_layer("harmonic_gain")
    gain.set_weights([random(rng, *weights.shape) for weights in gain.get_weights()])
    x, voice, tones = random(rng, 2, 20, FEATURES), random(rng, 2, EMBEDDING), random(rng, 2, 20, BINS)
    envelope, once, twice = (network([x, k * tones, voice]).numpy() for k in (0.0, 1.0, 2.0))
    assert np.abs(once - envelope).mean() > 0.01
    np.testing.assert_allclose(twice - envelope, 2 * (once - envelope), atol=1e-4)


def test_local_convolutions_add_to_the_sum_and_only_nearby(rng):
    network = speech_decoder.speech_decoder(FEATURES, BINS, blocks=1, **SIZES)
    inputs = [random(rng, 1, 20, FEATURES), random(rng, 1, 20, BINS), random(rng, 1, EMBEDDING)]
    before = network(inputs).numpy()
    last = network.get_layer("refine_output")
    last.set_weights([random(rng, *weights.shape) for weights in last.get_weights()])
    assert np.abs(network(inputs).numpy() - before).mean() > 0.01
    first = network(inputs).numpy()
    inputs[1][0, 10, 12] += 1  # one band of one frame
    changed = np.abs(network(inputs).numpy() - first)[0] > 1e-5
    frames, bands = np.nonzero(changed)
    assert 5 < changed.sum() and np.abs(frames - 10).max() <= 5 and np.abs(bands - 12).max() <= 6


def test_a_frame_depends_on_no_frame_beyond_the_context(rng):
    blocks = 2
    network = speech_decoder.speech_decoder(FEATURES, BINS, blocks=blocks, **SIZES)
    reach = speech_decoder.speech_decoder_context(blocks=blocks, kernel=SIZES["kernel"])
    x, voice, tones = random(rng, 1, 40, FEATURES), random(rng, 1, EMBEDDING), random(rng, 1, 40, BINS)
    altered = x + np.float32(np.arange(40) < 10)[None, :, None]
    first, second = (network([value, tones, voice]).numpy()[0] for value in (x, altered))
    np.testing.assert_allclose(first[9 + reach + 1 :], second[9 + reach + 1 :], atol=1e-5)
    assert np.abs(first - second)[9].max() > 1e-3


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_the_discriminator_judges_patches(rng, spectral_norm):
    network = speech_decoder.mel_patch_discriminator(BINS, channels=4, spectral_norm=spectral_norm)
    assert network(random(rng, 2, 32, BINS)).shape == (2, 8, 3, 1)
