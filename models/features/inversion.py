"""Log-mels to waveforms in NumPy, and the cross-fading of consecutive chunks.

`models.spectral` is the same in TensorFlow, batched. This module is its reference in tests, and for
processes without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import librosa
import numpy as np

from models.features import audio
from models.features.audio import AudioSpec

EPSILON = 1e-9  # avoids division by zero in bins outside all bands
PHASE_PERIOD_FRAMES = 256  # the initial phases repeat after this many frames
CHUNK_FRAMES = 1024  # frames of a recording that a model processes at once
OVERLAP_FRAMES = 32  # frames over which consecutive chunks are cross-faded
EDGE_FRAMES = 16  # of silence, which models and vocoders see before and after a recording


def mel_to_magnitude(log_mels: np.ndarray, spec: AudioSpec, *, iterations: int = 10) -> np.ndarray:
    """Non-negative magnitudes `[frames, n_fft // 2 + 1]` whose mels approximate `exp(log_mels)`.

    Minimises the Kullback-Leibler divergence by multiplicative updates (Lee & Seung 2001, Eq. 5), initialised with
    the transposed filter bank. Ten iterations are more accurate than fifty of the Euclidean rule. The pseudo-inverse
    rings between bands, which sounds metallic.
    """
    bank = audio.mel_matrix(spec)
    mels = np.exp(log_mels)
    magnitude = mels @ (bank / bank.sum(axis=1, keepdims=True))
    bin_weights = bank.sum(axis=0) + EPSILON
    for _ in range(iterations):
        magnitude = magnitude * ((mels / (magnitude @ bank.T + EPSILON)) @ bank) / bin_weights
    return magnitude


def phase_table(spec: AudioSpec) -> np.ndarray:
    """Initial phases of Griffin-Lim in radians, `[PHASE_PERIOD_FRAMES, n_fft // 2 + 1]` float32.

    Frame `t` of a recording starts from row `t % PHASE_PERIOD_FRAMES`, in any chunk or batch. So overlapping chunks
    agree, and the samples of a clip do not depend on its neighbours.
    """
    rng = np.random.default_rng(spec.n_fft)
    return np.float32(rng.uniform(-np.pi, np.pi, (PHASE_PERIOD_FRAMES, spec.n_fft // 2 + 1)))


def griffin_lim(
    magnitude: np.ndarray, spec: AudioSpec, *, iterations: int = 32, momentum: float = 0.95, first_frame: int = 0
) -> np.ndarray:
    """Waveform with these magnitudes, by fast Griffin-Lim (Perraudin et al. 2013, Algorithm 2).

    Args:
      magnitude: `[frames, n_fft // 2 + 1]`.
      spec: the front end.
      iterations: number of projections.
      momentum: the paper's alpha; 0 is the algorithm of Griffin & Lim 1984.
      first_frame: index of the first frame of `magnitude` in the recording.

    Returns:
      `[(frames - 1) * hop_length]`.
    """
    rows = (first_frame + np.arange(len(magnitude))) % PHASE_PERIOD_FRAMES
    angles, previous = np.exp(1j * phase_table(spec)[rows]), 0.0
    for _ in range(iterations):
        rebuilt = audio.stft(istft(magnitude * angles, spec), spec)
        accelerated = rebuilt - momentum / (1 + momentum) * previous
        angles, previous = accelerated / np.maximum(np.abs(accelerated), 1e-12), rebuilt
    return istft(magnitude * angles, spec)


def istft(spectrogram: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """Least-squares inverse of `audio.stft`, `[(frames - 1) * hop_length]` (Griffin & Lim 1984, Eq. 6)."""
    return librosa.istft(spectrogram.T, hop_length=spec.hop_length, n_fft=spec.n_fft, window=audio.window(spec))


def fade_in(samples: int) -> np.ndarray:
    """Weights `[samples]` that rise from 0 to 1 as a squared sine.

    The weights and their reverse sum to one, so chunks that agree are unchanged. Their square roots are
    power-complementary, and the slope is zero at both ends, which avoids audible artefacts.
    """
    return np.square(np.sin(np.pi / 2 * (np.arange(samples, dtype=np.float32) + 0.5) / max(1, samples)))


class Chunk(NamedTuple):
    """Frames of a recording that are computed at once.

    Attributes:
      first: index of the first frame.
      frames: number of frames.
      before: further frames before the first, on which the result depends.
      after: further frames after the last.
    """

    first: int
    frames: int
    before: int
    after: int


def chunks(frames: int, margin: int = 0) -> Iterator[Chunk]:
    """Consecutive chunks of a recording, of which each overlaps the next by `OVERLAP_FRAMES`.

    Args:
      frames: of the recording.
      margin: frames on either side of a chunk on which it depends, see :func:`margin`; at the ends of the recording
        :func:`edge` of them.

    >>> [tuple(chunk) for chunk in chunks(1056, 48)], [tuple(chunk) for chunk in chunks(1057, 48)]
    ([(0, 1056, 16, 16)], [(0, 1056, 16, 17), (1024, 33, 48, 16)])
    """
    max_frames = CHUNK_FRAMES + OVERLAP_FRAMES
    for first in range(0, max(1, frames - OVERLAP_FRAMES), CHUNK_FRAMES):
        size = min(frames - first, max_frames)
        before, after = first + edge(margin), frames - first - size + edge(margin)
        yield Chunk(first, size, min(before, margin), min(after, margin))


def margin(context: int) -> int:
    """Frames on either side of a chunk that contain `context` frames: a multiple of `EDGE_FRAMES`.

    So the frames of strided layers are at the same positions in every chunk.
    """
    return -(-context // EDGE_FRAMES) * EDGE_FRAMES


def edge(margin: int) -> int:
    """Frames of silence before and after a recording, for chunks with this margin."""
    return min(margin, EDGE_FRAMES)


def crossfade(parts: Iterable[np.ndarray], overlap: int) -> Iterator[np.ndarray]:
    """Join chunks, each of which starts `overlap` samples before the previous one ends.

    Weights as in :func:`fade_in`: chunks that agree where they overlap are unchanged.

    Args:
      parts: arrays `[samples]`, all but the last at least `2 * overlap` long.
      overlap: samples by which consecutive chunks overlap.

    Yields:
      Arrays that concatenate to the joined signal.

    >>> x = np.arange(10.0)
    >>> np.allclose(np.concatenate(list(crossfade([x[:6], x[4:]], 2))), x)
    True
    """
    fade, tail = fade_in(overlap), None
    for chunk in parts:
        if tail is not None:
            count = min(overlap, len(chunk))
            mixed = tail[:count] * (1 - fade[:count]) + chunk[:count] * fade[:count]
            chunk = np.concatenate([mixed, chunk[count:]])
        end = max(0, len(chunk) - overlap)
        yield chunk[:end]
        tail = chunk[end:]
    if tail is not None:
        yield tail
