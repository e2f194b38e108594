"""Files decoded in the graph: as soundfile and the front end's own resampling have them."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from models import encoded
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
    return tf.function(lambda audio: encoded.decode(audio, SPEC), autograph=False, input_signature=signature)


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
    found, rate_hz = soundfile.read(io.BytesIO(encoded.encode(tf.constant(y), SPEC).numpy()))
    assert rate_hz == 8000
    np.testing.assert_allclose(found, y, atol=1e-4)
