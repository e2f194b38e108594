"""Linear voice conversion in closed form, from the moments of two domains.

Models start from this map, so that they need not learn what the two covariances determine. It has two steps. Both are
linear in log-mels, so together they are one convolution over time:

1. Pitch: the fine structure over frequency (the harmonics) is stretched by the ratio that brings its covariance
   nearest to the target's. No pitch tracker is used.
2. Timbre: optimal transport between the Gaussians of a few consecutive frames matches the remaining statistics, such
   as the level of each band and the correlations between bands.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from models.features.audio_spec import AudioSpec, band_edges_hz
from models.features.stats import LAGS, Moments

CONTEXT = LAGS // 2  # frames of context of the filter on either side
RIDGE = 0.01  # added to variances of log-mels
MAX_GAIN = 3.0  # limit of amplification: directions of low variance in the source are noise and would click
ENVELOPE_ORDER, ENVELOPE_SLOPE = 16, 6  # cosines over the mel bands that represent timbre, not pitch
PITCH_HZ = 1500.0  # the bands resolve harmonics below this frequency
RATIOS = np.exp(np.linspace(-0.8, 0.8, 65))  # candidate pitch ratios: 0.45 to 2.2
MAX_DISTANCE_SHARE = 0.95  # a ratio is accepted if it leaves at most this share of the distance
MIN_BANDS, MIN_DISTANCE = 8, 1e-6  # with fewer bands, or domains as near as this, no ratio can be estimated


def kernel(source: Moments, target: Moments, spec: AudioSpec) -> np.ndarray:
    """Linear filter that maps speech of one domain to another.

    Args:
      source: moments of the source domain, of log-mels, with `LAGS` lags.
      target: moments of the target domain.
      spec: the front end.

    Returns:
      `[2 * CONTEXT + 1, mels, mels]`, for `apply_kernel` or a convolution over *normalised* frames. For equal
      moments it is the identity at the centre tap and zero elsewhere.
    """
    stretch = stretch_matrix(pitch_ratio(source, target, spec), spec)
    frames = 2 * CONTEXT + 1
    source_lags = [stretch @ source.covariance(lag) @ stretch.T for lag in range(frames)]
    target_lags = [target.covariance(lag) for lag in range(frames)]
    transport = monge_map(_block_toeplitz(source_lags), _block_toeplitz(target_lags))
    rows = transport[CONTEXT * len(stretch) : (CONTEXT + 1) * len(stretch)]
    taps = [rows[:, n * len(stretch) : (n + 1) * len(stretch)] @ stretch for n in range(frames)]
    return np.stack([(tap / target.std[:, None] * source.std).T for tap in taps])


def identity_kernel(bins: int) -> np.ndarray:
    """The :func:`kernel` that changes nothing, `[2 * CONTEXT + 1, bins, bins]`."""
    return np.pad(np.eye(bins)[None], ((CONTEXT, CONTEXT), (0, 0), (0, 0)))


def apply_kernel(x: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Filter normalised frames `[frames, bins]` with a kernel `[taps, bins, bins]`, zero-padded at the ends.

    >>> apply_kernel(np.eye(3), np.eye(3)[None]).tolist() == np.eye(3).tolist()
    True
    """
    half = len(taps) // 2
    padded = np.pad(x, ((half, half), (0, 0)))
    return sum(padded[n : n + len(x)] @ tap for n, tap in enumerate(taps))


def pitch_ratio(source: Moments, target: Moments, spec: AudioSpec) -> float:
    """Ratio of the target's pitch to the source's, estimated from the covariances of the fine structure.

    Over bands below `PITCH_HZ`, returns the candidate whose stretch brings the source's covariance nearest to the
    target's, and whose inverse brings the target's nearest to the source's. Distances are Bures distances between
    matrices of trace one. Returns 1 if no candidate is clearly nearer, or if the bands resolve no harmonics. Exchanging
    source and target gives the inverse ratio.
    """
    low = band_hz(spec) < PITCH_HZ
    if low.sum() < MIN_BANDS:
        return 1.0
    fine = np.eye(spec.n_mels) - envelope_matrix(spec.n_mels)
    source_fine, target_fine = (fine @ moments.covariance(0) @ fine.T for moments in (source, target))

    def normalized(covariance: np.ndarray) -> np.ndarray:
        part = covariance[np.ix_(low, low)]
        return _positive(part / max(np.trace(part), 1e-12), 1e-6)

    def distance(warp: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
        return squared_bures(normalized(warp @ start @ warp.T), normalized(end))

    forward = [distance(_warp(ratio, spec), source_fine, target_fine) for ratio in RATIOS]
    backward = [distance(_warp(1 / ratio, spec), target_fine, source_fine) for ratio in RATIOS]
    distances = np.add(forward, backward)
    best, identity_distance = int(np.argmin(distances)), distances[len(RATIOS) // 2]
    is_nearer = identity_distance > MIN_DISTANCE and distances[best] <= MAX_DISTANCE_SHARE * identity_distance
    return float(RATIOS[best]) if is_nearer else 1.0


def stretch_matrix(ratio: float, spec: AudioSpec) -> np.ndarray:
    """Matrix `[mels, mels]` that scales the harmonics of a log-mel frame by a ratio and preserves its envelope."""
    smooth = envelope_matrix(spec.n_mels)
    return smooth + _warp(ratio, spec) @ (np.eye(spec.n_mels) - smooth)


def envelope_matrix(bins: int) -> np.ndarray:
    """Matrix `[bins, bins]` that projects on the slow cosines over the mel bands (liftering)."""
    cosines = scipy.fft.dct(np.eye(bins), axis=0, norm="ortho")
    weights = np.clip((ENVELOPE_ORDER + ENVELOPE_SLOPE / 2 - np.arange(bins)) / ENVELOPE_SLOPE, 0, 1)
    return cosines.T @ np.diag(weights) @ cosines


def band_hz(spec: AudioSpec) -> np.ndarray:
    """Centre frequencies of the mel bands in Hz, `[mels]`."""
    return band_edges_hz(spec)[1:-1]


def _warp(ratio: float, spec: AudioSpec) -> np.ndarray:
    """Matrix `[mels, mels]` that moves the value at frequency f / ratio to f; zero from above the top band."""
    hz = band_hz(spec)
    position = np.interp(hz / ratio, hz, np.arange(len(hz)))
    matrix = np.maximum(0.0, 1 - np.abs(position[:, None] - np.arange(len(hz))))
    return matrix * (hz / ratio <= hz[-1] * 1.001)[:, None]


def monge_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Optimal transport map `A` between centred Gaussians with these covariances.

    ``A S A = T``, the linear map of minimal cost (Olkin & Pukelsheim 1982; Peyre & Cuturi 2019, Eq. 2.41), with
    amplification limited to `MAX_GAIN`.
    """
    s, t = _positive(source, RIDGE), _positive(target, RIDGE)
    root, inverse = _power(s, 0.5), _power(s, -0.5)
    gains, directions = np.linalg.eigh(inverse @ _power(root @ t @ root, 0.5) @ inverse)
    return (directions * np.minimum(gains, MAX_GAIN)) @ directions.T


def squared_bures(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Bures distance of positive matrices: the optimal transport cost between centred Gaussians.

    >>> round(squared_bures(np.eye(2), 4 * np.eye(2)), 6)
    2.0
    """
    root = _power(a, 0.5)
    return float(np.trace(a) + np.trace(b) - 2 * np.trace(_power(root @ b @ root, 0.5)))


def _block_toeplitz(lagged: list[np.ndarray]) -> np.ndarray:
    """Covariance of consecutive frames of a stationary process, from its covariance at each lag."""
    size = range(len(lagged))
    return np.block([[lagged[j - i] if j >= i else lagged[i - j].T for j in size] for i in size])


def _positive(symmetric: np.ndarray, ridge: float) -> np.ndarray:
    """Nearest positive semi-definite matrix, plus a ridge."""
    values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
    return (vectors * (np.maximum(values, 0) + ridge)) @ vectors.T


def _power(positive: np.ndarray, exponent: float) -> np.ndarray:
    """Power of a positive definite matrix."""
    values, vectors = np.linalg.eigh((positive + positive.T) / 2)
    return (vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T
