"""What an export of a speech model offers around the plugin's own functions: waveforms and encoded audio.

All in the graph: front end, translation in chunks of bounded memory, inversion, level. What comes out is what
`translate` writes for the same recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from models import audio_codecs, spectral
from models.features import inversion
from models.features.audio import AudioSpec
from plugins import base

SPEECH_SIGNATURES = ("reconstruct", *base.TRANSLATIONS)  # speech in, speech out


def waveform_signatures(made: Mapping[str, Callable], spec: AudioSpec, context: int) -> dict[str, Callable]:
    """Front end and inversion, and with these around what takes and gives log-mels, ``NAME_waveform``."""
    inverting = invert(spec)
    waveforms = {
        f"{name}_waveform": translate_waveform(made[name], inverting, spec, context)
        for name in SPEECH_SIGNATURES
        if name in made
    }
    return {"analyse": analyse(spec), "invert": inverting, "invert_from_phase": invert_from_phase(spec), **waveforms}


def encoded_audio_signatures(made: Mapping[str, Callable], spec: AudioSpec) -> dict[str, Callable]:
    """``NAME_bytes`` for every ``NAME_waveform``: an encoded recording to a WAV file of the translation."""
    names = {name: name.removesuffix("_waveform") for name in made if name.endswith("_waveform")}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(audio):
        return audio_codecs.decode(audio, spec)

    return {f"{short}_bytes": _encoded_audio_signature(made[name], decode, spec) for name, short in names.items()}


def analyse(spec: AudioSpec) -> Callable:
    """Waveforms to log-mels, each at the level the model was trained at, and the gain that took.

    Offset and rumble do not count, and are taken out.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "waveform")], autograph=False)
    def fn(waveform):
        heard = spectral.highpass(waveform, spec)
        gain = spectral.level_gain(heard, spec)
        return {"features": spectral.log_mel(heard * gain, spec), "gain": gain}

    return fn


def invert(spec: AudioSpec) -> Callable:
    """Log-mels to waveforms `[batch, (frames - 1) * hop_length]` by fast Griffin-Lim.

    `frames` `[batch]` says how many of each are no padding; `first_frame` where in a recording they begin.
    """
    first = tf.TensorSpec([], tf.int32, "first_frame")

    @tf.function(input_signature=[*_mel_inputs(spec), first], autograph=False)
    def fn(features, frames, first_frame):
        magnitude = spectral.mel_to_magnitude(features, spec)
        return {"waveform": spectral.griffin_lim(magnitude, spec, first_frame=first_frame, frames=frames)}

    return fn


def invert_from_phase(spec: AudioSpec) -> Callable:
    """The same, beginning at given phases `[batch, frames, n_fft // 2 + 1]` in radians."""
    phases = tf.TensorSpec([None, None, spec.n_fft // 2 + 1], tf.float32, "phase")

    @tf.function(input_signature=[*_mel_inputs(spec), phases], autograph=False)
    def fn(features, frames, phase):
        magnitude = spectral.mel_to_magnitude(features, spec)
        return {"waveform": spectral.griffin_lim(magnitude, spec, phase=phase, frames=frames)}

    return fn


def _mel_inputs(spec: AudioSpec) -> list[tf.TensorSpec]:
    """A batch of log-mels, and how many frames of each count."""
    features = tf.TensorSpec([None, None, spec.n_mels], tf.float32, "features")
    return [features, tf.TensorSpec([None], tf.int32, "frames")]


def translate_waveform(translate: Callable, inverting: Callable, spec: AudioSpec, context: int) -> Callable:
    """Waveforms `[batch, samples]` at the spec's rate to waveforms of the same length and level.

    Chunk by chunk as in the conversion of files: memory beyond the waveforms themselves does not grow.

    Args:
      translate: log-mels to log-mels.
      inverting: what :func:`invert` makes; one function of the graph serves all translations.
      spec: the front end.
      context: frames that the model sees to either side; silence beyond the ends.
    """
    others = translate.input_signature[1:]  # such as the domains' numbers

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "waveform"), *others], autograph=False)
    def fn(waveform, *others):
        heard = spectral.highpass(waveform, spec)
        levelled = heard * spectral.level_gain(heard, spec)
        made = _translate_in_chunks(levelled, lambda mels: translate(mels, *others), inverting, spec, context)
        made = spectral.highpass(made[:, : tf.shape(waveform)[1]], spec)
        return {"waveform": _match_level(made, heard, spec)}

    return fn


def _translate_in_chunks(
    y: tf.Tensor, translate: Callable, inverting: Callable, spec: AudioSpec, context: int
) -> tf.Tensor:
    """The translation of `[batch, samples]`; the twin of `inversion.chunks` and `inversion.crossfade`."""
    hop, most = spec.hop_length, inversion.CHUNK_FRAMES + inversion.OVERLAP_FRAMES
    frames, rise = spec.frames(tf.shape(y)[1]), inversion.fade_in(inversion.OVERLAP_FRAMES * hop)
    last = tf.maximum(0, frames - inversion.OVERLAP_FRAMES - 1) // inversion.CHUNK_FRAMES
    beyond = context * hop + spec.n_fft // 2
    padded = tf.pad(y, [[0, 0], [beyond, beyond + hop]])

    def body(number, parts, tail):
        first = number * inversion.CHUNK_FRAMES
        count = tf.minimum(frames - first, most) + 1  # and one more, to invert to the last sample
        seen = padded[:, first * hop :][:, : (count + 2 * context - 1) * hop + spec.n_fft]
        mels = spectral.log_mel(seen, spec, centred=False)
        place = first - context + tf.range(count + 2 * context)
        mels = tf.where(((place >= 0) & (place < frames))[:, None], mels, spec.log_floor)
        made = inverting(translate(mels)[:, context:][:, :count], tf.repeat(count, tf.shape(y)[0]), first)["waveform"]
        start, rest = made[:, : len(rise)], made[:, len(rise) :]
        made = tf.concat([tf.cond(number > 0, lambda: tail * (1 - rise) + start * rise, lambda: start), rest], axis=1)
        kept = tf.where(number < last, tf.shape(made)[1] - len(rise), tf.shape(made)[1])
        tail = tf.cond(number < last, lambda: made[:, kept:], lambda: tail)
        return number + 1, parts.write(number, tf.transpose(made[:, :kept])), tail

    parts = tf.TensorArray(tf.float32, last + 1, infer_shape=False, element_shape=[None, None])
    state = (0, parts, tf.zeros([tf.shape(y)[0], len(rise)]))
    shapes = (tf.TensorShape([]), None, tf.TensorShape([None, None]))
    _, parts, _ = tf.while_loop(lambda n, *_: n <= last, body, state, shape_invariants=shapes, parallel_iterations=1)
    return tf.transpose(parts.concat())


def _match_level(made: tf.Tensor, source: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """`made` at the level of what sounds in the source, never clipped; silence for silence."""
    wanted, found = spectral.active_power(source, spec), spectral.active_power(made, spec)
    peak = tf.reduce_max(tf.abs(made), axis=1, keepdims=True)
    factor = tf.minimum(tf.sqrt(wanted / tf.maximum(found, 1e-20)), 1 / tf.maximum(peak, 1e-9))
    return tf.where(tf.reduce_any(source != 0, axis=1, keepdims=True), made * factor, 0.0)


def _encoded_audio_signature(translate: Callable, decode: Callable, spec: AudioSpec) -> Callable:
    """A whole file, scalar string, to a WAV file at the spec's rate."""
    others = translate.input_signature[1:]

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, "audio"), *others], autograph=False)
    def fn(audio, *others):
        made = translate(decode(audio)[None], *others)["waveform"]
        return {"audio": audio_codecs.encode(made[0], spec)}

    return fn
