"""The TensorFlow twin of `models.features.audio`, and the way back: log-mels to waveforms, batched.

Runs in the graph, so that an exported model takes a waveform and returns one. Shapes: waveforms
`[..., samples]`, spectrograms `[..., frames, bins]`. A test holds the forward half to the NumPy
front end and to librosa.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.features import audio, inversion, level
from models.features.audio import AudioSpec
from models.features.highpass import low_pass_kernel


def stft(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Complex spectrogram `[..., frames, n_fft // 2 + 1]`; frames centred, edges zero-padded."""
    half = spec.n_fft // 2
    padded = tf.pad(y, [[0, 0]] * (len(y.shape) - 1) + [[half, half]])
    return _analysis(padded, spec)


def _analysis(padded: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    return tf.signal.rfft(tf.signal.frame(padded, spec.n_fft, spec.hop_length) * audio.window(spec))


def istft(spectrogram: tf.Tensor, spec: AudioSpec, *, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Least-squares inverse of :func:`stft`, `[..., (frames - 1) * hop_length]` (Griffin & Lim 1984, Eq. 6).

    Args:
      spectrogram: `[..., frames, n_fft // 2 + 1]`.
      spec: the front end.
      weights: the :func:`overlap_weights`, from who needs them often.
    """
    half = spec.n_fft // 2
    weights = overlap_weights(tf.shape(spectrogram)[-2], spec) if weights is None else weights
    y = _synthesis(spectrogram, spec) * weights
    return y[..., half : tf.shape(y)[-1] - half]


def _synthesis(spectrogram: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Windowed frames added up where they overlap, `[..., (frames - 1) * hop_length + n_fft]`."""
    return overlap_add(tf.signal.irfft(spectrogram, [spec.n_fft]) * audio.window(spec), spec.hop_length)


def overlap_weights(frames: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """What makes :func:`_synthesis` the inverse: one over the sum of squared windows, 0 beyond the signal's ends."""
    squares = tf.broadcast_to(tf.constant(audio.window(spec) ** 2), [frames, spec.n_fft])
    inside = tf.pad(tf.ones([(frames - 1) * spec.hop_length]), [[spec.n_fft // 2] * 2])
    return inside / tf.maximum(overlap_add(squares, spec.hop_length), 1e-8)


def overlap_add(frames: tf.Tensor, hop: int) -> tf.Tensor:
    """Adds up frames `[..., frames, length]` that begin `hop` apart: `[..., (frames - 1) * hop + length]`.

    Where the length is a few hops, in a third of the time of TensorFlow's own.
    """
    length = frames.shape[-1]
    if length % hop or length // hop > 8:
        return tf.signal.overlap_and_add(frames, hop)
    parts, outer = tf.split(frames, length // hop, axis=-1), [[0, 0]] * (len(frames.shape) - 2)
    moved = [tf.pad(part, [*outer, [n, len(parts) - 1 - n], [0, 0]]) for n, part in enumerate(parts)]
    return tf.reshape(tf.add_n(moved), [*tf.unstack(tf.shape(frames)[:-2]), (tf.shape(moved[0])[-2]) * hop])


def log_mel(y: tf.Tensor, spec: AudioSpec, *, centred: bool = True) -> tf.Tensor:
    """Natural logarithm of the mel magnitudes, `[..., frames, mels]`, at least `spec.log_floor`.

    Not `centred`, the first frame begins at the first sample, as in the middle of a recording.
    """
    magnitude = tf.abs(stft(y, spec) if centred else _analysis(y, spec))
    return tf.math.log(tf.maximum(tf.matmul(magnitude, audio.mel_matrix(spec).T), spec.floor))


def mel_to_magnitude(log_mels: tf.Tensor, spec: AudioSpec, *, iterations: int = 10) -> tf.Tensor:
    """Non-negative magnitudes `[..., frames, n_fft // 2 + 1]` whose mels are `exp(log_mels)`.

    The twin of `inversion.mel_to_magnitude`.
    """
    bank = audio.mel_matrix(spec)
    mels = tf.exp(log_mels)
    share = bank.sum(axis=0) + inversion.EPSILON

    def update(magnitude):
        ratio = mels / (tf.matmul(magnitude, bank.T) + inversion.EPSILON)
        return magnitude * tf.matmul(ratio, bank) / share

    return repeat(update, iterations, tf.matmul(mels, bank / bank.sum(axis=1, keepdims=True)))


def griffin_lim(
    magnitude: tf.Tensor,
    spec: AudioSpec,
    *,
    iterations: int = 32,
    momentum: float = 0.95,
    first_frame=0,
    phase=None,
    frames=None,
) -> tf.Tensor:
    """Waveforms with these magnitudes: fast Griffin-Lim (Perraudin et al. 2013, Algorithm 2).

    A batch is inverted clip by clip, each at its own length: neighbours make no difference, and one clip
    stays in the processor's caches where a batch of long ones would not.

    Args:
      magnitude: `[..., frames, n_fft // 2 + 1]`.
      spec: the front end.
      iterations: projections; 32 reach -25 dB on speech.
      momentum: the paper's alpha; 0 is the algorithm of 1984, from 1 on it swings.
      first_frame: the number, in the whole recording, of the first frame given; int or int32 scalar.
      phase: radians to begin with, like `magnitude`; a fixed table (`inversion.phase_table`) if not given.
      frames: int32 `[...]`, how many of each clip are no padding; all if not given.

    Returns:
      `[..., (frames - 1) * hop_length]`, zeros where a clip has ended.
    """
    magnitude = tf.convert_to_tensor(magnitude)
    if phase is None:
        rows = (first_frame + tf.range(tf.shape(magnitude)[-2])) % inversion.PHASE_PERIOD_FRAMES
        phase = tf.gather(inversion.phase_table(spec), rows)
    longest, outer = tf.shape(magnitude)[-2], tf.shape(magnitude)[:-2]
    phase = tf.broadcast_to(phase, tf.shape(magnitude))
    frames = tf.broadcast_to(longest if frames is None else frames, outer)

    def inverted(clip):
        n, *given = clip
        if len(given[0].shape) > 2:
            return tf.map_fn(inverted, clip, parallel_iterations=4, fn_output_signature=_waveforms(given[0]))
        y = _griffin_lim(*(x[:n] for x in given), spec, iterations, momentum)
        return tf.pad(y, [[0, (longest - n) * spec.hop_length]])

    return inverted((frames, magnitude, phase))


def _waveforms(magnitudes: tf.Tensor) -> tf.TensorSpec:
    """Of one of the clips `[..., frames, bins]`."""
    return tf.TensorSpec([*magnitudes.shape[1:-2], None], tf.float32)


def _griffin_lim(magnitude: tf.Tensor, phase: tf.Tensor, spec: AudioSpec, iterations: int, momentum: float):
    """Of one clip `[frames, n_fft // 2 + 1]`."""
    weights = overlap_weights(tf.shape(magnitude)[0], spec)

    def project(spectrogram, before):
        y = _synthesis(spectrogram, spec) * weights
        # The transform is linear: momentum on samples is the paper's, of spectrograms of four times their size
        ahead = y - momentum / (1 + momentum) * before
        rebuilt = _analysis(ahead, spec)
        real, imaginary = tf.math.real(rebuilt), tf.math.imag(rebuilt)
        scale = magnitude * tf.math.rsqrt(tf.maximum(tf.square(real) + tf.square(imaginary), 1e-24))
        return tf.complex(real * scale, imaginary * scale), y

    begun = tf.cast(magnitude, tf.complex64) * tf.exp(tf.complex(0.0, phase))
    made, _ = repeat(project, iterations, begun, tf.zeros_like(weights))
    return istft(made, spec)


def repeat(step, times: int, *state):
    """`step` applied `times` times to tensors whose shapes stay; a loop in the graph, not in Python."""
    outcome = tf.while_loop(
        lambda i, *_: i < times,
        lambda i, *now: (i + 1, *tf.nest.flatten(step(*now))),
        (0, *state),
        maximum_iterations=times,  # for gradients under XLA
        shape_invariants=(tf.TensorShape([]), *(x.shape for x in state)),
    )
    return outcome[1] if len(state) == 1 else outcome[1:]


def highpass(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Waveforms `[batch, samples]` without what is below hearing; the twin of `models.features.highpass`.

    Block by block and in double precision: memory beyond a few times the waveforms' does not grow.
    """
    kernel = low_pass_kernel(spec.sample_rate_hz)
    half, length = len(kernel) // 2, 1 << (4 * len(kernel)).bit_length()
    step, samples = length - 2 * half, tf.shape(y)[1]
    count = -(-samples // step)
    place = tf.range(-half, count * step + half) % (2 * samples)  # reflected beyond the ends
    padded = tf.gather(y - y[:, :1], tf.minimum(place, 2 * samples - 1 - place), axis=1)
    transfer = tf.constant(np.fft.rfft(kernel, length))

    def below(number):
        block = tf.cast(tf.slice(padded, [0, number * step], [-1, length]), tf.float64)
        return tf.cast(tf.signal.irfft(tf.signal.rfft(block) * transfer, [length])[:, 2 * half :], tf.float32)

    blocks = tf.map_fn(below, tf.range(count), parallel_iterations=1, fn_output_signature=tf.float32)
    low = tf.reshape(tf.transpose(blocks, [1, 0, 2]), [tf.shape(y)[0], -1])[:, :samples]
    return y - y[:, :1] - low


def active_power(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Mean power `[batch, 1]` of the parts of `[batch, samples]` that sound; 0 for silence.

    The twin of `level.active_power` over `level.block_powers`.
    """
    size = max(1, spec.sample_rate_hz // 50)
    blocks = tf.signal.frame(tf.square(y), size, size, pad_end=True)
    n, samples = tf.shape(blocks)[1], tf.shape(y)[1]
    lengths = tf.minimum(size, samples - size * tf.range(n))
    powers = tf.reduce_sum(blocks, axis=-1) / tf.cast(lengths, tf.float32)
    loud = tf.sort(powers, axis=-1)[:, n - 1 - n // 20][:, None]
    active = tf.cast((powers >= loud * 10 ** (-level.ACTIVE_RANGE_DB / 10)) & (powers > 0), tf.float32)
    return tf.reduce_sum(powers * active, -1, keepdims=True) / tf.maximum(tf.reduce_sum(active, -1, keepdims=True), 1)


def level_gain(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """The factor `[batch, 1]` that brings each of `[batch, samples]` to `spec.level_db`; 1 for silence.

    The twin of `level.level_gain`.
    """
    power = active_power(y, spec)
    limit = 10 ** (level.MAX_GAIN_DB / 20)
    gain = 10 ** (spec.level_db / 20) * tf.math.rsqrt(tf.maximum(power, 1e-20))
    return tf.where(power > 0, tf.clip_by_value(gain, 1 / limit, limit), 1.0)


def active_frames(log_mels: tf.Tensor, spec: AudioSpec, *, range_db: float = 40.0) -> tf.Tensor:
    """Which frames of `[frames, mels]` sound, bool `[frames]`; the twin of `audio.active_frames`."""
    power = tf.reduce_sum(tf.exp(2 * log_mels), axis=1)
    n = tf.shape(power)[0]
    loud = tf.sort(power)[n - 1 - n // 20]
    sounds = tf.reduce_max(log_mels, axis=1) > spec.log_floor + 0.01
    return sounds & (power >= loud * 10 ** (-range_db / 10))
