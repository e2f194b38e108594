"""Image metrics: identity, symmetry and known values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, seeds

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
    c1 = (0.01 * 2) ** 2
    assert image.mean_absolute_error(x, y)[0] == pytest.approx(abs(a - b))
    assert image.ssim(x, y)[0] == pytest.approx((2 * a * b + c1) / (a**2 + b**2 + c1), abs=1e-3)
