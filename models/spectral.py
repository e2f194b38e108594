"""The TensorFlow twin of `models.features.audio`, and the way back: log-mels to waveforms, batched.

Runs in the graph, so that an exported model takes a waveform and returns one. Shapes: waveforms
`[..., samples]`, spectrograms `[..., frames, bins]`. A test holds the forward half to the NumPy
front end and to librosa.
"""

from __future__ import annotations

import tensorflow as tf

from models.features import audio, inversion
from models.features.audio import AudioSpec


def stft(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Complex spectrogram `[..., frames, n_fft // 2 + 1]`; frames centred, edges zero-padded."""
    half = spec.n_fft // 2
    padded = tf.pad(y, [[0, 0]] * (len(y.shape) - 1) + [[half, half]])
    frames = tf.signal.frame(padded, spec.n_fft, spec.hop_length)
    return tf.signal.rfft(frames * audio.window(spec))


def istft(spectrogram: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Least-squares inverse of :func:`stft`, `[..., (frames - 1) * hop_length]` (Griffin & Lim 1984, Eq. 6)."""
    window = audio.window(spec)
    frames = tf.signal.irfft(spectrogram, [spec.n_fft]) * window
    y = tf.signal.overlap_and_add(frames, spec.hop_length)
    n_frames = tf.shape(frames)[-2]
    weights = tf.signal.overlap_and_add(
        tf.broadcast_to(tf.constant(window**2), [n_frames, spec.n_fft]), spec.hop_length
    )
    half = spec.n_fft // 2
    y, weights = y[..., half : half + (n_frames - 1) * spec.hop_length], weights[half:][: tf.shape(y)[-1] - spec.n_fft]
    return y / tf.maximum(weights, 1e-8)


def log_mel(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Natural logarithm of the mel magnitudes, `[..., frames, mels]`, at least `spec.log_floor`."""
    magnitude = tf.abs(stft(y, spec))
    return tf.math.log(tf.maximum(tf.matmul(magnitude, audio.mel_matrix(spec).T), spec.floor))


def mel_to_magnitude(log_mels: tf.Tensor, spec: AudioSpec, *, iterations: int = 10) -> tf.Tensor:
    """Non-negative magnitudes `[..., frames, n_fft // 2 + 1]` whose mels are `exp(log_mels)`.

    The twin of `inversion.mel_to_magnitude`.
    """
    bank = audio.mel_matrix(spec)
    mels = tf.exp(log_mels)
    share = bank.sum(axis=0) + inversion.TINY

    def update(magnitude):
        ratio = mels / (tf.matmul(magnitude, bank.T) + inversion.TINY)
        return magnitude * tf.matmul(ratio, bank) / share

    return _repeat(update, iterations, tf.matmul(mels, bank / bank.sum(axis=1, keepdims=True)))


def griffin_lim(
    magnitude: tf.Tensor, spec: AudioSpec, *, iterations: int = 32, momentum: float = 0.99, first_frame=0, phase=None
) -> tf.Tensor:
    """A waveform with these magnitudes: fast Griffin-Lim (Perraudin et al. 2013, Algorithm 2).

    Args:
      magnitude: `[..., frames, n_fft // 2 + 1]`.
      spec: the front end.
      iterations: projections; 32 reach -25 dB on speech.
      momentum: the paper's alpha; 0 is the algorithm of 1984.
      first_frame: the number, in the whole recording, of the first frame given; int or int32 scalar.
      phase: radians to begin with, like `magnitude`; a fixed table (`inversion.phase_table`) if not given.

    Returns:
      `[..., (frames - 1) * hop_length]`.
    """
    if phase is None:
        rows = (first_frame + tf.range(tf.shape(magnitude)[-2])) % inversion.PHASE_PERIOD_FRAMES
        phase = tf.gather(inversion.phase_table(spec), rows)
    magnitude = tf.cast(magnitude, tf.complex64)
    angles = tf.exp(tf.complex(0.0, phase)) + tf.zeros_like(magnitude)

    def project(angles, before):
        rebuilt = stft(istft(magnitude * angles, spec), spec)
        ahead = rebuilt - momentum / (1 + momentum) * before
        return ahead / tf.cast(tf.maximum(tf.abs(ahead), 1e-12), tf.complex64), rebuilt

    angles, _ = _repeat(project, iterations, angles, tf.zeros_like(magnitude))
    return istft(magnitude * angles, spec)


def _repeat(step, times: int, *state):
    """`step` applied `times` times to tensors whose shapes stay; a loop in the graph, not in Python."""
    outcome = tf.while_loop(
        lambda i, *_: i < times,
        lambda i, *now: (i + 1, *tf.nest.flatten(step(*now))),
        (0, *state),
        shape_invariants=(tf.TensorShape([]), *(x.shape for x in state)),
    )
    return outcome[1] if len(state) == 1 else outcome[1:]


def active_power(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Mean power `[batch, 1]` of the parts of `[batch, samples]` that sound; 0 for silence.

    The twin of `audio.active_power` over `audio.block_powers`.
    """
    size = max(1, spec.sample_rate_hz // 50)
    blocks = tf.signal.frame(tf.square(y), size, size, pad_end=True)
    n, samples = tf.shape(blocks)[1], tf.shape(y)[1]
    lengths = tf.minimum(size, samples - size * tf.range(n))
    powers = tf.reduce_sum(blocks, axis=-1) / tf.cast(lengths, tf.float32)
    loud = tf.sort(powers, axis=-1)[:, n - 1 - n // 20][:, None]
    active = tf.cast((powers >= loud * 10 ** (-audio.ACTIVE_RANGE_DB / 10)) & (powers > 0), tf.float32)
    return tf.reduce_sum(powers * active, -1, keepdims=True) / tf.maximum(tf.reduce_sum(active, -1, keepdims=True), 1)


def level_gain(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """The factor `[batch, 1]` that brings each of `[batch, samples]` to `spec.level_db`; 1 for silence.

    The twin of `audio.level_gain`.
    """
    power = active_power(y, spec)
    limit = 10 ** (audio.MAX_GAIN_DB / 20)
    gain = 10 ** (spec.level_db / 20) * tf.math.rsqrt(tf.maximum(power, 1e-20))
    return tf.where(power > 0, tf.clip_by_value(gain, 1 / limit, limit), 1.0)


def active_frames(log_mels: tf.Tensor, spec: AudioSpec, *, range_db: float = 40.0) -> tf.Tensor:
    """Which frames of `[frames, mels]` sound, bool `[frames]`; the twin of `audio.active_frames`."""
    power = tf.reduce_sum(tf.exp(2 * log_mels), axis=1)
    n = tf.shape(power)[0]
    loud = tf.sort(power)[n - 1 - n // 20]
    sounds = tf.reduce_max(log_mels, axis=1) > spec.log_floor + 0.01
    return sounds & (power >= loud * 10 ** (-range_db / 10))
