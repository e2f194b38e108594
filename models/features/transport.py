"""From one voice to another in closed form: the best linear guess, from statistics alone.

A model that begins here need not discover what two covariances already say. Two steps, both linear
in log-mels, so that together they are one convolution over time:

1. The harmonics are moved to the target's pitch: the fine structure over frequency is stretched by
   the ratio that brings its covariance nearest to the target's. No pitch tracker is involved.
2. Optimal transport between the Gaussians of a few consecutive frames does the rest: timbre, level of
   each band, how the bands move together.
"""

from __future__ import annotations

import librosa
import numpy as np
import scipy.fft

from models.features.audio import AudioSpec
from models.features.stats import LAGS, Moments

CONTEXT = LAGS // 2  # frames to either side that the filter looks at
RIDGE = 0.01  # added to variances of log-mels
MAX_GAIN = 3.0  # no direction is amplified more: what hardly varies in the source is noise, and would click
ENVELOPE_ORDER, ENVELOPE_SLOPE = 16, 6  # cosines over the mel bands that are timbre, not pitch
PITCH_HZ = 1500.0  # harmonics are apart from each other below it
RATIOS = np.exp(np.linspace(-0.8, 0.8, 65))  # pitch ratios that are tried: 0.45 to 2.2
CLEAR = 0.95  # a ratio is believed if it leaves at most this part of the distance


def kernel(source: Moments, target: Moments, spec: AudioSpec) -> np.ndarray:
    """The linear filter that moves speech of one domain onto another.

    Args:
      source: moments of the domain that is left, of log-mels, with `LAGS` lags.
      target: moments of the domain that is entered.
      spec: the front end.

    Returns:
      `[2 * CONTEXT + 1, mels, mels]`, for `filtered` or a convolution over *normalised* frames: for
      equal moments the identity in the middle and zeros around it.
    """
    stretch = stretched(pitch_ratio(source, target, spec), spec)
    frames = 2 * CONTEXT + 1
    moved = [stretch @ source.covariance(lag) @ stretch.T for lag in range(frames)]
    there = [target.covariance(lag) for lag in range(frames)]
    rows = monge(_toeplitz(moved), _toeplitz(there))[CONTEXT * len(stretch) : (CONTEXT + 1) * len(stretch)]
    taps = [rows[:, n * len(stretch) : (n + 1) * len(stretch)] @ stretch for n in range(frames)]
    return np.stack([(tap / target.std[:, None] * source.std).T for tap in taps])


def filtered(x: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Normalised frames `[frames, bins]` through a kernel `[taps, bins, bins]`, zeros beyond the ends.

    >>> filtered(np.eye(3), np.eye(3)[None]).tolist() == np.eye(3).tolist()
    True
    """
    half = len(taps) // 2
    padded = np.pad(x, ((half, half), (0, 0)))
    return sum(padded[n : n + len(x)] @ tap for n, tap in enumerate(taps))


def pitch_ratio(source: Moments, target: Moments, spec: AudioSpec) -> float:
    """How much higher the target's pitch is, from the covariances of the fine structure alone.

    The ratio whose stretch brings the source's covariance below `PITCH_HZ` nearest to the target's, and
    whose inverse brings the target's nearest to the source's, in the Bures distance between matrices of
    trace one; 1 where none is clearly nearer. Exchanging the two gives the inverse ratio.
    """
    low = band_hz(spec) < PITCH_HZ
    fine = np.eye(spec.n_mels) - envelope(spec.n_mels)
    here, there = (fine @ moments.covariance(0) @ fine.T for moments in (source, target))

    def shape(covariance: np.ndarray) -> np.ndarray:
        part = covariance[np.ix_(low, low)]
        return _positive(part / max(np.trace(part), 1e-12), 1e-6)

    up = [bures(shape(w @ here @ w.T), shape(there)) for w in (_warp(ratio, spec) for ratio in RATIOS)]
    down = [bures(shape(w @ there @ w.T), shape(here)) for w in (_warp(1 / ratio, spec) for ratio in RATIOS)]
    distances = np.add(up, down)
    best, unmoved = int(np.argmin(distances)), distances[len(RATIOS) // 2]
    return float(RATIOS[best]) if distances[best] <= CLEAR * unmoved else 1.0


def stretched(ratio: float, spec: AudioSpec) -> np.ndarray:
    """`[mels, mels]`: keeps the envelope of a log-mel frame and moves its harmonics by a ratio."""
    smooth = envelope(spec.n_mels)
    return smooth + _warp(ratio, spec) @ (np.eye(spec.n_mels) - smooth)


def envelope(bins: int) -> np.ndarray:
    """`[bins, bins]`: keeps the slow cosines over the mel bands (liftering)."""
    cosines = scipy.fft.dct(np.eye(bins), axis=0, norm="ortho")
    kept = np.clip((ENVELOPE_ORDER + ENVELOPE_SLOPE / 2 - np.arange(bins)) / ENVELOPE_SLOPE, 0, 1)
    return cosines.T @ np.diag(kept) @ cosines


def band_hz(spec: AudioSpec) -> np.ndarray:
    """Centres of the mel bands, `[mels]`."""
    return librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin_hz, fmax=spec.fmax_hz)[1:-1]


def _warp(ratio: float, spec: AudioSpec) -> np.ndarray:
    """`[mels, mels]`: band f takes what band f / ratio holds, nothing from beyond the top."""
    hz = band_hz(spec)
    place = np.interp(hz / ratio, hz, np.arange(len(hz)))
    matrix = np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(len(hz))))
    return matrix * (hz / ratio <= hz[-1] * 1.001)[:, None]


def monge(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map `A` of optimal transport between centred Gaussians with these covariances.

    ``A S A = T``, the linear map of least effort (Olkin & Pukelsheim 1982; Peyre & Cuturi 2019, Eq. 2.41),
    but for directions that it would amplify more than `MAX_GAIN` times.
    """
    s, t = _positive(source, RIDGE), _positive(target, RIDGE)
    root, inverse = _power(s, 0.5), _power(s, -0.5)
    gains, directions = np.linalg.eigh(inverse @ _power(root @ t @ root, 0.5) @ inverse)
    return (directions * np.minimum(gains, MAX_GAIN)) @ directions.T


def bures(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Bures distance between positive matrices: that of optimal transport between Gaussians.

    >>> round(bures(np.eye(2), 4 * np.eye(2)), 6)
    2.0
    """
    root = _power(a, 0.5)
    return float(np.trace(a) + np.trace(b) - 2 * np.trace(_power(root @ b @ root, 0.5)))


def _toeplitz(lagged: list[np.ndarray]) -> np.ndarray:
    """The covariance of consecutive frames of a stationary process, from that at each lag."""
    size = range(len(lagged))
    return np.block([[lagged[j - i] if j >= i else lagged[i - j].T for j in size] for i in size])


def _positive(symmetric: np.ndarray, ridge: float) -> np.ndarray:
    """The nearest positive semi-definite matrix, plus a ridge."""
    values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
    return (vectors * (np.maximum(values, 0) + ridge)) @ vectors.T


def _power(positive: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a positive definite matrix."""
    values, vectors = np.linalg.eigh((positive + positive.T) / 2)
    return (vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T
