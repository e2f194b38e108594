"""Log-mels back to samples in NumPy, and the joining of chunks that arrive one after the other.

`models.spectral` does the same batched and in the graph; this is the reference it is held to, and
what a process without TensorFlow can use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import librosa
import numpy as np

from models.features import audio
from models.features.audio import AudioSpec

TINY = 1e-9  # keeps bins outside all bands from dividing by zero
PHASE_PERIOD_FRAMES = 256  # after so many frames the starting phases recur
CHUNK_FRAMES = 1024  # of a recording that goes through a model at once
OVERLAP_FRAMES = 32  # that neighbouring chunks are cross-faded over


def mel_to_magnitude(log_mels: np.ndarray, spec: AudioSpec, *, iterations: int = 10) -> np.ndarray:
    """Non-negative magnitudes `[frames, n_fft // 2 + 1]` whose mels are `exp(log_mels)`.

    Least Kullback-Leibler divergence by multiplicative updates (Lee & Seung 2001, Eq. 5), begun at the
    transposed bank. Ten of them come closer than fifty of the Euclidean rule, and the pseudo-inverse
    rings between bands, which is heard as metal.
    """
    bank = audio.mel_matrix(spec)
    mels = np.exp(log_mels)
    magnitude = mels @ (bank / bank.sum(axis=1, keepdims=True))
    share = bank.sum(axis=0) + TINY
    for _ in range(iterations):
        magnitude = magnitude * ((mels / (magnitude @ bank.T + TINY)) @ bank) / share
    return magnitude


def phase_table(spec: AudioSpec) -> np.ndarray:
    """Phases to begin Griffin-Lim with, radians, `[PHASE_PERIOD_FRAMES, n_fft // 2 + 1]` float32.

    Frame `t` of a recording begins with row `t % PHASE_PERIOD_FRAMES`, wherever a chunk or a batch
    has put it: so overlapping chunks agree, and a clip's samples do not depend on its neighbours.
    """
    rng = np.random.default_rng(spec.n_fft)
    return np.float32(rng.uniform(-np.pi, np.pi, (PHASE_PERIOD_FRAMES, spec.n_fft // 2 + 1)))


def griffin_lim(
    magnitude: np.ndarray, spec: AudioSpec, *, iterations: int = 32, momentum: float = 0.95, first_frame: int = 0
) -> np.ndarray:
    """A waveform with these magnitudes: fast Griffin-Lim (Perraudin et al. 2013, Algorithm 2).

    Args:
      magnitude: `[frames, n_fft // 2 + 1]`.
      spec: the front end.
      iterations: projections.
      momentum: the paper's alpha; 0 is the algorithm of Griffin & Lim 1984.
      first_frame: the number, in the whole recording, of the first frame given.

    Returns:
      `[(frames - 1) * hop_length]`.
    """
    rows = (first_frame + np.arange(len(magnitude))) % PHASE_PERIOD_FRAMES
    angles, before = np.exp(1j * phase_table(spec)[rows]), 0.0
    for _ in range(iterations):
        rebuilt = audio.stft(istft(magnitude * angles, spec), spec)
        ahead = rebuilt - momentum / (1 + momentum) * before
        angles, before = ahead / np.maximum(np.abs(ahead), 1e-12), rebuilt
    return istft(magnitude * angles, spec)


def istft(spectrogram: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Least-squares inverse of `audio.stft`, `[(frames - 1) * hop_length]` (Griffin & Lim 1984, Eq. 6)."""
    return librosa.istft(spectrogram.T, hop_length=spec.hop_length, n_fft=spec.n_fft, window=audio.window(spec))


def fade_in(samples: int) -> np.ndarray:
    """Weights `[samples]` that rise from 0 to 1 as a squared sine.

    With the same falling they sum to one, so chunks that agree come out unchanged; their roots are
    power-complementary, and neither end has a corner that could be heard.
    """
    return np.square(np.sin(np.pi / 2 * (np.arange(samples, dtype=np.float32) + 0.5) / max(1, samples)))


def chunks(frames: int) -> Iterator[tuple[int, int]]:
    """First frame and number of frames of neighbouring chunks; each reaches `OVERLAP_FRAMES` into the next.

    >>> list(chunks(1056)), list(chunks(1057))
    ([(0, 1056)], [(0, 1056), (1024, 33)])
    """
    most = CHUNK_FRAMES + OVERLAP_FRAMES
    for first in range(0, max(1, frames - OVERLAP_FRAMES), CHUNK_FRAMES):
        yield first, min(frames - first, most)


def crossfade(parts: Iterable[np.ndarray], overlap: int) -> Iterator[np.ndarray]:
    """Joins chunks of which each begins `overlap` samples before its predecessor ends.

    The weights are those of :func:`fade_in`: chunks that agree where they overlap come out unchanged.

    Args:
      parts: arrays `[samples]`, all but the last at least `2 * overlap` long.
      overlap: samples that neighbours share.

    Yields:
      Arrays that concatenate to the whole.

    >>> x = np.arange(10.0)
    >>> np.allclose(np.concatenate(list(crossfade([x[:6], x[4:]], 2))), x)
    True
    """
    rise, tail = fade_in(overlap), None
    for chunk in parts:
        if tail is not None:
            shared = min(overlap, len(chunk))
            mixed = tail[:shared] * (1 - rise[:shared]) + chunk[:shared] * rise[:shared]
            chunk = np.concatenate([mixed, chunk[shared:]])
        keep = max(0, len(chunk) - overlap)
        yield chunk[:keep]
        tail = chunk[keep:]
    if tail is not None:
        yield tail
