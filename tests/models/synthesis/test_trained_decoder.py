"""The trained initial weights of the decoder."""

import io

import numpy as np
import pytest

from models.features.audio_spec import AudioSpec
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


def test_other_front_ends_get_the_layers_that_do_not_depend_on_bands():
    decoder, *_ = networks()
    before = snapshot(decoder)
    trained_decoder.initialize([decoder], AudioSpec.at(8000))
    assert equal_layers(decoder, before) == set(trained_decoder.FRONT_END_LAYERS)


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
