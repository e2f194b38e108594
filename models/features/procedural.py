"""Synthetic images and sounds with known generative factors, generated on demand.

Every example is a function of the seed and its index. The factors are sampled independently of each other. Images
follow dSprites (arXiv:1804.03599, App. A).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

SIDE = 64  # pixels
OVERSAMPLING = 3  # points per pixel and axis, for antialiasing
SHAPES = ("square", "ellipse", "heart")
RATE_HZ = 8000
SAMPLES = 63 * 128  # 64 frames of the front end at this rate
NOISE = 3e-3  # RMS of the background noise
FADE_S = 0.01

FactorValues = Mapping[str, np.ndarray]

PICTURES: FactorValues = {
    "shape": np.arange(3.0),  # index in SHAPES
    "scale": np.linspace(0.5, 1.0, 6),
    "orientation": np.linspace(0.0, 90.0, 10, endpoint=False),  # degrees; a square repeats after 90
    "x": np.linspace(0.0, 1.0, 16),  # left to right
    "y": np.linspace(0.0, 1.0, 16),  # top to bottom
}
SOUNDS: FactorValues = {
    "pitch": 110.0 * 2 ** (np.arange(13) / 6),  # Hz, two octaves
    "loudness": np.linspace(-24.0, 0.0, 7),  # dB, relative to constant noise: absolute levels are normalised
    "timbre": np.linspace(0.5, 2.5, 5),  # harmonic n has amplitude n ** -timbre
    "onset": np.linspace(0.05, 0.5, 7),  # s
    "vibrato": np.linspace(0.0, 1.0, 5),  # depth in semitones, at 6 Hz
}


def sample_factors(values: FactorValues, index: int, seed: int) -> dict[str, float]:
    """Sample the factors of example `index`, each uniformly from its values.

    >>> sample_factors(PICTURES, 3, 0) == sample_factors(PICTURES, 3, 0) != sample_factors(PICTURES, 4, 0)
    True
    """
    rng = np.random.default_rng([seed, index])
    return {name: float(rng.choice(options)) for name, options in values.items()}


# ------------------------------------------------------------------ images


def _inside(shape: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Mask of the points inside a shape of about unit size; `v` points down."""
    if SHAPES[shape] == "square":
        return np.maximum(np.abs(u), np.abs(v)) < 0.8
    if SHAPES[shape] == "ellipse":
        return np.square(u) + np.square(v / 0.5) < 1
    u, v = 1.15 * u, -1.15 * v + 0.15
    return (np.square(u) + np.square(v) - 1) ** 3 < np.square(u) * v**3  # a heart


def render_image(factors: Mapping[str, float]) -> np.ndarray:
    """Render a white shape on black with antialiased edges, uint8 `[64, 64, 1]`.

    Args:
      factors: values by the names of `PICTURES`.
    """
    grid = (np.arange(SIDE * OVERSAMPLING) + 0.5) / OVERSAMPLING  # in pixels
    radius = 0.22 * SIDE * factors["scale"]
    centre_range = SIDE - 2 * 0.29 * SIDE  # keeps every shape inside the image
    cx, cy = (0.29 * SIDE + centre_range * factors[name] for name in "xy")
    dx, dy = (grid[None, :] - cx) / radius, (grid[:, None] - cy) / radius
    angle = np.deg2rad(factors["orientation"])
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    inside = _inside(int(factors["shape"]), u, v)
    coverage = inside.reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING).mean(axis=(1, 3))
    return np.uint8(np.rint(255 * coverage))[..., None]


# ------------------------------------------------------------------ sounds


def synthesize_sound(factors: Mapping[str, float], *, seed: int | list[int] = 0) -> np.ndarray:
    """Synthesise a harmonic tone in faint noise, float32 `[SAMPLES]` at `RATE_HZ`, within [-1, 1].

    Args:
      factors: values by the names of `SOUNDS`.
      seed: random seed of the noise and of the initial phase of the vibrato.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES) / RATE_HZ
    vibrato = factors["vibrato"] * np.sin(2 * np.pi * (6 * t + rng.uniform()))  # semitones
    phase = 2 * np.pi * np.cumsum(factors["pitch"] * 2 ** (vibrato / 12)) / RATE_HZ
    harmonics = np.arange(1, int(0.45 * RATE_HZ / (factors["pitch"] * 2 ** (1 / 12))) + 1)
    amplitudes = harmonics ** -factors["timbre"]
    tone = sum(a * np.sin(n * phase) for n, a in zip(harmonics, amplitudes, strict=True))
    tone /= np.sqrt(0.5 * np.sum(np.square(amplitudes)))  # equal loudness for every timbre
    fade_in = np.clip((t - factors["onset"]) / FADE_S, 0, 1)
    y = 0.1 * 10 ** (factors["loudness"] / 20) * fade_in * tone + NOISE * rng.normal(size=SAMPLES)
    return np.clip(y, -1, 1).astype(np.float32)


DATA_SETS: dict[str, FactorValues] = {"pictures": PICTURES, "sounds": SOUNDS}


def generate_example(kind: str, index: int, seed: int = 0) -> tuple[np.ndarray, dict[str, float]]:
    """Generate example `index` of a data set, and its factors.

    Args:
      kind: "pictures" or "sounds".
      index: index of the example, from 0.
      seed: random seed of the data set.
    """
    factors = sample_factors(DATA_SETS[kind], index, seed)
    generators: dict[str, Callable] = {
        "pictures": render_image,
        "sounds": lambda factors: synthesize_sound(factors, seed=[seed, index, 1]),
    }
    return generators[kind](factors), factors
