"""Audio codecs as TensorFlow graphs: WAV, FLAC, Ogg Vorbis and MP3 files to samples, and samples to WAV.

All formats but WAV are decoded by operations of tensorflow-io, which a process must register before it loads such a
graph. Sample rates and formats are read from the headers here, because these operations do not return them.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_io as tfio

from models import wav
from models.features import channels
from models.features.audio import AudioSpec
from models.features.recording import RATES_HZ

STREAM_MARKS = {  # bytes that occur once per stream; of joined files, the operations decode only the first stream
    "FLAC": (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22"),
    "Vorbis": (b"\x01vorbis",),
    "MP3": (b"Xing\0\0\0", b"Info\0\0\0"),
}
MP3_RATES_HZ = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))  # by version bits

ROLL_OFF = 0.08  # share of the band that the resampling filter fades out
BLOCK_S, CONTEXT_S = 8, 1  # resampled at once, and context on either side; integer seconds are integer sample counts


def decode(audio: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Decode a file to samples `[samples]`, channels averaged, at the spec's rate.

    As in :func:`models.features.audio.measure_level`, the loudest channel is used if channels cancel, and floats far
    beyond full scale are scaled down.

    Args:
      audio: scalar string, the content of a WAV (integers, floats, A-law, mu-law), FLAC, Ogg Vorbis or MP3 file.
      spec: the front end.

    Raises:
      tf.errors.OpError: at run time, for other formats, truncated files, and files of unknown length.
    """
    magic = tf.strings.substr(audio, 0, 4)
    cases = [(tf.equal(magic, name), lambda decoder=decoder: decoder(audio)) for name, decoder in DECODERS.items()]
    samples, rate_hz = tf.case(cases, default=lambda: _mp3(audio))
    samples = wav.check(samples, tf.size(samples) > 0, "audio that holds no samples")
    finite = tf.reduce_all(tf.math.is_finite(samples))
    samples = wav.check(samples, finite, "audio that holds samples that are infinite or not a number")
    valid = (rate_hz >= RATES_HZ[0]) & (rate_hz <= RATES_HZ[1])
    rate_hz = wav.check(rate_hz, valid, f"audio of an invalid sample rate; wanted {RATES_HZ} Hz, got", rate_hz)
    mono, target_hz = mix_to_mono(samples, rate_hz), spec.sample_rate_hz
    return tf.cond(tf.equal(rate_hz, target_hz), lambda: mono, lambda: resample(mono, rate_hz, target_hz))


def mix_to_mono(samples: tf.Tensor, rate_hz: tf.Tensor) -> tf.Tensor:
    """Mix `[samples, channels]` to mono `[samples]` in units of full scale; equivalent to `channels.ChannelMeter`."""
    mean = tf.reduce_mean(samples, axis=1)
    size = tf.minimum(tf.shape(samples)[0], tf.cast(channels.BLOCK_S * tf.cast(rate_hz, tf.float32), tf.int32))
    with_mean = tf.concat([samples, mean[:, None]], axis=1)
    parts = tf.reshape(with_mean[: tf.shape(with_mean)[0] // size * size], [-1, size, tf.shape(with_mean)[1]])
    powers = tf.math.reduce_variance(parts, axis=1)  # `[blocks, channels and their mean]`
    count = tf.cast(tf.shape(samples)[1], tf.float32)
    uncorrelated = tf.reduce_sum(powers[:, :-1], axis=1) / count**2
    cancelled = tf.where(powers[:, -1] < channels.CANCELLATION_SHARE * uncorrelated, uncorrelated, 0.0)
    max_cancelled = channels.MAX_CANCELLED_SHARE * tf.reduce_sum(uncorrelated)
    cancels = (count > 1) & (tf.reduce_sum(cancelled) > max_cancelled)
    loudest = tf.argmax(tf.reduce_sum(powers[:, :-1], axis=0), output_type=tf.int32)
    mono = tf.cond(cancels, lambda: tf.gather(samples, loudest, axis=1), lambda: mean)
    peak = tf.reduce_max(tf.abs(samples))
    depths = tf.constant(channels.DEPTHS, tf.float32)
    depth = tf.reduce_min(tf.where(peak <= 2**depths, depths, tf.math.ceil(tf.math.log(peak) / np.log(2.0)) + 1))
    return mono * tf.where(peak > channels.MAX_FLOAT_PEAK, 2 ** (1 - depth), 1.0)


def resample(y: tf.Tensor, rate_hz: tf.Tensor, target_hz: int) -> tf.Tensor:
    """Resample `[samples]` to `[samples * target_hz / rate_hz]`, by truncating or zero-padding the spectrum.

    Works on blocks of integer seconds with context on either side: a single transform would limit the length, and the
    filter of tensorflow-io adds a delay. The highest `ROLL_OFF` of the band is faded out to avoid ringing. The length
    is rounded as in soxr, but is at least 1.

    Args:
      y: the samples.
      rate_hz: sample rate of `y` in Hz, int32 scalar.
      target_hz: sample rate of the result in Hz.
    """
    count, rate_hz = tf.cast(tf.shape(y)[0], tf.int64), tf.cast(rate_hz, tf.int64)
    seconds = BLOCK_S + 2 * CONTEXT_S
    blocks = -(-count // (BLOCK_S * rate_hz))
    y = tf.pad(y, [[CONTEXT_S * rate_hz, (blocks * BLOCK_S + CONTEXT_S) * rate_hz - count]])
    bins = tf.cast(seconds * tf.minimum(rate_hz, target_hz) // 2, tf.float32)
    distance = (1 - tf.range(tf.cast(seconds * rate_hz // 2 + 1, tf.float32)) / bins) / ROLL_OFF
    fade = tf.cast(tf.square(tf.sin(np.pi / 2 * tf.clip_by_value(distance, 0.0, 1.0))), tf.complex64)

    def resample_block(index):
        spectrum = tf.signal.rfft(tf.slice(y, [index * BLOCK_S * rate_hz], [seconds * rate_hz]))
        block = tf.signal.irfft(spectrum * fade, [seconds * target_hz])
        return block[CONTEXT_S * target_hz : (BLOCK_S + CONTEXT_S) * target_hz]

    shape = tf.TensorSpec([BLOCK_S * target_hz], tf.float32)
    resampled = tf.map_fn(resample_block, tf.range(blocks), parallel_iterations=1, fn_output_signature=shape)
    factor = tf.cast(target_hz, tf.float32) / tf.cast(rate_hz, tf.float32)
    length = tf.maximum(tf.ones_like(count), (2 * count * target_hz + rate_hz) // (2 * rate_hz))
    return tf.reshape(resampled, [-1])[:length] * factor


def encode(samples: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Encode samples `[samples]` in [-1, 1] as a 16-bit WAV file, scalar string."""
    return tf.audio.encode_wav(samples[:, None], spec.sample_rate_hz)


def _flac(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples and sample rate; the first block holds 20 bits of rate and 5 of depth (RFC 9639, Sec. 8.2)."""
    audio = _check_single(audio, "FLAC")
    header = [tf.cast(byte, tf.int32) for byte in tf.unstack(wav.read_bytes(audio, 18, 8))]
    has_length = header[3] % 16 + tf.reduce_max(header[4:]) > 0  # the bytes of the number of samples
    header[2] = wav.check(
        header[2], has_length, "a FLAC file of unknown length; wanted one with its length in the header"
    )
    rate_hz = header[0] * 4096 + header[1] * 16 + header[2] // 16
    bits = header[2] % 2 * 16 + header[3] // 16 + 1
    cases = [
        (bits > 16, lambda: wav.to_unit_range(tfio.audio.decode_flac(audio, dtype=tf.int32))),
        (bits <= 8, lambda: wav.to_unit_range(tfio.audio.decode_flac(audio, dtype=tf.uint8))),
    ]
    return tf.case(cases, default=lambda: wav.to_unit_range(tfio.audio.decode_flac(audio, dtype=tf.int16))), rate_hz


def _vorbis(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples and sample rate; the identification header follows a page header of 28 bytes (Vorbis I, Sec. 4.2.2)."""
    is_vorbis = tf.reduce_all(wav.read_bytes(audio, 28, 7) == tf.constant(list(b"\x01vorbis"), tf.uint8))
    rate_hz = wav.check(wav.read_uint(audio, 40, 4), is_vorbis, "an Ogg file of another codec; wanted Vorbis alone")
    return tfio.audio.decode_vorbis(_check_single(audio, "Vorbis")), tf.cast(rate_hz, tf.int32)


def _mp3(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples, and the sample rate of the first frame after an ID3 tag."""
    tagged = tf.equal(tf.strings.substr(audio, 0, 3), "ID3")
    size = tf.reduce_sum(tf.cast(wav.read_bytes(audio, 6, 4), tf.int32) * [1 << 21, 1 << 14, 1 << 7, 1])
    header = tf.cast(wav.read_bytes(audio, tf.where(tagged, size + 10, 0), 4), tf.int32)
    valid = (header[0] == 0xFF) & (header[1] >= 0xE0) & (header[1] // 8 % 4 != 1) & (header[2] // 4 % 4 != 3)
    header = wav.check(
        header, valid, "audio that is neither WAV, FLAC nor Ogg Vorbis, and does not start with an MPEG frame"
    )
    version, index = header[1] // 8 % 4, header[2] // 4 % 4
    rate_hz = tf.gather(tf.reshape(tf.constant(MP3_RATES_HZ), [-1]), 3 * version + tf.minimum(index, 2))
    return tfio.audio.decode_mp3(_check_single(audio, "MP3")), rate_hz


def _check_single(audio: tf.Tensor, kind: str) -> tf.Tensor:
    """Return the file; raise an error at run time if it consists of several joined files."""
    count = tf.add_n([tf.size(tf.strings.split(audio, mark)) - 1 for mark in STREAM_MARKS[kind]])
    return wav.check(audio, count <= 1, f"several joined {kind} files; wanted a single one")


DECODERS = {"RIFF": wav.decode, "fLaC": _flac, "OggS": _vorbis}
