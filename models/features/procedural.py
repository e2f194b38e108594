"""Pictures and sounds made of known factors, drawn when they are needed.

Every example is a function of the seed and its number: each factor takes one of its values, independent of the
others, so that nothing but the example itself tells of them. Pictures are after dSprites (arXiv:1804.03599, App. A).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

SIDE = 64  # pixels
FINER = 3  # points to a pixel's side that coverage is counted on
SHAPES = ("square", "ellipse", "heart")
RATE_HZ = 8000
SAMPLES = 63 * 128  # 64 frames of the front end at this rate
NOISE = 3e-3  # root mean square of what sounds all the time
FADE_S = 0.01

Values = Mapping[str, np.ndarray]

PICTURES: Values = {
    "shape": np.arange(3.0),  # number in SHAPES
    "scale": np.linspace(0.5, 1.0, 6),
    "orientation": np.linspace(0.0, 90.0, 10, endpoint=False),  # degrees; further on, a square is itself again
    "x": np.linspace(0.0, 1.0, 16),  # from the left to the right
    "y": np.linspace(0.0, 1.0, 16),  # from the top down
}
SOUNDS: Values = {
    "pitch": 110.0 * 2 ** (np.arange(13) / 6),  # Hz, two octaves
    "loudness": np.linspace(-24.0, 0.0, 7),  # dB, against noise that does not change: levels themselves are evened out
    "timbre": np.linspace(0.5, 2.5, 5),  # harmonic n has amplitude n ** -timbre
    "onset": np.linspace(0.05, 0.5, 7),  # s
    "vibrato": np.linspace(0.0, 1.0, 5),  # semitones to either side, six times a second
}


def drawn_factors(values: Values, number: int, seed: int) -> dict[str, float]:
    """The factors of example `number`: of each one of its values, all as likely.

    >>> drawn_factors(PICTURES, 3, 0) == drawn_factors(PICTURES, 3, 0) != drawn_factors(PICTURES, 4, 0)
    True
    """
    rng = np.random.default_rng([seed, number])
    return {name: float(rng.choice(known)) for name, known in values.items()}


# ------------------------------------------------------------------ pictures


def _inside(shape: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in a shape of about unit size; `v` points down."""
    if SHAPES[shape] == "square":
        return np.maximum(np.abs(u), np.abs(v)) < 0.8
    if SHAPES[shape] == "ellipse":
        return np.square(u) + np.square(v / 0.5) < 1
    u, v = 1.15 * u, -1.15 * v + 0.15
    return (np.square(u) + np.square(v) - 1) ** 3 < np.square(u) * v**3  # a heart


def picture(factors: Mapping[str, float]) -> np.ndarray:
    """A white shape on black, uint8 `[64, 64, 1]`, its edges smooth.

    Args:
      factors: values by the names of `PICTURES`.
    """
    place = (np.arange(SIDE * FINER) + 0.5) / FINER  # in pixels
    radius = 0.22 * SIDE * factors["scale"]
    room = SIDE - 2 * 0.29 * SIDE  # for the centre, so that no shape is cut off
    cx, cy = (0.29 * SIDE + room * factors[name] for name in "xy")
    dx, dy = (place[None, :] - cx) / radius, (place[:, None] - cy) / radius
    turn = np.deg2rad(factors["orientation"])
    u, v = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
    covered = _inside(int(factors["shape"]), u, v).reshape(SIDE, FINER, SIDE, FINER).mean(axis=(1, 3))
    return np.uint8(np.rint(255 * covered))[..., None]


# ------------------------------------------------------------------ sounds


def sound(factors: Mapping[str, float], *, seed: int | list[int] = 0) -> np.ndarray:
    """A tone of harmonics in faint noise, float32 `[SAMPLES]` at `RATE_HZ`, within [-1, 1].

    Args:
      factors: values by the names of `SOUNDS`.
      seed: of the noise and of where the vibrato begins.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES) / RATE_HZ
    bend = factors["vibrato"] * np.sin(2 * np.pi * (6 * t + rng.uniform()))
    phase = 2 * np.pi * np.cumsum(factors["pitch"] * 2 ** (bend / 12)) / RATE_HZ
    harmonics = np.arange(1, int(0.45 * RATE_HZ / (factors["pitch"] * 2 ** (1 / 12))) + 1)
    amplitudes = harmonics ** -factors["timbre"]
    tone = sum(a * np.sin(n * phase) for n, a in zip(harmonics, amplitudes, strict=True))
    tone /= np.sqrt(0.5 * np.sum(np.square(amplitudes)))  # as loud for every timbre
    begun = np.clip((t - factors["onset"]) / FADE_S, 0, 1)
    y = 0.1 * 10 ** (factors["loudness"] / 20) * begun * tone + NOISE * rng.normal(size=SAMPLES)
    return np.clip(y, -1, 1).astype(np.float32)


SETS: dict[str, Values] = {"pictures": PICTURES, "sounds": SOUNDS}


def example(kind: str, number: int, seed: int = 0) -> tuple[np.ndarray, dict[str, float]]:
    """Example `number` of a set, and its factors.

    Args:
      kind: "pictures" or "sounds".
      number: from 0 on.
      seed: another gives other examples.
    """
    factors = drawn_factors(SETS[kind], number, seed)
    makers: dict[str, Callable] = {"pictures": picture, "sounds": lambda f: sound(f, seed=[seed, number, 1])}
    return makers[kind](factors), factors
