"""Networks: shapes, ranges, what each output sees, and how training begins."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import code_networks, layers, mask_networks, networks
from models.features import transport
from models.features.image import ImageSpec

BINS = 6
SPECS = {
    "28x28x1": ImageSpec(height=28, width=28, channels=1),
    "64x64x3": ImageSpec(height=64, width=64),
    "32x48x3": ImageSpec(height=32, width=48),
    "8x8x1": ImageSpec(height=8, width=8, channels=1),
}

each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
lengths = pytest.mark.parametrize("frames", [1, 2, 7, 64])


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def generator(blocks=1, kernel=5, taps=None):
    taps = np.zeros((1, BINS, BINS)) if taps is None else taps
    return networks.mel_generator(BINS, channels=4, blocks=blocks, kernel=kernel, transport=taps)


def shaken(network, rng):
    """The network with no weight at zero."""
    network.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in network.get_weights()])
    return network


def pictures(spec, rng, batch=2):
    return rng.uniform(-1, 1, (batch, spec.height, spec.width, spec.channels)).astype(np.float32)


def seen_by(network, x, place):
    """Which of the first axes after the batch move the output at `place`, bool."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(network(x)[place])
    return tf.reduce_any(tape.gradient(y, x)[0] != 0, axis=-1).numpy()


# ------------------------------------------------------------------ translation of speech


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
    context = networks.mel_generator_context(blocks=blocks, kernel=kernel, taps=2 * transport.CONTEXT + 1)
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
    critic = networks.mel_discriminator(BINS, channels=4)
    judged = critic(rng.normal(size=(2, frames, BINS)))
    assert judged.shape == (2, -(-frames // 4), 1)
    assert critic.trainable_variables == critic.variables


def test_a_mel_discriminator_judges_stretches_of_some_thirty_frames(rng):
    critic = shaken(networks.mel_discriminator(BINS, channels=4), rng)
    seen = np.flatnonzero(seen_by(critic, rng.normal(size=(1, 100, BINS)).astype(np.float32), (0, 12)))
    assert 25 <= np.ptp(seen) + 1 <= 35


# ------------------------------------------------------------------ translation of pictures


@each_spec
@pytest.mark.parametrize("halvings", [1, 2])
def test_a_picture_generator_gives_pictures_of_the_same_size_in_range(spec, halvings, rng):
    network = shaken(networks.resnet_generator(spec, channels=2, blocks=1, halvings=halvings), rng)
    found = network(pictures(spec, rng)).numpy()
    assert found.shape == (2, spec.height, spec.width, spec.channels) and np.abs(found).max() <= 1
    assert found.std() > 0.01


@each_spec
def test_a_patch_discriminator_judges_patches_however_small_the_picture(spec, rng):
    for halvings in (1, 2, 3):
        critic = networks.patch_discriminator(spec, channels=2, halvings=halvings)
        batch, rows, columns, outputs = critic(pictures(spec, rng)).shape
        assert (batch, outputs) == (2, 1)
        assert rows >= 4 and spec.height // rows == spec.width // columns <= 2**halvings
        assert spec.height // rows == 2**halvings or rows < 8


@pytest.mark.parametrize(("halvings", "patch"), [(3, 70), (2, 34), (1, 16)])
def test_a_patch_is_as_large_as_it_is_said_to_be(halvings, patch, rng, monkeypatch):
    monkeypatch.setattr(layers, "instance_norm", lambda x: x)  # which sees the whole picture, if only its mean
    critic = networks.patch_discriminator(ImageSpec(height=96, width=96), channels=2, halvings=halvings)
    middle = critic.output_shape[1] // 2
    seen = seen_by(shaken(critic, rng), rng.normal(size=(1, 96, 96, 3)).astype(np.float32), (0, middle, middle))
    for axis in (0, 1):
        assert np.ptp(np.flatnonzero(seen.any(axis=axis))) + 1 == patch


# ------------------------------------------------------------------ coding


@pytest.mark.parametrize("frames", [4, 16, 40])
def test_mels_are_coded_and_decoded_in_shape(frames, rng):
    encoder = networks.mel_encoder(BINS, frames, channels=4, outputs=5)
    decoder = networks.mel_decoder(BINS, frames, channels=4, latent=5)
    code = encoder(rng.normal(size=(2, frames, BINS)))
    assert code.shape == (2, 5) and decoder(code).shape == (2, frames, BINS)


@each_spec
def test_pictures_are_coded_and_decoded_in_shape_and_range(spec, rng):
    encoder = networks.image_encoder(spec, channels=2, outputs=5)
    decoder = shaken(networks.image_decoder(spec, channels=2, latent=5), rng)
    code = encoder(pictures(spec, rng))
    decoded = decoder(code).numpy()
    assert code.shape == (2, 5) and decoded.shape == (2, spec.height, spec.width, spec.channels)
    assert np.abs(decoded).max() <= 1 and decoded.std() > 0.01


# ------------------------------------------------------------------ of the family


@each_spec
def test_a_unet_gives_pictures_of_the_same_size_in_range(spec, rng):
    found = shaken(networks.unet_generator(spec, channels=2), rng)(pictures(spec, rng)).numpy()
    assert found.shape == (2, spec.height, spec.width, spec.channels)
    assert found.std() > 0.01 and np.abs(found).max() <= 1


def test_what_is_masked_is_not_seen(rng):
    network = shaken(mask_networks.masked_generator(8, channels=4, blocks=1), rng)
    mask = np.ones((1, 16, 8), np.float32)
    mask[:, 4:9] = 0
    x = rng.normal(size=(1, 16, 8)).astype(np.float32)
    other = np.where(mask, x, 5.0)
    np.testing.assert_allclose(network([x, mask]), network([other, mask]), atol=1e-5)
    assert np.abs(network([x, np.ones_like(mask)]) - network([x, mask])).max() > 1e-3


def test_a_filter_is_chosen_by_source_and_target(rng):
    kernels, x = rng.normal(size=(3, 3, 5, 4, 4)).astype(np.float32), rng.normal(size=(2, 9, 4)).astype(np.float32)
    source, target = np.eye(3, dtype=np.float32)[[0, 2]], np.eye(3, dtype=np.float32)[[1, 0]]
    found = code_networks.filtered(tf.constant(x), tf.constant(kernels), tf.constant(source), tf.constant(target))
    for n, (a, b) in enumerate(((0, 1), (2, 0))):
        np.testing.assert_allclose(found[n], tf.nn.conv1d(x[n : n + 1], kernels[a, b], 1, "SAME")[0], atol=1e-4)


def test_told_generators_begin_at_the_transport_they_are_told_and_hear_the_code_afterwards(rng):
    kernels = rng.normal(size=(2, 2, 5, 4, 4)).astype(np.float32)
    network = code_networks.mel_generator(4, channels=4, blocks=1, kernel=3, transports=kernels)
    x, (here, there) = rng.normal(size=(1, 9, 4)).astype(np.float32), np.eye(2, dtype=np.float32)[:, None]
    np.testing.assert_allclose(network([x, here, there]), tf.nn.conv1d(x, kernels[0, 1], 1, "SAME"), atol=1e-4)
    same = code_networks.mel_generator(4, channels=4, blocks=1, kernel=3, transports=np.zeros_like(kernels))
    shaken(same, rng)
    assert np.abs(same([x, here, there]) - same([x, there, here])).max() > 1e-3


def test_pictures_are_drawn_as_the_code_says(rng):
    network = shaken(networks.resnet_generator(SPEC, channels=4, blocks=1, codes=2), rng)
    x, (one, other) = pictures(SPEC, rng), np.eye(2, dtype=np.float32)[:, None].repeat(2, axis=1)
    assert np.abs(network([x, one]) - network([x, other])).max() > 0.05


def test_a_judgement_is_that_of_the_code(rng):
    critic = shaken(networks.mel_discriminator(BINS, channels=4, outputs=3), rng)
    x, code = rng.normal(size=(2, 16, BINS)).astype(np.float32), np.eye(3, dtype=np.float32)[[2, 0]]
    judged, every = code_networks.judged_by_code(critic, 3)([x, code]), critic(x).numpy()
    np.testing.assert_allclose(judged[..., 0], [every[0, :, 2], every[1, :, 0]], atol=1e-6)


def test_features_that_are_compared_have_unit_length(rng):
    taps = layers.tapped(networks.resnet_generator(SPEC, channels=2, blocks=1))
    assert len(taps.outputs) == 3
    heads = shaken(networks.patch_heads(taps, features=6), rng)
    made = heads([rng.normal(size=(2, 5, tap.shape[-1])).astype(np.float32) for tap in taps.outputs])
    for features in made:
        np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-4)


# ------------------------------------------------------------------ all of them

SPEC = SPECS["28x28x1"]
NETWORKS = {
    "mel_generator": (lambda: generator(), (16, BINS)),
    "mel_discriminator": (lambda: networks.mel_discriminator(BINS, channels=4), (16, BINS)),
    "masked_generator": (lambda: mask_networks.masked_generator(8, channels=4, blocks=1, masks=False), (16, 8)),
    "mel_patch_discriminator": (lambda: mask_networks.mel_patch_discriminator(8, channels=4), (16, 8)),
    "unet_generator": (lambda: networks.unet_generator(SPEC, channels=2), (28, 28, 1)),
    "mel_encoder": (lambda: networks.mel_encoder(BINS, 16, channels=4, outputs=3), (16, BINS)),
    "mel_decoder": (lambda: networks.mel_decoder(BINS, 16, channels=4, latent=3), (3,)),
    "resnet_generator": (lambda: networks.resnet_generator(SPEC, channels=2, blocks=1), (28, 28, 1)),
    "patch_discriminator": (lambda: networks.patch_discriminator(SPEC, channels=2), (28, 28, 1)),
    "image_encoder": (lambda: networks.image_encoder(SPEC, channels=2, outputs=3), (28, 28, 1)),
    "image_decoder": (lambda: networks.image_decoder(SPEC, channels=2, latent=3), (3,)),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


@each_network
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


@each_network
def test_no_example_depends_on_its_neighbours_in_the_batch(name, rng):
    build, shape = NETWORKS[name]
    network = shaken(build(), rng)
    x = rng.uniform(-1, 1, (3, *shape)).astype(np.float32)
    np.testing.assert_allclose(network(x)[1:2], network(x[1:2]), atol=1e-4)


@each_network
def test_the_same_seed_gives_the_same_weights(name):
    build, _ = NETWORKS[name]
    made = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        made.append(build())
    assert made[0].name == made[1].name == name
    for one, other in zip(*(network.get_weights() for network in made), strict=True):
        np.testing.assert_array_equal(one, other)


def test_spectral_norm_holds_every_map_of_a_critic():
    for critic in (
        networks.image_critic(ImageSpec(height=20, width=36), channels=4, spectral_norm=True),
        networks.mel_discriminator(32, channels=4, spectral_norm=True),
    ):
        maps = [layer for layer in critic.layers if hasattr(layer, "kernel")]
        assert maps and all(hasattr(layer, "iterate") for layer in maps)


def test_the_full_masked_generator_has_the_papers_size():
    network = mask_networks.masked_generator(80, channels=128, blocks=6)
    assert network.count_params() == pytest.approx(16.5e6, rel=0.01)
