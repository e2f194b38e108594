"""Encoded audio in a graph: the bytes of a WAV, FLAC, Ogg Vorbis or MP3 file to samples, and samples to a WAV.

The operations that decode all but WAV are tensorflow-io's; a process that loads such a graph registers them first.
Rates and sample formats are read from the headers here, since those operations do not tell.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_io as tfio

from models.features.audio import AudioSpec

MP3_RATES_HZ = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))  # by version bits

ROLL_OFF = 0.08  # of the band, resampled


def decode(audio: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """The samples `[samples]` of a file, channels averaged, at the spec's rate.

    Args:
      audio: scalar string, a whole file: WAV (8, 16, 24 bits or float), FLAC, Ogg Vorbis, else taken for MP3.
      spec: the front end.

    Raises:
      tf.errors.OpError: at run time, for bytes that are none of these.
    """
    magic = tf.strings.substr(audio, 0, 4)
    cases = [(tf.equal(magic, name), lambda read=read: read(audio)) for name, read in READERS.items()]
    samples, rate_hz = tf.case(cases, default=lambda: _mp3(audio))
    mono, wanted = tf.reduce_mean(samples, axis=1), spec.sample_rate_hz
    return tf.cond(tf.equal(rate_hz, wanted), lambda: mono, lambda: resample(mono, rate_hz, wanted))


def resample(y: tf.Tensor, rate_hz: tf.Tensor, wanted_hz: int) -> tf.Tensor:
    """Samples `[samples]` at another rate, `[samples * wanted_hz / rate_hz]`, by cutting the spectrum.

    In one transform of the whole, so in place: tensorflow-io's filter delays what it resamples. The
    highest `ROLL_OFF` of the band is faded out, as a filter of finite length would, or every edge would ring.
    The length is rounded as soxr rounds it, but never to nothing.

    Args:
      y: the samples.
      rate_hz: their rate, int32 scalar.
      wanted_hz: the other.
    """
    count, rate_hz = tf.cast(tf.shape(y)[0], tf.int64), tf.cast(rate_hz, tf.int64)
    seconds = count // rate_hz + 2  # whole ones, so that both lengths are whole numbers; silence at the end
    spectrum = tf.signal.rfft(tf.pad(y, [[0, seconds * rate_hz - count]]))
    length = tf.cast(seconds * wanted_hz, tf.int32)
    bins = tf.cast(seconds * tf.minimum(rate_hz, wanted_hz) // 2, tf.float32)
    place = (1 - tf.range(tf.cast(tf.shape(spectrum)[0], tf.float32)) / bins) / ROLL_OFF
    fade = tf.square(tf.sin(np.pi / 2 * tf.clip_by_value(place, 0.0, 1.0)))
    made = tf.signal.irfft(spectrum * tf.cast(fade, tf.complex64), [length])
    factor = tf.cast(wanted_hz, tf.float32) / tf.cast(rate_hz, tf.float32)
    return made[: tf.maximum(tf.ones_like(count), (2 * count * wanted_hz + rate_hz) // (2 * rate_hz))] * factor


def encode(samples: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Samples `[samples]` in [-1, 1] as the bytes of a 16-bit WAV file, scalar string."""
    return tf.audio.encode_wav(samples[:, None], spec.sample_rate_hz)


def _wav(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples `[samples, channels]` and rate, by TensorFlow alone.

    tensorflow-io's operation refuses chunks other than ``fmt`` and ``data``, and takes 32-bit integers for floats.
    """
    head = tf.strings.substr(audio, _chunk(audio, "fmt ") + 8, 16)
    kind, channels, rate_hz, bits = (_number(head, *place) for place in ((0, 2), (2, 2), (4, 4), (14, 2)))
    start = _chunk(audio, "data") + 8
    data = tf.strings.substr(audio, start, _number(audio, start - 4, 4))

    def read(kind):
        return lambda: _unit(tf.io.decode_raw(data, kind))

    floats = tf.logical_or(tf.equal(kind, 3), tf.equal(bits, 64))
    depths = {8: read(tf.uint8), 16: read(tf.int16), 24: lambda: _unit(_of_three_bytes(data))}
    cases = [
        (tf.logical_and(floats, tf.equal(bits, 32)), read(tf.float32)),
        (tf.logical_and(floats, tf.equal(bits, 64)), read(tf.float64)),
        *((tf.equal(bits, depth), fn) for depth, fn in depths.items()),
    ]
    return tf.reshape(tf.case(cases, default=read(tf.int32)), [-1, channels]), rate_hz


def _of_three_bytes(data: tf.Tensor) -> tf.Tensor:
    """24-bit numbers in the upper bytes of int32."""
    low, middle, high = tf.unstack(tf.cast(tf.reshape(tf.io.decode_raw(data, tf.uint8), [-1, 3]), tf.int32), axis=1)
    return (low + 256 * middle) * 256 + tf.bitwise.left_shift(high, 24)


def _chunk(audio: tf.Tensor, name: str) -> tf.Tensor:
    """Where a chunk of a RIFF file begins."""

    def elsewhere(at):
        return tf.not_equal(tf.strings.substr(audio, at, 4), name)

    def further(at):
        size = _number(audio, at + 4, 4)
        return (at + 8 + size + size % 2,)

    return tf.while_loop(elsewhere, further, [12])[0]


def _flac(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples and rate; 20 bits of rate and 5 of depth stand in the first block (RFC 9639, Sec. 8.2)."""
    head = [tf.cast(byte, tf.int32) for byte in tf.unstack(_bytes(audio, 18, 4))]
    rate_hz = head[0] * 4096 + head[1] * 16 + head[2] // 16
    bits = head[2] % 2 * 16 + head[3] // 16 + 1
    cases = [
        (bits > 16, lambda: _unit(tfio.audio.decode_flac(audio, dtype=tf.int32))),
        (bits <= 8, lambda: _unit(tfio.audio.decode_flac(audio, dtype=tf.uint8))),
    ]
    return tf.case(cases, default=lambda: _unit(tfio.audio.decode_flac(audio, dtype=tf.int16))), rate_hz


def _vorbis(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples and rate; after a page header of 28 bytes comes the identification header (Vorbis I, Sec. 4.2.2)."""
    return tfio.audio.decode_vorbis(audio), _number(audio, 40, 4)


def _mp3(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples, and the rate that the first frame after an ID3 tag states."""
    tagged = tf.equal(tf.strings.substr(audio, 0, 3), "ID3")
    size = tf.reduce_sum(tf.cast(_bytes(audio, 6, 4), tf.int32) * [1 << 21, 1 << 14, 1 << 7, 1])
    head = tf.cast(_bytes(audio, tf.where(tagged, size + 10, 0), 4), tf.int32)
    version, index = head[1] // 8 % 4, head[2] // 4 % 4
    rate_hz = tf.gather(tf.reshape(tf.constant(MP3_RATES_HZ), [-1]), 3 * version + tf.minimum(index, 2))
    return tfio.audio.decode_mp3(audio), rate_hz


READERS = {"RIFF": _wav, "fLaC": _flac, "OggS": _vorbis}


def _bytes(audio: tf.Tensor, at, count: int) -> tf.Tensor:
    """uint8 `[count]` from a place on."""
    return tf.ensure_shape(tf.io.decode_raw(tf.strings.substr(audio, at, count), tf.uint8), [count])


def _number(audio: tf.Tensor, at, count: int) -> tf.Tensor:
    """An unsigned little-endian number of so many bytes."""
    return tf.reduce_sum(tf.cast(_bytes(audio, at, count), tf.int32) * [256**n for n in range(count)])


def _unit(samples: tf.Tensor) -> tf.Tensor:
    """Integers to [-1, 1); floats as they are."""
    if samples.dtype.is_floating:
        return tf.cast(samples, tf.float32)
    if samples.dtype == tf.uint8:
        return tf.cast(samples, tf.float32) / 128 - 1
    return tf.cast(samples, tf.float32) / (samples.dtype.max + 1.0)
