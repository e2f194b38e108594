"""Signatures of an exported speech model for waveforms and encoded audio, around the plugin's own functions.

Everything is in the graph: front end, translation in chunks of bounded memory, inversion, level. The output is the same
as that of `translate` for the same recording.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from models import audio_codecs, spectral
from models.features import inversion
from models.features.audio import AudioSpec
from models.vocoders.universal import UniversalVocoder
from plugins import base

FIRST_FRAME = tf.TensorSpec([], tf.int32, "first_frame")
SPEECH_SIGNATURES = ("reconstruct", *base.TRANSLATION_SIGNATURES)  # log-mels to log-mels


@dataclasses.dataclass(frozen=True)
class GraphInverter:
    """An inverter in the graph.

    Attributes:
      context: frames on either side of a frame on which its waveform depends.
      fn: function from log-mels `[batch, before + frames + after, mels]`, the numbers of frames before and without
        their margins, and the index of the first frame in the recording, to waveforms `[batch, (frames - 1) * hop]`.
    """

    context: int
    fn: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def build_waveform_signatures(
    functions: Mapping[str, Callable], spec: AudioSpec, context: int, vocoder: UniversalVocoder | None = None
) -> dict[str, Callable]:
    """Return the front end, the inversion, and ``NAME_waveform`` for each function from log-mels to log-mels.

    Args:
      functions: the plugin's signatures by name.
      spec: the front end.
      context: frames on either side on which an output frame of the functions depends.
      vocoder: the universal vocoder of the front end, by which `invert` and ``NAME_waveform`` invert; Griffin-Lim if
        there is none.
    """
    griffin_lim = invert_griffin_lim(spec)
    inverter = _graph_inverter(spec, vocoder, griffin_lim)
    names = [name for name in SPEECH_SIGNATURES if name in functions]
    waveforms = {f"{name}_waveform": translate_waveform(functions[name], inverter, spec, context) for name in names}
    inversions = {
        "invert": invert_by_vocoder(vocoder) if vocoder else griffin_lim,
        "invert_griffin_lim": griffin_lim,
        "invert_from_phase": invert_from_phase(spec),
    }
    return {"analyse": analyse(spec), **inversions, **waveforms}


def _graph_inverter(spec: AudioSpec, vocoder: UniversalVocoder | None, griffin_lim: Callable) -> GraphInverter:
    """The vocoder, or Griffin-Lim if there is none."""
    if vocoder is None:

        def invert(features, before, frames, first_frame):
            del before  # Griffin-Lim has no context
            return griffin_lim(features, tf.repeat(frames, tf.shape(features)[0]), first_frame)["waveform"]

        return GraphInverter(0, invert)

    def vocode(features, before, frames, first_frame):
        del first_frame  # phases are predicted
        hop = spec.hop_length
        return vocoder.vocode(features)[:, before * hop :][:, : (frames - 1) * hop]

    return GraphInverter(vocoder.context, vocode)


def build_encoded_audio_signatures(functions: Mapping[str, Callable], spec: AudioSpec) -> dict[str, Callable]:
    """Return ``NAME_bytes`` for every ``NAME_waveform``: from an encoded recording to a WAV file."""
    names = {name: name.removesuffix("_waveform") for name in functions if name.endswith("_waveform")}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(audio):
        return audio_codecs.decode(audio, spec)

    return {f"{short}_bytes": _encoded_audio_signature(functions[name], decode, spec) for name, short in names.items()}


def analyse(spec: AudioSpec) -> Callable:
    """Return the front end: waveforms to log-mels at the level of the training data, and the gain.

    DC offset and rumble are filtered out first.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "waveform")], autograph=False)
    def fn(waveform):
        filtered = spectral.highpass(waveform, spec)
        gain = spectral.level_gain(filtered, spec)
        return {"features": spectral.log_mel(filtered * gain, spec), "gain": gain}

    return fn


def invert_griffin_lim(spec: AudioSpec) -> Callable:
    """Return the inversion by fast Griffin-Lim: log-mels to waveforms `[batch, (frames - 1) * hop_length]`.

    Its inputs `frames` `[batch]` are the numbers of frames without padding, and `first_frame` is the index of the first
    frame in the recording.
    """

    @tf.function(input_signature=[*_mel_inputs(spec), FIRST_FRAME], autograph=False)
    def fn(features, frames, first_frame):
        magnitude = spectral.mel_to_magnitude(features, spec)
        return {"waveform": spectral.griffin_lim(magnitude, spec, first_frame=first_frame, frames=frames)}

    return fn


def invert_by_vocoder(vocoder: UniversalVocoder) -> Callable:
    """Return the inversion by a vocoder, with the inputs of :func:`invert_griffin_lim`; silence around each clip.

    Clips are inverted one by one, each at its own length, so that the result does not depend on other clips.
    """
    spec, edge = vocoder.spec, inversion.edge(vocoder.context)

    @tf.function(input_signature=[*_mel_inputs(spec), FIRST_FRAME], autograph=False)
    def fn(features, frames, first_frame):
        max_frames = tf.shape(features)[1]

        def invert_clip(clip):
            log_mels, count = clip
            padded = tf.pad(log_mels[:count], [[edge, edge], [0, 0]], constant_values=spec.log_floor)
            y = vocoder.vocode(padded[None])[0, edge * spec.hop_length :][: (count - 1) * spec.hop_length]
            return tf.pad(y, [[0, (max_frames - count) * spec.hop_length]])

        waveform = tf.TensorSpec([None], tf.float32)
        clips = features, frames
        return {"waveform": tf.map_fn(invert_clip, clips, parallel_iterations=1, fn_output_signature=waveform)}

    return fn


def invert_from_phase(spec: AudioSpec) -> Callable:
    """Return the same inversion from initial phases `[batch, frames, n_fft // 2 + 1]` in radians."""
    phases = tf.TensorSpec([None, None, spec.n_fft // 2 + 1], tf.float32, "phase")

    @tf.function(input_signature=[*_mel_inputs(spec), phases], autograph=False)
    def fn(features, frames, phase):
        magnitude = spectral.mel_to_magnitude(features, spec)
        return {"waveform": spectral.griffin_lim(magnitude, spec, phase=phase, frames=frames)}

    return fn


def _mel_inputs(spec: AudioSpec) -> list[tf.TensorSpec]:
    """Return the input specs of a batch of log-mels and of the numbers of frames without padding."""
    features = tf.TensorSpec([None, None, spec.n_mels], tf.float32, "features")
    return [features, tf.TensorSpec([None], tf.int32, "frames")]


def translate_waveform(translate: Callable, inverter: GraphInverter, spec: AudioSpec, context: int) -> Callable:
    """Return a translation of waveforms `[batch, samples]` at the spec's sample rate, of the same length and level.

    It works chunk by chunk as the translation of files: memory beyond the waveforms themselves is constant.

    Args:
      translate: log-mels to log-mels.
      inverter: one function of the graph serves all translations.
      spec: the front end.
      context: frames on either side on which an output frame of `translate` depends; silence beyond the ends.
    """
    other_inputs = translate.input_signature[1:]  # such as the indices of the domains
    inputs = [tf.TensorSpec([None, None], tf.float32, "waveform"), *other_inputs]

    @tf.function(input_signature=inputs, autograph=False)
    def fn(waveform, *others):
        filtered = spectral.highpass(waveform, spec)
        levelled = filtered * spectral.level_gain(filtered, spec)
        output = _translate_in_chunks(levelled, lambda mels: translate(mels, *others), inverter, spec, context)
        output = spectral.highpass(output[:, : tf.shape(waveform)[1]], spec)
        return {"waveform": _match_level(output, filtered, spec)}

    return fn


def _translate_in_chunks(
    y: tf.Tensor, translate: Callable, inverter: GraphInverter, spec: AudioSpec, context: int
) -> tf.Tensor:
    """Translate `[batch, samples]`, as `inversion.chunks` and `inversion.crossfade` do for files."""
    hop, max_frames = spec.hop_length, inversion.CHUNK_FRAMES + inversion.OVERLAP_FRAMES
    frames, rise = spec.frames(tf.shape(y)[1]), inversion.fade_in(inversion.OVERLAP_FRAMES * hop)
    last = tf.maximum(0, frames - inversion.OVERLAP_FRAMES - 1) // inversion.CHUNK_FRAMES
    margin = inversion.margin(context + inverter.context)
    edge = inversion.edge(margin)
    padding = edge * hop + spec.n_fft // 2
    padded = tf.pad(y, [[0, 0], [padding, padding + hop]])

    def body(number, parts, tail):
        first = number * inversion.CHUNK_FRAMES
        count = tf.minimum(frames - first, max_frames) + 1  # one more, to invert to the last sample
        before, after = (tf.minimum(n + edge, margin) for n in (first, frames + 1 - first - count))
        size = before + count + after
        chunk = padded[:, (first - before + edge) * hop :][:, : (size - 1) * hop + spec.n_fft]
        mels = spectral.log_mel(chunk, spec, centred=False)
        index = first - before + tf.range(size)
        mels = tf.where(((index >= 0) & (index < frames))[:, None], mels, spec.log_floor)
        left, right = (tf.minimum(n, inverter.context) for n in (before, after))
        translated = translate(mels)[:, before - left :][:, : left + count + right]
        output = inverter.fn(translated, left, count, first)
        start, rest = output[:, : len(rise)], output[:, len(rise) :]
        output = tf.concat([tf.cond(number > 0, lambda: tail * (1 - rise) + start * rise, lambda: start), rest], axis=1)
        length = tf.where(number < last, tf.shape(output)[1] - len(rise), tf.shape(output)[1])
        tail = tf.cond(number < last, lambda: output[:, length:], lambda: tail)
        return number + 1, parts.write(number, tf.transpose(output[:, :length])), tail

    parts = tf.TensorArray(tf.float32, last + 1, infer_shape=False, element_shape=[None, None])
    state = (0, parts, tf.zeros([tf.shape(y)[0], len(rise)]))
    shapes = (tf.TensorShape([]), None, tf.TensorShape([None, None]))
    _, parts, _ = tf.while_loop(lambda n, *_: n <= last, body, state, shape_invariants=shapes, parallel_iterations=1)
    return tf.transpose(parts.concat())


def _match_level(output: tf.Tensor, source: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Scale `output` to the active level of the source without clipping; silence for a silent source."""
    source_power, output_power = spectral.active_power(source, spec), spectral.active_power(output, spec)
    peak = tf.reduce_max(tf.abs(output), axis=1, keepdims=True)
    gain = tf.minimum(tf.sqrt(source_power / tf.maximum(output_power, 1e-20)), 1 / tf.maximum(peak, 1e-9))
    return tf.where(tf.reduce_any(source != 0, axis=1, keepdims=True), output * gain, 0.0)


def _encoded_audio_signature(translate: Callable, decode: Callable, spec: AudioSpec) -> Callable:
    """Return a function from an encoded audio file, a scalar string, to a WAV file at the spec's sample rate."""
    other_inputs = translate.input_signature[1:]

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, "audio"), *other_inputs], autograph=False)
    def fn(audio, *others):
        output = translate(decode(audio)[None], *others)["waveform"]
        return {"audio": audio_codecs.encode(output[0], spec)}

    return fn
