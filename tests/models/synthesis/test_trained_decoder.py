"""The trained initial weights of the decoder."""

import io

import keras
import numpy as np
import pytest

from models.features.audio_spec import AudioSpec, band_centres
from models.networks import speech_decoder
from models.recognition import content_encoder
from models.synthesis import trained_decoder

SIZES = {"embedding": 64, "channels": 256, "blocks": 8, "kernel": 5}


def networks(domains=2, **changes):
    sizes = SIZES | changes
    decoder = speech_decoder.speech_decoder(content_encoder.COMPONENTS + 3, 80, **sizes)
    embedding = speech_decoder.domain_embedding(domains, sizes["embedding"])
    return [decoder, embedding, speech_decoder.mel_patch_discriminator(80, channels=32)]


def equal_layers(network, before):
    return {layer.name for layer in network.layers if layer.weights and not changed(layer, before)}


def changed(layer, before):
    return any((a != b).any() for a, b in zip(layer.get_weights(), before[layer.name], strict=True))


def snapshot(network):
    return {layer.name: layer.get_weights() for layer in network.layers}


def test_all_domains_begin_as_the_average_voice():
    made = networks(domains=3)
    trained_decoder.initialize(made, AudioSpec.at(16000))
    table = made[1].get_layer("table").get_weights()[0]
    assert table.shape == (3, 64)
    np.testing.assert_array_equal(table[0], table[2])


def test_every_layer_is_loaded_for_the_default_front_end():
    for network in networks():
        before = snapshot(network)
        trained_decoder.initialize([network], AudioSpec.at(16000))
        assert not equal_layers(network, before)


@pytest.mark.parametrize("spec", [AudioSpec.at(8000), AudioSpec.at(22050), AudioSpec.at(16000, n_mels=40)])
def test_bands_of_other_front_ends_are_interpolated(spec):
    sizes = [content_encoder.COMPONENTS + 3, spec.n_mels]
    known, other = networks()[0], speech_decoder.speech_decoder(*sizes, **SIZES)
    for network, front_end in ((known, trained_decoder.SPEC), (other, spec)):
        trained_decoder.initialize([network], front_end)
    known, other = (keras.Model(net.inputs, net.get_layer("log_mels").output) for net in (known, other))
    rng = np.random.default_rng(0)
    features, voice = (np.float32(rng.normal(size=(1, *shape))) for shape in ((20, sizes[0]), (SIZES["embedding"],)))
    silent = [np.zeros((1, 20, bins), np.float32) for bins in (80, spec.n_mels)]
    y, z = (net([features, tones, voice]).numpy()[0, 10] for net, tones in zip((known, other), silent, strict=True))
    inside = band_centres(spec) <= band_centres(trained_decoder.SPEC)[-1]
    wanted = np.interp(band_centres(spec), band_centres(trained_decoder.SPEC), y)
    np.testing.assert_allclose(z[inside], wanted[inside], atol=1e-3)
    assert np.abs(z).max() > 0.1


@pytest.mark.parametrize("changes", [{"channels": 128}, {"blocks": 7}, {"blocks": 9}, {"embedding": 32}])
def test_networks_of_other_sizes_stay_as_they_are(changes):
    decoder, *_ = networks(**changes)
    before = snapshot(decoder)
    trained_decoder.initialize([decoder], AudioSpec.at(16000))
    assert not any(changed(layer, before) for layer in decoder.layers)


def test_written_weights_are_read_in_single_precision():
    first, second = networks(channels=16, blocks=1), networks(channels=16, blocks=1)
    with io.BytesIO() as file:
        trained_decoder.write_weights(file, first)
        weights = trained_decoder.read_weights(io.BytesIO(file.getvalue()))
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}
    trained_decoder.assign(second, weights, trained_decoder.SPEC)
    kernels = [decoder.get_layer("block_0").get_weights()[0] for decoder, *_ in (first, second)]
    np.testing.assert_allclose(*kernels, atol=1e-3)
