"""What can be measured of a picture or a sound without knowing how it was made."""

from __future__ import annotations

import librosa
import numpy as np

from models.features import audio
from models.features.audio import AudioSpec

PITCH_HZ = (60.0, 600.0)


def of_pictures(x: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes of pictures `[n, height, width, channels]` in [-1, 1], `[n]` each.

    Brightness is the mean from 0 to 1; centres, extent (rms distance from the centre) and slant (radians of the
    main axis to the vertical) are those of what is brighter than black, in shares of height and width.
    """
    grey = (np.asarray(x, np.float64).mean(axis=-1) + 1) / 2
    mass = grey / np.maximum(grey.sum(axis=(1, 2), keepdims=True), 1e-9)
    rows, columns = ((np.arange(size) + 0.5) / size for size in grey.shape[1:])
    cx, cy = mass.sum(axis=1) @ columns, mass.sum(axis=2) @ rows
    dx, dy = columns[None, None, :] - cx[:, None, None], rows[None, :, None] - cy[:, None, None]
    xx, yy, xy = ((mass * part).sum(axis=(1, 2)) for part in (dx**2, dy**2, dx * dy))
    return {
        "brightness": grey.mean(axis=(1, 2)),
        "centre x": cx,
        "centre y": cy,
        "extent": np.sqrt(xx + yy),
        "slant": 0.5 * np.arctan2(2 * xy, yy - xx),
    }


def of_speech(log_mels: np.ndarray, waveforms: np.ndarray, spec: AudioSpec) -> dict[str, np.ndarray]:
    """Attributes of sounds, `[n]` each.

    Loudness in dB of the mel powers, mean over frames that sound; F0 in Hz by YIN (de Cheveigné & Kawahara 2002), the
    median over them; spectral centroid in Hz of mel magnitudes; duration in seconds that sound.

    Args:
      log_mels: `[n, frames, mels]`.
      waveforms: `[n, samples]` of the same.
      spec: the front end.
    """
    rows = [_of_one(x, y, spec) for x, y in zip(log_mels, waveforms, strict=True)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _of_one(log_mels: np.ndarray, y: np.ndarray, spec: AudioSpec) -> dict[str, float]:
    active = audio.active_frames(log_mels, spec)
    active = active if active.any() else np.ones(len(log_mels), bool)
    magnitudes = np.exp(log_mels[active].astype(np.float64))
    centres_hz = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin_hz, fmax=spec.fmax_hz)[1:-1]
    return {
        "loudness": float(10 * np.log10(np.mean(np.square(magnitudes).sum(axis=1)))),
        "f0": _pitch_hz(y, spec),
        "centroid": float(np.mean(magnitudes @ centres_hz / magnitudes.sum(axis=1))),
        "duration": float(active.sum() / spec.frame_rate_hz),
    }


def _pitch_hz(y: np.ndarray, spec: AudioSpec) -> float:
    """The median of YIN where it is loud; the lowest pitch of what is shorter than one frame."""
    frame = 1 << int(np.ceil(np.log2(3 * spec.sample_rate_hz / PITCH_HZ[0])))
    if len(y) < frame:
        y = np.pad(y, (0, frame - len(y)))
    options = {"sr": spec.sample_rate_hz, "frame_length": frame, "hop_length": frame // 4}
    found = librosa.yin(y.astype(np.float64), fmin=PITCH_HZ[0], fmax=PITCH_HZ[1], **options)
    loud = librosa.feature.rms(y=y, frame_length=frame, hop_length=frame // 4)[0][: len(found)]
    return float(np.median(found[loud >= 0.5 * loud.max(initial=0.0)]))
