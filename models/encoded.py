"""Encoded audio in a graph: the bytes of a WAV, FLAC, Ogg Vorbis or MP3 file to samples, and samples to a WAV.

The operations that decode all but WAV are tensorflow-io's; a process that loads such a graph registers them first.
Rates and sample formats are read from the headers here, since those operations do not tell.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_io as tfio

from models import wav
from models.features import channels
from models.features.audio import AudioSpec
from models.features.recording import RATES_HZ

STARTS = {  # what a file holds once, or it is several that are joined, of which the operations decode the first alone
    "FLAC": (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22"),
    "Vorbis": (b"\x01vorbis",),
    "MP3": (b"Xing\0\0\0", b"Info\0\0\0"),
}
MP3_RATES_HZ = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))  # by version bits

ROLL_OFF = 0.08  # of the band, resampled
BLOCK_S, BESIDE_S = 8, 1  # resampled at once, and seen to either side: whole seconds, of whole numbers of samples


def decode(audio: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """The samples `[samples]` of a file, channels averaged, at the spec's rate.

    As :func:`models.features.audio.survey` has it, of channels that cancel the loudest is taken, and floats far beyond
    full scale are scaled down.

    Args:
      audio: scalar string, a whole file: WAV (integers, floats, A-law, mu-law), FLAC, Ogg Vorbis, else taken for MP3.
      spec: the front end.

    Raises:
      tf.errors.OpError: at run time, for bytes that are none of these, cut short, or without an end.
    """
    magic = tf.strings.substr(audio, 0, 4)
    cases = [(tf.equal(magic, name), lambda read=read: read(audio)) for name, read in READERS.items()]
    samples, rate_hz = tf.case(cases, default=lambda: _mp3(audio))
    samples = wav.checked(samples, tf.size(samples) > 0, "audio that holds no samples")
    finite = tf.reduce_all(tf.math.is_finite(samples))
    samples = wav.checked(samples, finite, "audio that holds samples that are infinite or not a number")
    possible = (rate_hz >= RATES_HZ[0]) & (rate_hz <= RATES_HZ[1])
    rate_hz = wav.checked(rate_hz, possible, "audio of a sample rate that makes no sense", rate_hz)
    mono, wanted = mixed(samples, rate_hz), spec.sample_rate_hz
    return tf.cond(tf.equal(rate_hz, wanted), lambda: mono, lambda: resample(mono, rate_hz, wanted))


def mixed(samples: tf.Tensor, rate_hz: tf.Tensor) -> tf.Tensor:
    """One channel `[samples]` of `[samples, channels]` in units of full scale; the twin of `channels.ChannelMeter`."""
    mean = tf.reduce_mean(samples, axis=1)
    size = tf.minimum(tf.shape(samples)[0], tf.cast(channels.BLOCK_S * tf.cast(rate_hz, tf.float32), tf.int32))
    both = tf.concat([samples, mean[:, None]], axis=1)
    parts = tf.reshape(both[: tf.shape(both)[0] // size * size], [-1, size, tf.shape(both)[1]])
    powers = tf.math.reduce_variance(parts, axis=1)  # `[blocks, channels and their mean]`
    count = tf.cast(tf.shape(samples)[1], tf.float32)
    unrelated = tf.reduce_sum(powers[:, :-1], axis=1) / count**2
    lost = tf.where(powers[:, -1] < channels.CANCELLATION_SHARE * unrelated, unrelated, 0.0)
    cancels = (count > 1) & (tf.reduce_sum(lost) > channels.MAX_CANCELLED_SHARE * tf.reduce_sum(unrelated))
    loudest = tf.argmax(tf.reduce_sum(powers[:, :-1], axis=0), output_type=tf.int32)
    mono = tf.cond(cancels, lambda: tf.gather(samples, loudest, axis=1), lambda: mean)
    peak = tf.reduce_max(tf.abs(samples))
    depths = tf.constant(channels.DEPTHS, tf.float32)
    depth = tf.reduce_min(tf.where(peak <= 2**depths, depths, tf.math.ceil(tf.math.log(peak) / np.log(2.0)) + 1))
    return mono * tf.where(peak > channels.MAX_FLOAT_PEAK, 2 ** (1 - depth), 1.0)


def resample(y: tf.Tensor, rate_hz: tf.Tensor, wanted_hz: int) -> tf.Tensor:
    """Samples `[samples]` at another rate, `[samples * wanted_hz / rate_hz]`, by cutting the spectrum.

    In place, block by block of whole seconds with what is beside them: tensorflow-io's filter delays what it
    resamples, and one transform of the whole bounds the length. The highest `ROLL_OFF` of the band is faded out, as a
    filter of finite length would, or every edge would ring. The length is rounded as soxr rounds it, but never to
    nothing.

    Args:
      y: the samples.
      rate_hz: their rate, int32 scalar.
      wanted_hz: the other.
    """
    count, rate_hz = tf.cast(tf.shape(y)[0], tf.int64), tf.cast(rate_hz, tf.int64)
    seconds = BLOCK_S + 2 * BESIDE_S
    blocks = -(-count // (BLOCK_S * rate_hz))
    y = tf.pad(y, [[BESIDE_S * rate_hz, (blocks * BLOCK_S + BESIDE_S) * rate_hz - count]])
    bins = tf.cast(seconds * tf.minimum(rate_hz, wanted_hz) // 2, tf.float32)
    place = (1 - tf.range(tf.cast(seconds * rate_hz // 2 + 1, tf.float32)) / bins) / ROLL_OFF
    fade = tf.cast(tf.square(tf.sin(np.pi / 2 * tf.clip_by_value(place, 0.0, 1.0))), tf.complex64)

    def block(number):
        spectrum = tf.signal.rfft(tf.slice(y, [number * BLOCK_S * rate_hz], [seconds * rate_hz]))
        resampled = tf.signal.irfft(spectrum * fade, [seconds * wanted_hz])
        return resampled[BESIDE_S * wanted_hz : (BLOCK_S + BESIDE_S) * wanted_hz]

    shape = tf.TensorSpec([BLOCK_S * wanted_hz], tf.float32)
    resampled = tf.reshape(tf.map_fn(block, tf.range(blocks), parallel_iterations=1, fn_output_signature=shape), [-1])
    factor = tf.cast(wanted_hz, tf.float32) / tf.cast(rate_hz, tf.float32)
    return resampled[: tf.maximum(tf.ones_like(count), (2 * count * wanted_hz + rate_hz) // (2 * rate_hz))] * factor


def encode(samples: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Samples `[samples]` in [-1, 1] as the bytes of a 16-bit WAV file, scalar string."""
    return tf.audio.encode_wav(samples[:, None], spec.sample_rate_hz)


def _flac(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples and rate; 20 bits of rate and 5 of depth stand in the first block (RFC 9639, Sec. 8.2)."""
    audio = _single(audio, "FLAC")
    head = [tf.cast(byte, tf.int32) for byte in tf.unstack(wav.raw(audio, 18, 8))]
    samples = head[3] % 16 + tf.reduce_max(head[4:])  # their number's bytes
    head[2] = wav.checked(
        head[2], samples > 0, "a FLAC file of unknown length; wanted one with its length in the header"
    )
    rate_hz = head[0] * 4096 + head[1] * 16 + head[2] // 16
    bits = head[2] % 2 * 16 + head[3] // 16 + 1
    cases = [
        (bits > 16, lambda: wav.unit(tfio.audio.decode_flac(audio, dtype=tf.int32))),
        (bits <= 8, lambda: wav.unit(tfio.audio.decode_flac(audio, dtype=tf.uint8))),
    ]
    return tf.case(cases, default=lambda: wav.unit(tfio.audio.decode_flac(audio, dtype=tf.int16))), rate_hz


def _vorbis(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples and rate; after a page header of 28 bytes comes the identification header (Vorbis I, Sec. 4.2.2)."""
    named = tf.reduce_all(wav.raw(audio, 28, 7) == tf.constant(list(b"\x01vorbis"), tf.uint8))
    rate_hz = wav.checked(wav.number(audio, 40, 4), named, "an Ogg file of something else than Vorbis alone")
    return tfio.audio.decode_vorbis(_single(audio, "Vorbis")), tf.cast(rate_hz, tf.int32)


def _mp3(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples, and the rate that the first frame after an ID3 tag states."""
    tagged = tf.equal(tf.strings.substr(audio, 0, 3), "ID3")
    size = tf.reduce_sum(tf.cast(wav.raw(audio, 6, 4), tf.int32) * [1 << 21, 1 << 14, 1 << 7, 1])
    head = tf.cast(wav.raw(audio, tf.where(tagged, size + 10, 0), 4), tf.int32)
    starts = (head[0] == 0xFF) & (head[1] >= 0xE0) & (head[1] // 8 % 4 != 1) & (head[2] // 4 % 4 != 3)
    head = wav.checked(
        head, starts, "audio that is no WAV, FLAC or Ogg Vorbis, and no MPEG frame begins where one should"
    )
    version, index = head[1] // 8 % 4, head[2] // 4 % 4
    rate_hz = tf.gather(tf.reshape(tf.constant(MP3_RATES_HZ), [-1]), 3 * version + tf.minimum(index, 2))
    return tfio.audio.decode_mp3(_single(audio, "MP3")), rate_hz


def _single(audio: tf.Tensor, kind: str) -> tf.Tensor:
    """The file, refused where several are joined."""
    count = tf.add_n([tf.size(tf.strings.split(audio, mark)) - 1 for mark in STARTS[kind]])
    return wav.checked(audio, count <= 1, f"{kind} files that are joined; wanted one at a time")


READERS = {"RIFF": wav.decode, "fLaC": _flac, "OggS": _vorbis}
