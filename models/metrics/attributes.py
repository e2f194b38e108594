"""Attributes that are measured from images and sounds themselves, without labels."""

from __future__ import annotations

import librosa
import numpy as np

from models.features import audio
from models.features.audio_spec import AudioSpec, band_edges_hz

PITCH_HZ = (60.0, 600.0)


def image_attributes(x: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes of images `[n, height, width, channels]` in [-1, 1], `[n]` each.

    Brightness is the mean from 0 to 1. Centre, extent (RMS distance from the centre) and slant (angle of the main
    axis to the vertical in radians) are brightness-weighted moments, in shares of height and width.
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


def speech_attributes(log_mels: np.ndarray, waveforms: np.ndarray, spec: AudioSpec) -> dict[str, np.ndarray]:
    """Attributes of sounds, `[n]` each, over active frames.

    Loudness is the mean mel power in dB; F0 the median of YIN (de Cheveigné & Kawahara 2002) in Hz; centroid the
    spectral centroid of mel magnitudes in Hz; duration the active time in seconds.

    Args:
      log_mels: `[n, frames, mels]`.
      waveforms: `[n, samples]`, the same sounds.
      spec: the front end.
    """
    rows = [_example_attributes(x, y, spec) for x, y in zip(log_mels, waveforms, strict=True)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _example_attributes(log_mels: np.ndarray, y: np.ndarray, spec: AudioSpec) -> dict[str, float]:
    active = audio.active_frames(log_mels, spec)
    active = active if active.any() else np.ones(len(log_mels), bool)
    magnitudes = np.exp(log_mels[active].astype(np.float64))
    centres_hz = band_edges_hz(spec)[1:-1]
    return {
        "loudness": float(10 * np.log10(np.mean(np.square(magnitudes).sum(axis=1)))),
        "f0": _median_f0_hz(y, spec),
        "centroid": float(np.mean(magnitudes @ centres_hz / magnitudes.sum(axis=1))),
        "duration": float(active.sum() / spec.frame_rate_hz),
    }


def _median_f0_hz(y: np.ndarray, spec: AudioSpec) -> float:
    """Median F0 by YIN over loud frames; sounds shorter than one frame are zero-padded."""
    frame = 1 << int(np.ceil(np.log2(3 * spec.sample_rate_hz / PITCH_HZ[0])))
    if len(y) < frame:
        y = np.pad(y, (0, frame - len(y)))
    options = {"sr": spec.sample_rate_hz, "frame_length": frame, "hop_length": frame // 4}
    f0_hz = librosa.yin(y.astype(np.float64), fmin=PITCH_HZ[0], fmax=PITCH_HZ[1], **options)
    rms = librosa.feature.rms(y=y, frame_length=frame, hop_length=frame // 4)[0][: len(f0_hz)]
    return float(np.median(f0_hz[rms >= 0.5 * rms.max(initial=0.0)]))
