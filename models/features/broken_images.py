"""Images that belong to no domain: surrogates of the results of broken and of half-trained translators.

Each is made from an image of one domain and the colours or the spectrum of another: it shares colours, contrast or
local structure with images of a domain, and has lost the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.ndimage

from models.features.ood_examples import ood_example

LEAK = 0.2  # slope of the random convolutions for negative values
CHANNELS = 8  # of the random convolutions
WEIGHTS = {"noise": 3.0}  # how often a kind is drawn, relative to those that are not listed: noise has many forms


def broken_image(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image of a random one of the `KINDS`.

    Args:
      x: image `[height, width, channels]` in [-1, 1].
      other: another image of the same shape, from any domain.
      rng: random number generator.
    """
    weights = np.array([WEIGHTS.get(name, 1.0) for name in KINDS])
    kind = list(KINDS.values())[rng.choice(len(KINDS), p=weights / weights.sum())]
    return np.clip(kind(x, other, rng), -1, 1).astype(np.float32)


def noise(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise in the range of `x`, or its pixels shuffled."""
    return ood_example(x, rng)


def randomize_phases(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Texture with the power spectrum and the covariance of the colours of `x` (Galerne et al. 2011), not its edges."""
    phases = np.angle(np.fft.rfft2(rng.normal(size=x.shape[:2])))
    mean = x.mean(axis=(0, 1))
    spectrum = np.fft.rfft2(x - mean, axes=(0, 1)) * np.exp(1j * phases)[..., None]
    return mean + np.fft.irfft2(spectrum, s=x.shape[:2], axes=(0, 1))


def swap_patches(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The patches of a grid of 4 or more patches in random order; all sizes of images are multiples of 4."""
    height, width, channels = x.shape
    n = int(rng.choice([n for n in (2, 4, 8) if height % n == width % n == 0 and min(height, width) >= 2 * n]))
    grid = x.reshape(n, height // n, n, width // n, channels).swapaxes(1, 2).reshape(n * n, -1)
    patches = rng.permutation(grid).reshape(n, n, height // n, width // n, channels)
    return patches.swapaxes(1, 2).reshape(x.shape)


def transfer_colours(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`x` with the mean and covariance of the colours of `other`, by optimal transport of two Gaussians."""
    a, b = (z.reshape(-1, x.shape[-1]).astype(np.float64) for z in (x, other))
    a_covariance, b_covariance = (np.atleast_2d(np.cov(z.T)) for z in (a, b))
    root, inverse_root = _matrix_power(a_covariance, 0.5), _matrix_power(a_covariance, -0.5)
    matrix = inverse_root @ _matrix_power(root @ b_covariance @ root, 0.5) @ inverse_root
    return ((a - a.mean(axis=0)) @ matrix + b.mean(axis=0)).reshape(x.shape)


def _matrix_power(x: np.ndarray, exponent: float) -> np.ndarray:
    """Power of a symmetric positive semidefinite matrix; small eigenvalues are raised, so that an inverse exists."""
    values, vectors = np.linalg.eigh(x)
    return (vectors * np.maximum(values, 1e-6) ** exponent) @ vectors.T


def clouds(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of a random scale in the colours of `other`, blended with up to half of `x`."""
    side = int(2 ** rng.integers(2, 1 + int(np.log2(min(x.shape[:2])))))
    zoom = (x.shape[0] / side, x.shape[1] / side, 1)
    smooth = scipy.ndimage.zoom(rng.normal(size=(side, side, x.shape[2])), zoom, order=1)
    return _blend(x, transfer_colours(smooth, other, rng), rng.uniform(0, 0.5))


def random_convolutions(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`x` after three convolutions of random weights, in the colours of `other`, blended with up to 0.7 of `x`."""
    h = x
    for size, channels in ((int(rng.choice([3, 5, 7])), CHANNELS), (3, CHANNELS), (3, x.shape[-1])):
        h = _convolve(h if h is x else np.maximum(h, LEAK * h), size, channels, rng)
    return _blend(x, transfer_colours(h, other, rng), rng.uniform(0, 0.7))


def _convolve(x: np.ndarray, size: int, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Convolution with random weights that keep the variance, `[height, width, channels]`."""
    padding = size // 2
    padded = np.pad(x, ((padding, padding), (padding, padding), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1)).reshape(*x.shape[:2], -1)
    return windows @ rng.normal(0, windows.shape[-1] ** -0.5, (windows.shape[-1], channels))


def blur(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur with a standard deviation of 1 / 32 to 1 / 8 of the shorter side."""
    sigma = min(x.shape[:2]) * rng.uniform(1 / 32, 1 / 8)
    return scipy.ndimage.gaussian_filter(x, (sigma, sigma, 0))


def add_noise(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White Gaussian noise with a standard deviation of 0.3 to 1 added to `x`."""
    return x + rng.normal(0, rng.uniform(0.3, 1), x.shape)


def overlay_texture(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blend of `x` with a texture of random phases that has the power spectrum of `other`."""
    return _blend(x, randomize_phases(other, x, rng), rng.uniform(0.2, 0.8))


def _blend(x: np.ndarray, y: np.ndarray, share_of_x: float) -> np.ndarray:
    return share_of_x * x + (1 - share_of_x) * y


KINDS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise": noise,
    "random_phases": randomize_phases,
    "swapped_patches": swap_patches,
    "transferred_colours": transfer_colours,
    "clouds": clouds,
    "random_convolutions": random_convolutions,
    "blurred": blur,
    "noisy": add_noise,
    "overlaid_texture": overlay_texture,
}
