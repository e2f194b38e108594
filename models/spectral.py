"""TensorFlow implementation of `models.features.audio` and `models.features.inversion`, batched.

Runs in the graph, so that an exported model takes and returns waveforms. Shapes: waveforms `[..., samples]`,
spectrograms `[..., frames, bins]`. Tests compare the analysis to the NumPy front end and to librosa.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.features import audio, inversion, level
from models.features.audio import AudioSpec
from models.features.highpass import context as highpass_context
from models.features.highpass import decimation, low_pass_kernel, ramps


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
      weights: precomputed :func:`overlap_weights`, for repeated calls.
    """
    half = spec.n_fft // 2
    weights = overlap_weights(tf.shape(spectrogram)[-2], spec) if weights is None else weights
    y = _synthesis(spectrogram, spec) * weights
    return y[..., half : tf.shape(y)[-1] - half]


def _synthesis(spectrogram: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Overlap-add of windowed frames, `[..., (frames - 1) * hop_length + n_fft]`."""
    return overlap_add(tf.signal.irfft(spectrogram, [spec.n_fft]) * audio.window(spec), spec.hop_length)


def overlap_weights(frames: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Factors that make :func:`_synthesis` the inverse: one over the sum of squared windows, 0 outside the signal."""
    squares = tf.broadcast_to(tf.constant(audio.window(spec) ** 2), [frames, spec.n_fft])
    inside = tf.pad(tf.ones([(frames - 1) * spec.hop_length]), [[spec.n_fft // 2] * 2])
    return inside / tf.maximum(overlap_add(squares, spec.hop_length), 1e-8)


def overlap_add(frames: tf.Tensor, hop: int) -> tf.Tensor:
    """Overlap-add frames `[..., frames, length]` that start `hop` apart: `[..., (frames - 1) * hop + length]`.

    Takes a third of the time of `tf.signal.overlap_and_add` if the length is a small multiple of the hop.
    """
    length = frames.shape[-1]
    if length % hop or length // hop > 8:
        return tf.signal.overlap_and_add(frames, hop)
    parts, outer = tf.split(frames, length // hop, axis=-1), [[0, 0]] * (len(frames.shape) - 2)
    shifted = [tf.pad(part, [*outer, [n, len(parts) - 1 - n], [0, 0]]) for n, part in enumerate(parts)]
    return tf.reshape(tf.add_n(shifted), [*tf.unstack(tf.shape(frames)[:-2]), (tf.shape(shifted[0])[-2]) * hop])


def log_mel(y: tf.Tensor, spec: AudioSpec, *, centred: bool = True) -> tf.Tensor:
    """Natural logarithm of the mel magnitudes, `[..., frames, mels]`, at least `spec.log_floor`.

    If not `centred`, the first frame starts at the first sample, for segments from the middle of a recording.
    """
    magnitude = tf.abs(stft(y, spec) if centred else _analysis(y, spec))
    return tf.math.log(tf.maximum(tf.matmul(magnitude, audio.mel_matrix(spec).T), spec.floor))


def mel_to_magnitude(log_mels: tf.Tensor, spec: AudioSpec, *, iterations: int = 10) -> tf.Tensor:
    """Non-negative magnitudes `[..., frames, n_fft // 2 + 1]` whose mels approximate `exp(log_mels)`.

    Equivalent to `inversion.mel_to_magnitude`.
    """
    bank = audio.mel_matrix(spec)
    mels = tf.exp(log_mels)
    bin_weights = bank.sum(axis=0) + inversion.EPSILON

    def update(magnitude):
        ratio = mels / (tf.matmul(magnitude, bank.T) + inversion.EPSILON)
        return magnitude * tf.matmul(ratio, bank) / bin_weights

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

    Clips of a batch are inverted one by one, each at its own length. So the result does not depend on other clips,
    and the working set of one clip fits into the processor's caches.

    Args:
      magnitude: `[..., frames, n_fft // 2 + 1]`.
      spec: the front end.
      iterations: number of projections; 32 reach a spectral convergence of -25 dB on speech.
      momentum: the paper's alpha; 0 is the algorithm of Griffin & Lim 1984; values from 1 oscillate.
      first_frame: index of the first frame of `magnitude` in the recording; int or int32 scalar.
      phase: initial phases in radians, of the shape of `magnitude`; `inversion.phase_table` by default.
      frames: int32 `[...]`, length of each clip without padding; all frames by default.

    Returns:
      `[..., (frames - 1) * hop_length]`, zeros after the end of a clip.
    """
    magnitude = tf.convert_to_tensor(magnitude)
    if phase is None:
        rows = (first_frame + tf.range(tf.shape(magnitude)[-2])) % inversion.PHASE_PERIOD_FRAMES
        phase = tf.gather(inversion.phase_table(spec), rows)
    max_frames, outer = tf.shape(magnitude)[-2], tf.shape(magnitude)[:-2]
    phase = tf.broadcast_to(phase, tf.shape(magnitude))
    frames = tf.broadcast_to(max_frames if frames is None else frames, outer)

    def invert(clip):
        n, *spectra = clip
        if len(spectra[0].shape) > 2:
            return tf.map_fn(invert, clip, parallel_iterations=4, fn_output_signature=_waveform_spec(spectra[0]))
        y = _griffin_lim(*(x[:n] for x in spectra), spec, iterations, momentum)
        return tf.pad(y, [[0, (max_frames - n) * spec.hop_length]])

    return invert((frames, magnitude, phase))


def _waveform_spec(magnitudes: tf.Tensor) -> tf.TensorSpec:
    """Tensor spec of the waveform of one element of `[batch, ..., frames, bins]`."""
    return tf.TensorSpec([*magnitudes.shape[1:-2], None], tf.float32)


def _griffin_lim(magnitude: tf.Tensor, phase: tf.Tensor, spec: AudioSpec, iterations: int, momentum: float):
    """Fast Griffin-Lim of one clip `[frames, n_fft // 2 + 1]`."""
    weights = overlap_weights(tf.shape(magnitude)[0], spec)

    def project(spectrogram, previous):
        y = _synthesis(spectrogram, spec) * weights
        # The STFT is linear, so momentum on samples equals the paper's on spectrograms, which are four times as large
        accelerated = y - momentum / (1 + momentum) * previous
        rebuilt = _analysis(accelerated, spec)
        real, imaginary = tf.math.real(rebuilt), tf.math.imag(rebuilt)
        scale = magnitude * tf.math.rsqrt(tf.maximum(tf.square(real) + tf.square(imaginary), 1e-24))
        return tf.complex(real * scale, imaginary * scale), y

    initial = tf.cast(magnitude, tf.complex64) * tf.exp(tf.complex(0.0, phase))
    spectrogram, _ = repeat(project, iterations, initial, tf.zeros_like(weights))
    return istft(spectrogram, spec)


def repeat(step, times: int, *state):
    """Apply `step` to `state` `times` times in a graph loop; the shapes of the tensors must not change."""
    results = tf.while_loop(
        lambda i, *_: i < times,
        lambda i, *tensors: (i + 1, *tf.nest.flatten(step(*tensors))),
        (0, *state),
        maximum_iterations=times,  # for gradients under XLA
        shape_invariants=(tf.TensorShape([]), *(x.shape for x in state)),
    )
    return results[1] if len(state) == 1 else results[1:]


def highpass(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """High-pass filter waveforms `[batch, samples]`; equivalent to `models.features.highpass`."""
    rate_hz = spec.sample_rate_hz
    kernel, half, size = low_pass_kernel(rate_hz), highpass_context(rate_hz), decimation(rate_hz)
    samples = tf.shape(y)[1]
    index = tf.range(-half, samples + half + -samples % size) % (2 * samples)  # reflection at the ends
    difference = y - y[:, :1]
    padded = tf.gather(difference, tf.minimum(index, 2 * samples - 1 - index), axis=1)
    ends = tf.matmul(tf.reshape(padded, [tf.shape(y)[0], -1, size]), ramps(size).T / np.float32(size))
    values = ends[:, 1:, :1] + ends[:, :-1, 1:]
    low = tf.nn.conv1d(values, kernel[:, None, None], 1, "VALID")
    interpolated = tf.matmul(tf.concat([low[:, :-1], low[:, 1:]], axis=-1), ramps(size))
    return difference - tf.reshape(interpolated, [tf.shape(y)[0], -1])[:, :samples]


def active_power(y: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Mean power `[batch, 1]` of the active blocks of `[batch, samples]`; 0 for silence.

    Equivalent to `level.active_power` over `level.block_powers`.
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
    """Gain factor `[batch, 1]` that brings each of `[batch, samples]` to `spec.level_db`; 1 for silence.

    Equivalent to `level.level_gain`.
    """
    power = active_power(y, spec)
    limit = 10 ** (level.MAX_GAIN_DB / 20)
    gain = 10 ** (spec.level_db / 20) * tf.math.rsqrt(tf.maximum(power, 1e-20))
    return tf.where(power > 0, tf.clip_by_value(gain, 1 / limit, limit), 1.0)


def active_frames(log_mels: tf.Tensor, spec: AudioSpec, *, range_db: float = 40.0) -> tf.Tensor:
    """Mask of the active frames of `[frames, mels]`, bool `[frames]`; equivalent to `audio.active_frames`."""
    power = tf.reduce_sum(tf.exp(2 * log_mels), axis=1)
    n = tf.shape(power)[0]
    loud = tf.sort(power)[n - 1 - n // 20]
    above_floor = tf.reduce_max(log_mels, axis=1) > spec.log_floor + 0.01
    return above_floor & (power >= loud * 10 ** (-range_db / 10))
