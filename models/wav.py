"""WAV decoder as a TensorFlow graph.

TensorFlow's own operation reads 16-bit samples only. That of tensorflow-io rejects chunks other than ``fmt`` and
``data``, and reads 32-bit integers as floats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.features.containers import MAX_CHUNKS, MIN_SHARE_PRESENT, SLACK_BYTES
from models.features.recording import MAX_CHANNELS, RATES_HZ

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # format tags


def decode(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode a WAV file to samples `[samples, channels]` and sample rate in Hz, int32.

    Args:
      audio: scalar string, the content of a file: integers of 8 to 32 bits, floats, A-law or mu-law, also extensible.

    Raises:
      tf.errors.InvalidArgumentError: at run time, for truncated files, invalid headers and other encodings.
    """
    tag, channels, rate_hz, depth, frame_bytes = _format(audio)
    data = _data(audio, frame_bytes)

    def linear(dtype: tf.DType) -> Callable[[], tf.Tensor]:
        return lambda: to_unit_range(tf.io.decode_raw(data, dtype))

    def lookup(table: np.ndarray) -> Callable[[], tf.Tensor]:
        return lambda: tf.gather(tf.constant(table), tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32))

    decoders = {
        (PCM, 8): linear(tf.uint8),
        (PCM, 16): linear(tf.int16),
        (PCM, 24): lambda: to_unit_range(_decode_int24(data)),
        (PCM, 32): linear(tf.int32),
        (FLOAT, 32): linear(tf.float32),
        (FLOAT, 64): linear(tf.float64),
        (A_LAW, 8): lookup(a_law()),
        (MU_LAW, 8): lookup(mu_law()),
    }
    cases = [(tf.equal(tag * 256 + depth, 256 * key[0] + key[1]), decoder) for key, decoder in decoders.items()]
    error = [
        "a WAV file of an unsupported encoding; wanted PCM, float, A-law or mu-law, got format tag and bits",
        tag,
        depth,
    ]
    samples = tf.case(cases, default=lambda: check(tf.zeros([0]), False, *error))
    return tf.reshape(samples, [-1, channels]), rate_hz


def _format(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Format tag, number of channels, sample rate in Hz, bits per sample and bytes per frame."""
    at = _find_chunk(audio, "fmt ")
    fields = ((0, 2), (2, 2), (4, 4), (12, 2))
    tag, channels, rate_hz, frame_bytes = (read_uint(audio, at + offset, count) for offset, count in fields)
    extended = tf.logical_and(tf.equal(tag, EXTENSIBLE), read_uint(audio, at - 4, 4) >= 40)
    tag = tf.cond(extended, lambda: read_uint(audio, at + 24, 2), lambda: tag)
    valid = (channels >= 1) & (channels <= MAX_CHANNELS) & (rate_hz >= RATES_HZ[0]) & (rate_hz <= RATES_HZ[1])
    valid = valid & (frame_bytes >= 1)
    error = ["an invalid WAV header: number of channels, sample rate, bytes per frame", channels, rate_hz, frame_bytes]
    numbers = tf.cast(check(tf.stack([tag, channels, rate_hz, frame_bytes]), valid, *error), tf.int32)
    tag, channels, rate_hz, frame_bytes = tf.unstack(numbers)
    return tag, channels, rate_hz, 8 * frame_bytes // channels, frame_bytes


def _data(audio: tf.Tensor, frame_bytes: tf.Tensor) -> tf.Tensor:
    """Bytes of all complete frames; to the end of the file if the header was never finished."""
    at = _find_chunk(audio, "data")
    size, available = read_uint(audio, at - 4, 4), _length(audio) - at
    unfinished = (size >= 0xFFFFF000) | (tf.abs(size - 0x7FFFFFFF) <= 0x1000)
    unfinished = unfinished | tf.equal(size, 0) & tf.logical_not(_ends_in_chunks(audio, at))
    size = tf.where(unfinished, available, size)
    required = MIN_SHARE_PRESENT * tf.cast(size, tf.float64) - SLACK_BYTES
    complete = tf.cast(available, tf.float64) >= required
    size = check(size, complete, "a truncated WAV file: bytes available, bytes stated", available, size)
    size = check(size, size > 0, "an empty WAV file")
    size = tf.minimum(size, available) // tf.cast(frame_bytes, tf.int64) * tf.cast(frame_bytes, tf.int64)
    return tf.strings.substr(audio, tf.cast(at, tf.int32), tf.cast(size, tf.int32))


def _find_chunk(audio: tf.Tensor, name: str) -> tf.Tensor:
    """Offset of the content of a chunk of a RIFF file, int64."""
    total = _length(audio)

    def is_other_chunk(at):
        inside = at + 8 <= total
        offset = tf.cast(tf.minimum(at, tf.maximum(total, 4) - 4), tf.int32)
        return inside & tf.not_equal(tf.strings.substr(audio, offset, 4), name)

    def next_chunk(at):
        size = read_uint(audio, at + 4, 4)
        return (at + 8 + size + size % 2,)

    (at,) = tf.while_loop(is_other_chunk, next_chunk, [tf.constant(12, tf.int64)], maximum_iterations=MAX_CHUNKS)
    inside = at + 8 <= total
    exists = inside & tf.logical_not(is_other_chunk(at))
    return check(at, exists, f"a WAV file without a chunk {name!r}") + 8


def _ends_in_chunks(audio: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Whether the file consists of chunks from offset `at` to its end, as the function in `containers`."""
    total = _length(audio)

    def next_chunk(at, _):
        name, size = read_bytes(audio, at, 4), read_uint(audio, at + 4, 4)
        printable = tf.reduce_all((name >= ord(" ")) & (name <= ord("~")))
        return at + 8 + size + size % 2, printable & (at + 8 + size <= total + 1)

    state = [at, tf.constant(True)]
    end, valid = tf.while_loop(
        lambda at, valid: valid & (at + 8 <= total), next_chunk, state, maximum_iterations=MAX_CHUNKS
    )
    return valid & (total - end <= 1)


def _length(audio: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(audio), tf.int64)


def _decode_int24(data: tf.Tensor) -> tf.Tensor:
    """Decode 24-bit integers to the upper bytes of int32."""
    low, middle, high = tf.unstack(tf.cast(tf.reshape(tf.io.decode_raw(data, tf.uint8), [-1, 3]), tf.int32), axis=1)
    return (low + 256 * middle) * 256 + tf.bitwise.left_shift(high, 24)


def mu_law() -> np.ndarray:
    """Decoding table of mu-law: the values of the 256 bytes, float32 (ITU-T G.711).

    >>> float(mu_law()[0]) * 32768, float(mu_law()[0x80]) * 32768, float(mu_law()[0xFF])
    (-32124.0, 32124.0, 0.0)
    """
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return np.float32(np.where(code & 0x80, -magnitude, magnitude) / 32768)


def a_law() -> np.ndarray:
    """Decoding table of A-law: the values of the 256 bytes, float32 (ITU-T G.711).

    >>> float(a_law()[0xD5]) * 32768, float(a_law()[0x2A]) * 32768
    (8.0, -32256.0)
    """
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.float32(np.where(code & 0x80, magnitude, -magnitude) / 32768)


def read_bytes(audio: tf.Tensor, at, count: int) -> tf.Tensor:
    """Read `count` bytes at offset `at`, uint8 `[count]`."""
    at = tf.minimum(tf.cast(at, tf.int64), _length(audio))  # beyond the end, substr fails with the file as its message
    part = tf.strings.substr(audio, tf.cast(at, tf.int32), count)
    part = check(part, tf.equal(tf.strings.length(part), count), "audio that ends within its header")
    return tf.ensure_shape(tf.io.decode_raw(part, tf.uint8), [count])


def read_uint(audio: tf.Tensor, at, count: int) -> tf.Tensor:
    """Read an unsigned little-endian integer of `count` bytes at offset `at`, int64."""
    return tf.reduce_sum(tf.cast(read_bytes(audio, at, count), tf.int64) * [256**n for n in range(count)])


def check(value: tf.Tensor, condition, *message) -> tf.Tensor:
    """Return the value; raise InvalidArgumentError with the message at run time if the condition is false."""
    with tf.control_dependencies([tf.debugging.Assert(condition, list(message))]):
        return tf.identity(value)


def to_unit_range(samples: tf.Tensor) -> tf.Tensor:
    """Scale integer samples to [-1, 1) as float32; floats keep their scale."""
    if samples.dtype.is_floating:
        return tf.cast(samples, tf.float32)
    if samples.dtype == tf.uint8:
        return tf.cast(samples, tf.float32) / 128 - 1
    return tf.cast(samples, tf.float32) / (samples.dtype.max + 1.0)
