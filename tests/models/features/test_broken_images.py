"""Surrogates of broken images: shape and range, what they keep of an image, and what they lose."""

import numpy as np
import pytest

from models.features import broken_images

SHAPES = [(32, 32, 3), (16, 24, 1), (28, 28, 1), (8, 8, 3)]


def images(shape, seed=0):
    """Two images with edges, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(2, *shape)).cumsum(axis=1).cumsum(axis=2)
    return np.float32(np.tanh(smooth / smooth.std()) * rng.uniform(0.3, 0.9, (2, 1, 1, shape[-1])))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", broken_images.KINDS)
def test_each_kind_gives_another_image_of_the_same_shape(kind, shape, monkeypatch):
    monkeypatch.setattr(broken_images, "KINDS", {kind: broken_images.KINDS[kind]})
    x, other = images(shape)
    broken = [broken_images.broken_image(x, other, np.random.default_rng(seed)) for seed in range(5)]
    assert all(y.shape == shape and y.dtype == np.float32 and np.abs(y).max() <= 1 for y in broken)
    assert np.abs(broken - x).max() > 0.01
    again = broken_images.broken_image(x, other, np.random.default_rng(0))
    np.testing.assert_array_equal(broken[0], again)


def test_random_phases_keep_the_power_spectrum_and_the_mean(rng):
    x, other = images((32, 32, 3))
    y = broken_images.randomize_phases(x, other, rng)
    np.testing.assert_allclose(y.mean(axis=(0, 1)), x.mean(axis=(0, 1)), atol=1e-5)
    power, expected = (np.abs(np.fft.rfft2(z, axes=(0, 1)))[1:, 1:-1] for z in (y, x))
    np.testing.assert_allclose(power, expected, atol=1e-3)
    covariances = [np.cov(z.reshape(-1, 3).T) for z in (x, y)]
    np.testing.assert_allclose(*covariances, rtol=0.05, atol=1e-3)


def test_transferred_colours_have_the_mean_and_covariance_of_the_other_image(rng):
    x, other = images((32, 32, 3))
    y = broken_images.transfer_colours(x, other, rng)
    np.testing.assert_allclose(y.mean(axis=(0, 1)), other.mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(*(np.cov(z.reshape(-1, 3).T) for z in (y, other)), atol=1e-3)
    np.testing.assert_allclose(broken_images.transfer_colours(x, x, rng), x, atol=1e-2)


def test_swapped_patches_keep_the_pixels(rng):
    x, other = images((32, 32, 3))
    y = broken_images.swap_patches(x, other, rng)
    np.testing.assert_array_equal(np.sort(y, axis=None), np.sort(x, axis=None))
