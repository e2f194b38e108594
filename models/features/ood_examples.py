"""Out-of-distribution examples: noise, corrupted images, and sounds other than speech."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from models.features import audio
from models.features.audio import AudioSpec

BLUR = 1 / 14  # standard deviation of the blur as a share of the image's side: 2 pixels of 28
NOTES_HZ = 261.63 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)  # a major scale


def ood_images(x: np.ndarray, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Out-of-distribution images by name, `n` of each, from images `[n, height, width, channels]` in [-1, 1].

    Returns:
      "noise" (uniform), "inverted" and "blurred" (Gaussian).
    """
    rng = np.random.default_rng(seed)
    sigma = BLUR * min(x.shape[1:3])
    return {
        "noise": rng.uniform(-1, 1, x.shape).astype(np.float32),
        "inverted": -x,
        "blurred": scipy.ndimage.gaussian_filter(x, (0, sigma, sigma, 0)),
    }


def ood_log_mels(count: int, seconds: float, spec: AudioSpec, *, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Out-of-distribution log-mels by name, `count` of each.

    Returns:
      "noise" (white) and "tones" (two simultaneous notes of a scale, plucked four times per second).
    """
    rng = np.random.default_rng(seed)
    samples = int(seconds * spec.sample_rate_hz)
    noise = [rng.normal(size=samples) for _ in range(count)]
    tones = [_melody(samples, spec.sample_rate_hz, rng) for _ in range(count)]
    return {"noise": [_log_mel(y, spec) for y in noise], "tones": [_log_mel(y, spec) for y in tones]}


def ood_example(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an out-of-distribution example: `x` with its pixels shuffled, or noise in the range of `x`.

    The noise is Gaussian with a random mean and a random standard deviation up to half the range, which covers nearly
    constant images and nearly uniform noise.

    Args:
      x: an image `[height, width, channels]`.
      rng: random number generator.
    """
    if rng.uniform() < 0.5:
        pixels = x.reshape(x.shape[0] * x.shape[1], -1)
        return rng.permutation(pixels).reshape(x.shape)
    low, high = float(x.min()), float(x.max())
    noise = rng.normal(rng.uniform(low, high), rng.uniform(0, (high - low) / 2), x.shape)
    return np.clip(noise, low, high).astype(x.dtype)


def _melody(samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(samples) / rate_hz
    beat = (4 * t).astype(int)
    decay = np.exp(-4 * (t - beat / 4))
    y = np.zeros(samples)
    for _ in range(2):
        notes_hz = rng.choice(NOTES_HZ, beat[-1] + 1)[beat]
        for harmonic in (1, 2, 3):
            y += decay * np.sin(2 * np.pi * harmonic * notes_hz * t) / harmonic**2
    return y + 1e-3 * rng.normal(size=samples)


def _log_mel(y: np.ndarray, spec: AudioSpec) -> np.ndarray:
    return audio.log_mel(audio.normalize_level(0.1 * y.astype(np.float32), spec), spec)
