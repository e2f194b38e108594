"""Networks for images: shapes, ranges, patch sizes and conditioning."""

import numpy as np
import pytest
from network_cases import SPECS, each_spec, perturb_weights, pictures, receptive_field

from models import layers
from models.features.image import ImageSpec
from models.networks import images


@each_spec
@pytest.mark.parametrize("num_downsamples", [1, 2])
def test_a_resnet_generator_keeps_the_image_size_and_range(spec, num_downsamples, rng):
    network = perturb_weights(images.resnet_generator(spec, channels=2, blocks=1, num_downsamples=num_downsamples), rng)
    outputs = network(pictures(spec, rng)).numpy()
    assert outputs.shape == (2, spec.height, spec.width, spec.channels) and np.abs(outputs).max() <= 1
    assert outputs.std() > 0.01


@each_spec
@pytest.mark.parametrize("labels", [0, 2])
def test_a_generator_with_a_skip_starts_near_the_identity(spec, labels, rng):
    x = np.clip(pictures(spec, rng), -0.9, 0.9)
    inputs = [x, np.eye(2, labels, dtype=np.float32)] if labels else x
    errors = {
        skip: np.abs(images.resnet_generator(spec, channels=2, blocks=1, labels=labels, skip=skip)(inputs) - x).mean()
        for skip in (False, True)
    }
    assert errors[True] < 0.5 * errors[False]


@each_spec
def test_a_patch_discriminator_has_patches_at_any_image_size(spec, rng):
    for num_downsamples in (1, 2, 3):
        discriminator = images.patch_discriminator(spec, channels=2, num_downsamples=num_downsamples)
        batch, rows, columns, outputs = discriminator(pictures(spec, rng)).shape
        assert (batch, outputs) == (2, 1)
        assert rows >= 4 and spec.height // rows == spec.width // columns <= 2**num_downsamples
        assert spec.height // rows == 2**num_downsamples or rows < 8


@pytest.mark.parametrize(("num_downsamples", "patch"), [(3, 70), (2, 34), (1, 16)])
def test_the_receptive_field_of_a_patch_discriminator_follows_from_its_downsamples(
    num_downsamples, patch, rng, monkeypatch
):
    monkeypatch.setattr(layers, "instance_norm", lambda x: x)  # which sees the whole picture, if only its mean
    discriminator = images.patch_discriminator(
        ImageSpec(height=96, width=96), channels=2, num_downsamples=num_downsamples
    )
    middle = discriminator.output_shape[1] // 2
    field = receptive_field(
        perturb_weights(discriminator, rng), rng.normal(size=(1, 96, 96, 3)).astype(np.float32), (0, middle, middle)
    )
    for axis in (0, 1):
        assert np.ptp(np.flatnonzero(field.any(axis=axis))) + 1 == patch


@each_spec
def test_image_encoders_and_decoders_keep_shape_and_range(spec, rng):
    encoder = images.image_encoder(spec, channels=2, outputs=5)
    decoder = perturb_weights(images.image_decoder(spec, channels=2, latent=5), rng)
    code = encoder(pictures(spec, rng))
    decoded = decoder(code).numpy()
    assert code.shape == (2, 5) and decoded.shape == (2, spec.height, spec.width, spec.channels)
    assert np.abs(decoded).max() <= 1 and decoded.std() > 0.01


@each_spec
def test_a_unet_generator_keeps_the_image_size_and_range(spec, rng):
    outputs = perturb_weights(images.unet_generator(spec, channels=2), rng)(pictures(spec, rng)).numpy()
    assert outputs.shape == (2, spec.height, spec.width, spec.channels)
    assert outputs.std() > 0.01 and np.abs(outputs).max() <= 1


def test_a_conditional_generator_depends_on_the_domain_label(rng):
    network = perturb_weights(images.resnet_generator(SPEC, channels=4, blocks=1, labels=2), rng)
    x, (one, other) = pictures(SPEC, rng), np.eye(2, dtype=np.float32)[:, None].repeat(2, axis=1)
    assert np.abs(network([x, one]) - network([x, other])).max() > 0.05


def test_patch_features_have_unit_length(rng):
    taps = layers.FeatureTaps(images.resnet_generator(SPEC, channels=2, blocks=1))
    assert len(taps.channels) == 3
    heads = perturb_weights(images.patch_heads(taps.channels, features=6), rng)
    for features in heads([rng.normal(size=(2, 5, width)).astype(np.float32) for width in taps.channels]):
        np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-4)


SPEC = SPECS["28x28x1"]
