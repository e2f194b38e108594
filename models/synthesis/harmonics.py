"""Log-mels of harmonic tones: where the harmonics of an F0 lie in the bands of a front end.

A decoder with these as input has only to shape them, as the vocal tract shapes the sound of the glottis (source-filter
model, Fant 1960), and need not learn from a number where each harmonic of each F0 lies.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.special
import tensorflow as tf

from models.features import audio
from models.features.audio_spec import AudioSpec

LOWEST_HZ, HIGHEST_HZ, STEPS = 50.0, 600.0, 256  # equal steps of log-F0, about 1 %
AVERAGED_FRAMES = 16
RMS = 0.07  # about -23 dB re full scale


@functools.lru_cache(maxsize=8)
def table(spec: AudioSpec) -> np.ndarray:
    """Log-mels `[STEPS + 1, mels]` of tones from `LOWEST_HZ` to `HIGHEST_HZ`, less their mean over the tones."""
    log_mels = [_tone_log_mel(f0_hz, spec) for f0_hz in np.geomspace(LOWEST_HZ, HIGHEST_HZ, STEPS + 1)]
    return np.float32(log_mels - np.mean(log_mels, axis=0))


def _tone_log_mel(f0_hz: float, spec: AudioSpec) -> np.ndarray:
    """Mean log-mel `[mels]` over time of the sum of all harmonics up to the highest band, all of one amplitude."""
    edge = -(-spec.n_fft // (2 * spec.hop_length)) + 1  # frames whose window reaches beyond the tone
    samples = np.arange((AVERAGED_FRAMES + 2 * edge) * spec.hop_length)
    count = 2 * max(1, int(spec.fmax_hz / f0_hz)) + 1  # of harmonics from minus the highest to the highest
    y = count * scipy.special.diric(2 * np.pi * f0_hz / spec.sample_rate_hz * samples, count) - 1
    y *= RMS / np.sqrt(np.mean(y**2))
    return audio.log_mel(np.float32(y), spec)[edge:-edge].mean(axis=0)


def log_mels(log_f0: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Log-mels `[..., mels]` of tones of that F0 `[...]` (natural logarithm, Hz), by linear interpolation.

    F0 is clipped to the range from `LOWEST_HZ` to `HIGHEST_HZ`.
    """
    low, high = np.log([LOWEST_HZ, HIGHEST_HZ]).astype(np.float32)
    position = tf.clip_by_value((log_f0 - low) * (STEPS / (high - low)), 0.0, float(STEPS))
    index = tf.minimum(tf.cast(position, tf.int32), STEPS - 1)
    weight = (position - tf.cast(index, tf.float32))[..., None]
    tones = tf.constant(table(spec))
    return tf.gather(tones, index) * (1 - weight) + tf.gather(tones, index + 1) * weight
