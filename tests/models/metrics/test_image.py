"""Image metrics: identity, symmetry and known values."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, seeds

from models.errors import UserError
from models.metrics import image


def pictures(seed, size=(2, 16, 12, 3)):
    return np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32)


@laws
@given(seed=seeds, height=st.integers(4, 20), width=st.integers(4, 20), channels=st.sampled_from([1, 3]))
def test_equal_images_of_any_size_have_ssim_one_and_no_error(seed, height, width, channels):
    x = pictures(seed, (2, height, width, channels))
    np.testing.assert_allclose(image.ssim(x, x), [1, 1], atol=1e-5)
    np.testing.assert_array_equal(image.mean_absolute_error(x, x), [0, 0])


@laws
@given(a=seeds, b=seeds)
def test_image_metrics_are_symmetric_and_bounded(a, b):
    x, y = pictures(a), pictures(b)
    np.testing.assert_allclose(image.ssim(x, y), image.ssim(y, x), atol=1e-5)
    assert (np.abs(image.ssim(x, y)) <= 1 + 1e-4).all()
    np.testing.assert_allclose(image.mean_absolute_error(x, y), image.mean_absolute_error(y, x))


def test_ssim_falls_and_error_grows_with_noise(rng):
    y, x = np.mgrid[:16, :16] / 8 - 1
    clean = np.stack([np.sin(3 * x) * np.cos(2 * y)] * 3, axis=-1)[None]
    noise = rng.normal(size=clean.shape)
    likeness = [image.ssim(clean, clean + s * noise)[0] for s in (0, 0.05, 0.2, 0.8)]
    errors = [image.mean_absolute_error(clean, clean + s * noise)[0] for s in (0, 0.05, 0.2, 0.8)]
    assert all(np.diff(likeness) < 0) and all(np.diff(errors) > 0)


@pytest.mark.parametrize(("a", "b"), [(-1.0, 1.0), (0.0, 0.5), (0.3, 0.3)])
def test_uniform_images_have_the_ssim_of_their_levels(a, b):
    x, y = (np.full((1, 16, 16, 3), value) for value in (a, b))
    assert image.mean_absolute_error(x, y)[0] == pytest.approx(abs(a - b))
    a, b, c1 = (a + 1) / 2, (b + 1) / 2, 0.01**2
    assert image.ssim(x, y)[0] == pytest.approx((2 * a * b + c1) / (a**2 + b**2 + c1), abs=1e-3)


def ssim_by_windows(x, y):
    """Equation 13 of Wang et al. 2004 for one image in [0, 1], window by window."""
    size = min(11, *x.shape[:2])
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets[:, None, None] ** 2 + offsets[:, None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for row, column in np.ndindex(x.shape[0] - size + 1, x.shape[1] - size + 1):
        a, b = (z[row : row + size, column : column + size] for z in (x, y))
        mean_a, mean_b = (np.sum(weights * z, axis=(0, 1)) for z in (a, b))
        var_a, var_b = (
            np.sum(weights * (a - mean_a) ** 2, axis=(0, 1)),
            np.sum(weights * (b - mean_b) ** 2, axis=(0, 1)),
        )
        covariance = np.sum(weights * (a - mean_a) * (b - mean_b), axis=(0, 1))
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        values.append(luminance * (2 * covariance + c2) / (var_a + var_b + c2))
    return np.mean(values)


def related_pictures(size, noise=0.3):
    x = pictures(0, size)
    return x, np.clip(x + noise * np.random.default_rng(1).normal(size=size), -1, 1).astype(np.float32)


@pytest.mark.parametrize("size", [(16, 13, 3), (7, 9, 1)])
def test_ssim_equals_its_definition(size):
    x, y = related_pictures((1, *size))
    assert image.ssim(x, y)[0] == pytest.approx(ssim_by_windows((x[0] + 1) / 2, (y[0] + 1) / 2), abs=1e-4)


@pytest.mark.parametrize("size", [(10, 16, 1), (16, 10, 3), (9, 9, 3), (20, 21, 3)])
def test_ms_ssim_of_one_scale_is_ssim(size):
    x, y = related_pictures((1, *size))
    expected = ssim_by_windows((x[0] + 1.0) / 2, (y[0] + 1.0) / 2)
    assert image.num_scales(*size[:2]) == 1 and image.ms_ssim(x, y)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(2, 170, 161, 3), (2, 64, 64, 1), (1, 61, 90, 3), (2, 28, 28, 3)])
def test_ms_ssim_equals_that_of_tensorflow(size):
    x, y = related_pictures(size)
    scales = image.num_scales(*size[1:3])
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    expected = tf.image.ssim_multiscale((x + 1) / 2, (y + 1) / 2, 1.0, power_factors=list(weights / weights.sum()))
    np.testing.assert_allclose(image.ms_ssim(x, y), expected, atol=1e-4)
    assert scales == {161: 5, 64: 3, 61: 3, 28: 2}[min(size[1:3])]


@laws
@given(seed=seeds, height=st.integers(1, 50), width=st.integers(1, 50), channels=st.sampled_from([1, 3]))
def test_ms_ssim_is_one_for_equal_images_of_any_size_symmetric_and_bounded(seed, height, width, channels):
    x, y = (pictures(n, (2, height, width, channels)) for n in (seed, seed + 1))
    np.testing.assert_allclose(image.ms_ssim(x, x), 1)
    np.testing.assert_allclose(image.ms_ssim(x, y), image.ms_ssim(y, x))
    assert ((image.ms_ssim(x, y) >= 0) & (image.ms_ssim(x, y) <= 1)).all()


def test_ms_ssim_falls_with_noise_and_refuses_other_shapes():
    values = [image.ms_ssim(*related_pictures((1, 48, 48, 3), noise))[0] for noise in (0, 0.05, 0.2, 0.8)]
    assert all(np.diff(values) < 0)
    for shapes in (((1, 8, 8, 3), (1, 8, 9, 3)), ((8, 8, 3), (8, 8, 3))):
        with pytest.raises(UserError, match="wanted"):
            image.ms_ssim(*map(np.ones, shapes))
