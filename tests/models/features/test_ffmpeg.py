"""Recordings of FFmpeg's containers are read to their end, as those of libsndfile, or refused with the reason."""

import io

import numpy as np
import pytest
import soundfile
from sound_files import FORMATS, encode, tone

from models.errors import UserError
from models.features import audio, ffmpeg, libsndfile, recording
from models.features.audio_spec import AudioSpec

RATE_HZ = 8000
SPEC = AudioSpec.at(RATE_HZ)


def read(content):
    return recording.read(io.BytesIO(content), RATE_HZ)


def best_match(y, wanted):
    """Largest correlation of two recordings over delays of at most 0.1 s."""
    size = len(wanted) // 2
    parts = [y[d : d + size] for d in range(RATE_HZ // 10)]
    return max(np.corrcoef(part, wanted[:size])[0, 1] for part in parts if len(part) == size)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_recording_has_its_length_rate_and_samples(suffix):
    rate_hz = FORMATS[suffix][2]
    content = encode(suffix)
    assert recording.read_format(io.BytesIO(content)) == (rate_hz, 1)
    y, (announced, *decoded) = read(content), recording.durations(io.BytesIO(content))
    assert len(y) / RATE_HZ == pytest.approx(2.0, abs=0.15) == decoded[-1]
    assert announced == (0.0 if suffix in (".aac", ".amr") else pytest.approx(2.0, abs=0.05))
    assert best_match(y, tone(RATE_HZ)) > 0.9


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_a_file_that_is_cut_short_is_refused(suffix, share):
    content = encode(suffix)
    with pytest.raises(UserError, match="cut short|not readable as audio"):
        read(content[: int(share * len(content))])


def test_samples_are_those_of_libsndfile_and_come_in_blocks():
    y = np.random.default_rng(0).uniform(-1, 1, 3 * recording.BLOCK_FRAMES)
    soundfile.write(file := io.BytesIO(), y, 16000, format="WAV", subtype="PCM_16")
    content = encode(".mov", recording.read(file, 16000))
    blocks = list(recording.blocks(io.BytesIO(content), 16000))
    assert max(map(len, blocks)) <= 2 * recording.BLOCK_FRAMES and len(blocks) >= 2
    np.testing.assert_allclose(np.concatenate(blocks), recording.read(file, 16000), atol=1 / 32768)


def test_channels_are_averaged_or_selected():
    content = encode(".mka", layout="stereo")
    assert recording.read_format(io.BytesIO(content)) == (16000, 2)
    np.testing.assert_allclose(recording.read(io.BytesIO(content), 16000, channel=1), tone(16000), atol=1e-3)
    np.testing.assert_allclose(recording.read(io.BytesIO(content), 16000), tone(16000), atol=1e-3)


def test_of_several_streams_the_first_is_read_with_a_note():
    meter = audio.measure_level(io.BytesIO(encode(".mka", streams=3)), SPEC)
    assert meter.peak > 0.1 and meter.notes == ("holds 3 audio streams: the first is read",)
    assert not audio.measure_level(io.BytesIO(encode(".mka")), SPEC).notes


def test_the_sound_of_a_video_is_read_and_a_video_without_sound_refused():
    content = encode(".mp4", picture=True)
    np.testing.assert_array_equal(read(content), read(encode(".mp4")))
    with pytest.raises(UserError, match="holds no sound"):
        read(encode(".mp4", picture=True, streams=0))


def test_a_rate_that_changes_within_a_stream_begins_a_new_part():
    joined = encode(".aac") + encode(".aac", tone(8000), rate_hz=8000)
    assert [part.rate_hz for part in _drained(joined)] == [16000, 8000]
    assert len(read(joined)) / RATE_HZ == pytest.approx(4.0, abs=0.4)


def _drained(content):
    for part in ffmpeg.parts(io.BytesIO(content), "", 1000):
        assert sum(map(len, part.blocks))
        yield part


def test_tags_before_the_samples_are_skipped():
    tag = b"ID3" + bytes([4, 0, 0, 0, 0, 1, 0]) + bytes(128)
    np.testing.assert_array_equal(read(tag + encode(".aac")), read(encode(".aac")))


@pytest.mark.parametrize("name", ["x.m4a", "x.wav"])
def test_no_file_is_taken_for_a_list_of_other_files(tmp_path, name):
    (tmp_path / "secret.m4a").write_bytes(encode(".m4a"))
    (tmp_path / name).write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.m4a\n")
    with pytest.raises(UserError, match="not readable as audio"):
        recording.read(str(tmp_path / name), RATE_HZ)


def test_without_the_package_a_file_is_refused_by_the_name_of_the_extra(monkeypatch):
    monkeypatch.setattr(ffmpeg, "INSTALLED", False)
    for look in (
        recording.probe,
        lambda file: recording.read(file, RATE_HZ),
        lambda file: list(recording.durations(file)),
    ):
        with pytest.raises(UserError, match=r"MP4 needs the package av: pip install 'crossfade\[av\]'"):
            look(io.BytesIO(encode(".m4a")))
    with pytest.raises(UserError, match="unsupported encoding"):  # as libsndfile says it
        read(encode(".caf"))


def test_what_libsndfile_reads_stays_with_it():
    for name in ("WAV", "AIFF", "CAF", "FLAC", "OGG", "MP3", "AU"):
        soundfile.write(file := io.BytesIO(), np.zeros(8000), 16000, format=name)
        assert ffmpeg.find_container(file) is None and not libsndfile.lacks_encoding(file)
    assert not {*ffmpeg.SOUND_SUFFIXES, *ffmpeg.VIDEO_SUFFIXES} & {*libsndfile.SUFFIXES}
