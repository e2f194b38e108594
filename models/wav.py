"""The bytes of a WAV file to samples, in a graph, by TensorFlow alone.

TensorFlow's own operation reads 16 bits only; tensorflow-io's refuses chunks other than ``fmt`` and ``data``, and takes
32-bit integers for floats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.features.containers import MAX_CHUNKS, MIN_SHARE_PRESENT, SLACK_BYTES
from models.features.recording import MAX_CHANNELS, RATES_HZ

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # format tags


def decode(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples `[samples, channels]` and rate in Hz, int32.

    Args:
      audio: scalar string, a whole file: integers of 8 to 32 bits, floats, A-law or mu-law, also extensible.

    Raises:
      tf.errors.InvalidArgumentError: at run time: cut short, a header that makes no sense, another coding.
    """
    tag, channels, rate_hz, depth, frame_bytes = _format(audio)
    data = _data(audio, frame_bytes)

    def read(kind: tf.DType) -> Callable[[], tf.Tensor]:
        return lambda: unit(tf.io.decode_raw(data, kind))

    def law(table: np.ndarray) -> Callable[[], tf.Tensor]:
        return lambda: tf.gather(tf.constant(table), tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32))

    readers = {
        (PCM, 8): read(tf.uint8),
        (PCM, 16): read(tf.int16),
        (PCM, 24): lambda: unit(_of_three_bytes(data)),
        (PCM, 32): read(tf.int32),
        (FLOAT, 32): read(tf.float32),
        (FLOAT, 64): read(tf.float64),
        (A_LAW, 8): law(a_law()),
        (MU_LAW, 8): law(mu_law()),
    }
    cases = [(tf.equal(tag * 256 + depth, 256 * key[0] + key[1]), reader) for key, reader in readers.items()]
    refused = [
        "a WAV file of a coding that is not read here; wanted PCM, float, A-law or mu-law, got tag and bits",
        tag,
        depth,
    ]
    samples = tf.case(cases, default=lambda: checked(tf.zeros([0]), False, *refused))
    return tf.reshape(samples, [-1, channels]), rate_hz


def _format(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Format tag, channels, rate in Hz, bits and bytes of a frame."""
    at = _chunk(audio, "fmt ")
    places = ((0, 2), (2, 2), (4, 4), (12, 2))
    tag, channels, rate_hz, frame_bytes = (number(audio, at + place, count) for place, count in places)
    extended = tf.logical_and(tf.equal(tag, EXTENSIBLE), number(audio, at - 4, 4) >= 40)
    tag = tf.cond(extended, lambda: number(audio, at + 24, 2), lambda: tag)
    possible = (channels >= 1) & (channels <= MAX_CHANNELS) & (rate_hz >= RATES_HZ[0]) & (rate_hz <= RATES_HZ[1])
    possible = possible & (frame_bytes >= 1)
    refused = ["a WAV header that makes no sense: channels, rate, bytes of a frame", channels, rate_hz, frame_bytes]
    numbers = tf.cast(checked(tf.stack([tag, channels, rate_hz, frame_bytes]), possible, *refused), tf.int32)
    tag, channels, rate_hz, frame_bytes = tf.unstack(numbers)
    return tag, channels, rate_hz, 8 * frame_bytes // channels, frame_bytes


def _data(audio: tf.Tensor, frame_bytes: tf.Tensor) -> tf.Tensor:
    """The bytes of the samples, whole frames; to the end of the file where the header was never finished."""
    at = _chunk(audio, "data")
    size, available = number(audio, at - 4, 4), _length(audio) - at
    unfinished = (size >= 0xFFFFF000) | (tf.abs(size - 0x7FFFFFFF) <= 0x1000)
    unfinished = unfinished | tf.equal(size, 0) & tf.logical_not(_ends_in_chunks(audio, at))
    size = tf.where(unfinished, available, size)
    least = MIN_SHARE_PRESENT * tf.cast(size, tf.float64) - SLACK_BYTES
    size = checked(
        size, tf.cast(available, tf.float64) >= least, "a WAV file cut short: bytes there, announced", available, size
    )
    size = checked(size, size > 0, "an empty WAV file")
    size = tf.minimum(size, available) // tf.cast(frame_bytes, tf.int64) * tf.cast(frame_bytes, tf.int64)
    return tf.strings.substr(audio, tf.cast(at, tf.int32), tf.cast(size, tf.int32))


def _chunk(audio: tf.Tensor, name: str) -> tf.Tensor:
    """Where the contents of a chunk of a RIFF file begin, int64."""
    total = _length(audio)

    def elsewhere(at):
        inside = at + 8 <= total
        place = tf.cast(tf.minimum(at, tf.maximum(total, 4) - 4), tf.int32)
        return inside & tf.not_equal(tf.strings.substr(audio, place, 4), name)

    def further(at):
        size = number(audio, at + 4, 4)
        return (at + 8 + size + size % 2,)

    (at,) = tf.while_loop(elsewhere, further, [tf.constant(12, tf.int64)], maximum_iterations=MAX_CHUNKS)
    found = at + 8 <= total
    found = found & tf.logical_not(elsewhere(at))
    return checked(at, found, f"a WAV file without a chunk {name!r}") + 8


def _ends_in_chunks(audio: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Whether from a place on nothing but chunks follows, up to the end of the file; the twin of `containers`."""
    total = _length(audio)

    def further(at, _):
        name, size = raw(audio, at, 4), number(audio, at + 4, 4)
        printable = tf.reduce_all((name >= ord(" ")) & (name <= ord("~")))
        return at + 8 + size + size % 2, printable & (at + 8 + size <= total + 1)

    state = [at, tf.constant(True)]
    end, whole = tf.while_loop(
        lambda at, whole: whole & (at + 8 <= total), further, state, maximum_iterations=MAX_CHUNKS
    )
    return whole & (total - end <= 1)


def _length(audio: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(audio), tf.int64)


def _of_three_bytes(data: tf.Tensor) -> tf.Tensor:
    """24-bit numbers in the upper bytes of int32."""
    low, middle, high = tf.unstack(tf.cast(tf.reshape(tf.io.decode_raw(data, tf.uint8), [-1, 3]), tf.int32), axis=1)
    return (low + 256 * middle) * 256 + tf.bitwise.left_shift(high, 24)


def mu_law() -> np.ndarray:
    """What the 256 bytes of mu-law mean, float32 (ITU-T G.711).

    >>> float(mu_law()[0]) * 32768, float(mu_law()[0x80]) * 32768, float(mu_law()[0xFF])
    (-32124.0, 32124.0, 0.0)
    """
    code = ~np.arange(256) & 0xFF
    size = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return np.float32(np.where(code & 0x80, -size, size) / 32768)


def a_law() -> np.ndarray:
    """What the 256 bytes of A-law mean, float32 (ITU-T G.711).

    >>> float(a_law()[0xD5]) * 32768, float(a_law()[0x2A]) * 32768
    (8.0, -32256.0)
    """
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) << 4
    size = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.float32(np.where(code & 0x80, size, -size) / 32768)


def raw(audio: tf.Tensor, at, count: int) -> tf.Tensor:
    """uint8 `[count]` from a place on."""
    at = tf.minimum(tf.cast(at, tf.int64), _length(audio))  # beyond it the operation fails with the file as its message
    part = tf.strings.substr(audio, tf.cast(at, tf.int32), count)
    part = checked(part, tf.equal(tf.strings.length(part), count), "audio that ends within its header")
    return tf.ensure_shape(tf.io.decode_raw(part, tf.uint8), [count])


def number(audio: tf.Tensor, at, count: int) -> tf.Tensor:
    """An unsigned little-endian number of so many bytes, int64."""
    return tf.reduce_sum(tf.cast(raw(audio, at, count), tf.int64) * [256**n for n in range(count)])


def checked(value: tf.Tensor, ok, *message) -> tf.Tensor:
    """The value, or an InvalidArgumentError with a message at run time."""
    with tf.control_dependencies([tf.debugging.Assert(ok, list(message))]):
        return tf.identity(value)


def unit(samples: tf.Tensor) -> tf.Tensor:
    """Integers to [-1, 1); floats as they are."""
    if samples.dtype.is_floating:
        return tf.cast(samples, tf.float32)
    if samples.dtype == tf.uint8:
        return tf.cast(samples, tf.float32) / 128 - 1
    return tf.cast(samples, tf.float32) / (samples.dtype.max + 1.0)
