"""Files decoded in the graph: as soundfile and the front end's own resampling have them."""

import io
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import voice

from models import audio_codecs
from models.features import audio as front_end
from models.features import recording
from models.features.audio import AudioSpec

SPEC = AudioSpec.at(8000)
FORMATS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_24"),
    ("FLAC", "PCM_S8"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.fixture(scope="module")
def decode():
    """In a graph, for bytes of any kind."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda audio: audio_codecs.decode(audio, SPEC), autograph=False, input_signature=signature)


def written(rate_hz, container, subtype):
    seconds = np.arange(rate_hz) / rate_hz
    y = 0.3 * np.sin(2 * np.pi * 300 * seconds) + 0.1 * np.sin(2 * np.pi * 1100 * seconds)
    file = io.BytesIO()
    soundfile.write(file, np.stack([y, 0.5 * y], 1), rate_hz, format=container, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_files_decode_to_what_the_front_end_reads(decode, container, subtype):
    audio = written(8000, container, subtype)
    wanted = recording.read(io.BytesIO(audio), 8000)
    np.testing.assert_allclose(decode(audio), wanted, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [4000, 11025, 16000, 44100])
def test_other_rates_are_resampled_as_by_the_front_end(decode, rate_hz):
    audio = written(rate_hz, "WAV", "FLOAT")
    found, wanted = decode(audio).numpy(), recording.read(io.BytesIO(audio), 8000)
    assert len(found) == len(wanted)
    inside = slice(400, -400)  # at the ends the filters differ
    np.testing.assert_allclose(found[inside], wanted[inside], atol=1e-4)
    np.testing.assert_allclose(found, wanted, atol=0.05)


@pytest.mark.parametrize("audio", [b"", b"abc", b"RIFF1234", b"x" * 1000, written(8000, "FLAC", "PCM_16")[:60]])
def test_what_is_no_recording_is_refused(decode, audio):
    with pytest.raises(tf.errors.OpError):
        decode(audio)


def test_a_chunk_before_the_format_is_passed_over(decode):
    audio = written(8000, "WAV", "PCM_16")
    listed = b"LIST" + (5).to_bytes(4, "little") + b"hello\0"
    size = (len(audio) - 8 + len(listed)).to_bytes(4, "little")
    np.testing.assert_array_equal(decode(b"RIFF" + size + b"WAVE" + listed + audio[12:]), decode(audio))


@pytest.mark.parametrize("samples", [1, 1000])
def test_what_is_encoded_is_a_wav(samples, rng):
    y = np.float32(rng.uniform(-0.9, 0.9, samples))
    found, rate_hz = soundfile.read(io.BytesIO(audio_codecs.encode(tf.constant(y), SPEC).numpy()))
    assert rate_hz == 8000
    np.testing.assert_allclose(found, y, atol=1e-4)


# ------------------------------------------------------------------ WAV files of strangers


def wav(fmt, data, *, size=None, riff=b"RIFF"):
    """A WAV file of chunks that are given byte by byte."""
    size = len(data) if size is None else size
    body = b"WAVEfmt " + len(fmt).to_bytes(4, "little") + fmt + b"data" + size.to_bytes(4, "little") + data
    return riff + len(body).to_bytes(4, "little") + body


def pcm(channels=1, rate_hz=8000, bits=16, tag=1):
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate_hz, frame * rate_hz, frame, bits)


SAMPLES = np.random.default_rng(0).integers(-9000, 9000, 1000, np.int16).tobytes()


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_coding_of_wav_is_as_the_front_end_reads_it(decode, container, subtype):
    audio = written(8000, container, subtype)
    np.testing.assert_allclose(decode(audio), recording.read(io.BytesIO(audio), 8000), atol=1e-6)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_a_coding_that_is_not_read_is_refused_by_its_number(decode, subtype):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(4000), 8000, format="WAV", subtype=subtype)
    with pytest.raises(tf.errors.InvalidArgumentError, match="unsupported encoding"):
        decode(file.getvalue())


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFF8, 0x7FFFF000, 0x80000000])
def test_a_length_that_was_never_filled_in_is_the_rest_of_the_file(decode, size):
    np.testing.assert_array_equal(decode(wav(pcm(), SAMPLES, size=size)), decode(wav(pcm(), SAMPLES)))


WHOLE = wav(pcm(), SAMPLES)
BROKEN = {
    "cut": WHOLE[: len(WHOLE) * 6 // 10],
    "cut in fmt": WHOLE[:30],
    "no fmt": b"RIFF\0\0\0\0WAVEdata" + (2000).to_bytes(4, "little") + SAMPLES,
    "no data": WHOLE[:36],
    "no samples": wav(pcm(), b""),
    "no channels": wav(pcm(channels=0), SAMPLES),
    "many channels": wav(pcm(channels=1000), SAMPLES),
    "rate 0": wav(pcm(rate_hz=0), SAMPLES),
    "rate 1": wav(pcm(rate_hz=1), SAMPLES),
    "rate 2 GHz": wav(pcm(rate_hz=2 * 10**9), SAMPLES),
    "12 bits": wav(pcm(bits=8, tag=3), SAMPLES),
    "endless chunks": b"RIFF\0\0\0\0WAVE" + bytes(80000),
    "a chunk of 4 GB": b"RIFF\0\0\0\0WAVELIST" + b"\xf8\xff\xff\xff" + WHOLE[12:],
    "big-endian": b"RIFX" + WHOLE[4:],
    "NaN": wav(pcm(bits=32, tag=3), np.float32([0, np.nan, 0]).tobytes()),
    "FLAC of unknown length": (lambda f: f[:21] + bytes([f[21] & 0xF0, 0, 0, 0, 0]) + f[26:])(
        written(8000, "FLAC", "PCM_16")
    ),
    "cut FLAC": written(8000, "FLAC", "PCM_16")[:-900],
    "cut Vorbis": written(8000, "OGG", "VORBIS")[:-900],
    "joined FLAC": 2 * written(8000, "FLAC", "PCM_16"),
    "chained Vorbis": written(8000, "OGG", "VORBIS") + written(11025, "OGG", "VORBIS"),
    "joined MP3": 2 * written(8000, "MP3", "MPEG_LAYER_III"),
    "Opus": written(8000, "OGG", "OPUS"),
    "FLAC noise": b"fLaC" + SAMPLES,
    "Vorbis noise": b"OggS" + SAMPLES,
    "MP3 noise": b"ID3\3\0\0\0\0\0\0" + SAMPLES,
}


@pytest.mark.parametrize("audio", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused(decode, audio):
    with pytest.raises(tf.errors.OpError):
        decode(audio)


def test_chunks_after_an_empty_recording_are_no_sound(decode):
    audio = written(8000, "WAV", "PCM_16")
    begin = audio.index(b"data") + 4
    empty = audio[:begin] + bytes(4) + b"LIST" + (2000).to_bytes(4, "little") + b"INFO" * 500
    with pytest.raises(tf.errors.OpError, match="empty"):
        decode(empty)
    with pytest.raises(ValueError, match="empty"):
        recording.read(io.BytesIO(empty), 8000)


def test_odd_chunks_are_padded(decode):
    listed = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    np.testing.assert_array_equal(decode(WHOLE[:12] + listed + WHOLE[12:]), decode(WHOLE))


@pytest.mark.parametrize("rate_hz", [8000, 11025])
def test_channels_that_cancel_and_units_of_integers_are_read_as_by_the_front_end(decode, rate_hz):
    y = voice(110, 1.0, rate_hz, 0)
    later = np.where(np.arange(len(y)) < len(y) / 2, 0.9, -0.9)  # channels that cancel in the second half alone
    stereo = [(y, -y), (-0.5 * y, y, 0 * y), (y, later * y)]
    for samples in (*(np.stack(each, 1) for each in stereo), y[:, None] * 32768 / np.abs(y).max()):
        file = io.BytesIO()
        soundfile.write(file, samples, rate_hz, format="WAV", subtype="FLOAT")
        meter = front_end.measure_level(file, SPEC)
        wanted = meter.scale * recording.read(file, 8000, channel=meter.channel)
        np.testing.assert_allclose(decode(file.getvalue())[400:-400], wanted[400:-400], atol=1e-3)


@pytest.mark.parametrize("rate_hz", [7350, 11025, 16000])
@pytest.mark.parametrize("seconds", [7.5, 8.0, 16.001, 30.0])
def test_long_recordings_are_resampled_in_blocks_without_seams(decode, rate_hz, seconds):
    y = voice(110, seconds, rate_hz, 0)
    audio = wav(pcm(rate_hz=rate_hz, bits=32, tag=3), y.tobytes())
    found, wanted = decode(audio).numpy(), recording.read(io.BytesIO(audio), 8000)
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found[400:-400], wanted[400:-400], atol=1e-3)


def test_more_than_twelve_minutes_are_resampled_as_their_parts():
    y = np.tile(voice(110, 10.0, 11025, 0), 100)
    found = tf.function(lambda x: audio_codecs.resample(x, tf.constant(11025), 22050))(y).numpy()
    assert len(found) == 2 * len(y)
    part = audio_codecs.resample(tf.constant(y[: 20 * 11025]), tf.constant(11025), 22050).numpy()
    np.testing.assert_allclose(found[10 * 22050 : 19 * 22050], part[10 * 22050 : 19 * 22050], atol=1e-5)
    np.testing.assert_allclose(found[990 * 22050 : 999 * 22050], part[10 * 22050 : 19 * 22050], atol=1e-5)
