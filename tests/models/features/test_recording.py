"""Recordings of every container are read to their end, and what is cut short is refused."""

import io
import re
import struct

import numpy as np
import pytest
import soundfile
from testbed import voice

from models.errors import UserError
from models.features import containers, mpeg, recording

RATE_HZ = 16000
ADPCM = {"IMA_ADPCM", "MS_ADPCM"}  # whose last block is filled up
SILENT = {"PAF", "PVF", "IRCAM", "XI"}  # whose header, as libsndfile writes it, states no length
READABLE = [
    (name, subtype)
    for name in sorted(set(soundfile.available_formats()) - {"RAW", "SD2", "MP3", "OGG"})
    for subtype in soundfile.available_subtypes(name)
    if subtype != "DWVW_12"  # which libsndfile does not write
    and (name, subtype) != ("WAV", "MPEG_LAYER_III")
]


def encoded(y, rate_hz=RATE_HZ, container="WAV", subtype="PCM_16", **options):
    file = io.BytesIO()
    soundfile.write(file, y, rate_hz, format=container, subtype=subtype, **options)
    return file.getvalue()


def seconds(content, rate_hz=RATE_HZ):
    return len(recording.read(io.BytesIO(content), rate_hz)) / rate_hz


def patched(content, *places):
    made = bytearray(content)
    for at, part in places:
        made[at : at + len(part)] = part
    return bytes(made)


def mp3(y, rate_hz=44100, **options):
    return encoded(y, rate_hz, "MP3", "MPEG_LAYER_III", **options)


SPEECH = voice(110, 3.0, RATE_HZ, 0)
HIGH = voice(110, 3.0, 44100, 0)


@pytest.mark.parametrize(("container", "subtype"), READABLE)
def test_a_file_cut_anywhere_is_refused_and_a_whole_one_is_read(container, subtype):
    rate_hz = {"XI": 44100, "WVE": 8000}.get(container, RATE_HZ)  # the only ones these can hold
    whole = encoded(SPEECH, rate_hz, container, subtype)
    wanted = len(SPEECH) / rate_hz
    assert seconds(whole) == pytest.approx(wanted, rel=0.03 if subtype in ADPCM or container == "VOC" else 1e-4)
    in_blocks = container in ("WAV", "W64") and not subtype.startswith(("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW"))
    if container in ("WAV", "AIFF", "AU", "W64", "RF64") and not in_blocks:
        assert seconds(whole[:-2]) == pytest.approx(wanted, rel=0.03)
    for share in (0.3, 0.6, 0.95):
        if container not in SILENT:
            with pytest.raises(UserError, match="cut short|not readable"):
                seconds(whole[: int(share * len(whole))])


@pytest.mark.parametrize(("subtype", "rate_hz"), [("VORBIS", 16000), ("OPUS", 48000)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_an_ogg_file_without_its_last_page_is_refused(subtype, rate_hz, share):
    whole = encoded(voice(110, 1.0, rate_hz, 0), rate_hz, "OGG", subtype)
    with pytest.raises(UserError, match="cut short"):
        seconds(whole[: int(share * len(whole))])


# ------------------------------------------------------------------ headers that were never finished


def unfinished():
    wav = encoded(SPEECH)
    for riff, data in (
        (0, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x7FFFF024, 0x7FFFF000),
        (36, 0),
        (None, 0),
        (0, None),
        (0xFFFFFFFF, 0xFFFFFFF8),
        (0x80000024, 0x80000000),
    ):
        sizes = [(at, struct.pack("<I", n)) for at, n in ((4, riff), (40, data)) if n is not None]
        yield f"WAV {riff} {data}", patched(wav, *sizes)
    au, aiff, caf = (encoded(SPEECH, container=name) for name in ("AU", "AIFF", "CAF"))
    rf64, w64 = encoded(SPEECH, container="RF64"), encoded(SPEECH, container="W64")
    for size in (0, 0xFFFFFFFF):
        yield f"AU {size}", patched(au, (8, struct.pack(">I", size)))
        yield f"AIFF {size}", patched(aiff, (aiff.find(b"SSND") + 4, struct.pack(">I", size)))
    common = aiff.find(b"COMM") + 10
    empty = [(4, struct.pack(">I", 46)), (common, bytes(4)), (aiff.find(b"SSND") + 4, struct.pack(">I", 8))]
    yield "AIFF of no samples so far", patched(aiff, *empty)
    for size in (-1, 0, 4):
        yield f"CAF {size}", patched(caf, (caf.find(b"data") + 4, struct.pack(">q", size)))
    for size in (0, 2**64 - 1):
        yield f"RF64 {size}", patched(rf64, (rf64.find(b"ds64") + 8, struct.pack("<QQQ", size, size, size)))
        yield f"W64 {size}", patched(w64, (w64.find(b"data") + 16, struct.pack("<Q", size)))
    flac = encoded(SPEECH, container="FLAC")
    yield "FLAC", patched(flac, (21, bytes([flac[21] & 0xF0, 0, 0, 0, 0])))


UNFINISHED = list(unfinished())


@pytest.mark.parametrize("content", [row[1] for row in UNFINISHED], ids=[row[0] for row in UNFINISHED])
def test_a_header_that_was_never_finished_hides_nothing(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    wanted = recording.read(io.BytesIO(encoded(SPEECH)), 8000)
    for file in (str(tmp_path / "a"), io.BytesIO(content)):
        np.testing.assert_allclose(recording.read(file, 8000), wanted, atol=1e-4)


@pytest.mark.parametrize("behind", [b"", b"LIST\4\0\0\0abcd"])
def test_a_file_of_no_samples_is_empty_whatever_follows(behind):
    with pytest.raises(UserError, match="empty"):
        seconds(encoded(SPEECH[:0]) + behind)


def test_a_flac_file_that_holds_more_than_it_announces_is_read_whole_and_one_of_less_is_refused():
    flac = encoded(SPEECH, container="FLAC")
    assert seconds(patched(flac, (22, struct.pack(">I", 20000)))) == 3.0
    with pytest.raises(UserError, match="cut short: 48000 of 90000"):
        seconds(patched(flac, (22, struct.pack(">I", 90000))))


# ------------------------------------------------------------------ joined files

ID3 = b"ID3\3\0\0\0\0\2\0" + bytes(256)
ID3V1 = b"TAG" + bytes(125)


@pytest.mark.parametrize("between", [b"", ID3, ID3V1 + ID3], ids=["nothing", "a tag", "two tags"])
@pytest.mark.parametrize("options", [{}, {"bitrate_mode": "VARIABLE"}, {"bitrate_mode": "CONSTANT"}], ids=str)
def test_joined_mp3_files_are_read_to_the_end_of_the_last(options, between):
    other = mp3(np.stack([SPEECH, SPEECH], 1), RATE_HZ)
    joined = mp3(HIGH, **options) + between + mp3(HIGH) + between + other
    assert seconds(joined) == pytest.approx(9.0, abs=1e-3)
    y = recording.read(io.BytesIO(joined), RATE_HZ)
    assert np.std(y[-40000:-20000]) == pytest.approx(np.std(SPEECH[8000:28000]), rel=0.1)


def test_joined_flac_files_are_read_to_the_end_of_the_last():
    assert seconds(encoded(SPEECH, container="FLAC") + encoded(HIGH, 44100, "FLAC") + ID3V1) == pytest.approx(
        6, abs=1e-3
    )


@pytest.mark.parametrize(("subtype", "rates_hz"), [("VORBIS", (16000, 44100)), ("OPUS", (48000, 24000))])
def test_chained_ogg_streams_are_read_to_the_end_of_the_last_and_none_may_be_cut(subtype, rates_hz):
    mono, high = (voice(110, 1.0, rate_hz, 0) for rate_hz in rates_hz)
    first, second = (
        encoded(mono, rates_hz[0], "OGG", subtype),
        encoded(np.stack([high, high], 1), rates_hz[1], "OGG", subtype),
    )
    assert seconds(first + second + bytes(500)) == pytest.approx(2.0, abs=1e-3)
    for cut in (first + second[:-100], first[:-100] + second):
        with pytest.raises(UserError, match="cut short"):
            seconds(cut)


# ------------------------------------------------------------------ MPEG frames


def without_index(content):
    (link,) = mpeg.find_links(io.BytesIO(content), 0)
    return content[link.first.size :]


def test_pictures_in_tags_are_no_sound_and_a_missing_index_no_loss(rng):
    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.2}
    speech = without_index(mp3(np.concatenate([np.zeros(400000, np.float32), HIGH]), **options))
    art = rng.integers(0, 256, 30000, np.uint8).tobytes()
    frame = b"APIC" + struct.pack(">I", len(art)) + b"\0\0" + art
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    ape = [b"APETAGEX" + struct.pack("<IIII", 2000, len(art) + 32, 1, bits << 24) + bytes(8) for bits in (0xA0, 0x80)]
    wanted = recording.read(io.BytesIO(speech), 44100)
    assert len(wanted) == pytest.approx(400000 + len(HIGH), abs=3 * 1152)
    assert np.std(wanted[-60000:-30000]) > 0.5 * np.std(HIGH)
    for tagged in (
        b"ID3\3\0\0" + size + frame + speech,
        speech + ape[0] + art + ape[1],
        ape[0] + art + ape[1] + speech,
    ):
        np.testing.assert_array_equal(recording.read(io.BytesIO(tagged), 44100), wanted)
        assert recording.probe(io.BytesIO(tagged)) == 44100


def test_bytes_that_are_no_frames_are_passed_over(rng):
    whole = without_index(mp3(HIGH))
    (link,) = mpeg.find_links(io.BytesIO(whole), 0)
    cut = 40 * link.first.size
    spoilt = whole[:cut] + rng.integers(0, 256, 9000, np.uint8).tobytes() + whole[cut:]
    assert seconds(spoilt) == pytest.approx(seconds(whole), rel=0.02)


def test_an_index_is_believed_neither_of_less_nor_of_more_frames():
    whole = mp3(HIGH)
    at = re.search(b"Xing|Info", whole).start() + 8
    (count,) = struct.unpack(">I", whole[at : at + 4])
    assert seconds(patched(whole, (at, struct.pack(">I", count // 2)))) == pytest.approx(3.0, abs=0.05)
    for broken in (patched(whole, (at, struct.pack(">I", 2 * count))), whole[: len(whole) * 6 // 10]):
        with pytest.raises(UserError, match="cut short"):
            seconds(broken)


# ------------------------------------------------------------------ headers that make no sense


@pytest.mark.parametrize("rate_hz", [1, 999, 768001, 2**31 - 1])
@pytest.mark.parametrize("look", [recording.probe, seconds], ids=["probe", "read"])
def test_a_rate_that_no_recorder_has_is_refused(rate_hz, look):
    content = patched(encoded(SPEECH), (24, struct.pack("<I", rate_hz)))
    with pytest.raises(UserError, match=f"{rate_hz} Hz; wanted"):
        look(io.BytesIO(content) if look is recording.probe else content)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, RATE_HZ // 2])
def test_the_side_is_half_the_difference_of_two_channels_and_zero_for_one(rate_hz, rng):
    left, right = rng.uniform(-0.5, 0.5, (2, 5000)).astype(np.float32)
    stereo = encoded(np.stack([left, right], axis=1), RATE_HZ, "WAV", "FLOAT")
    one, other = (recording.read(io.BytesIO(stereo), rate_hz, channel=n) for n in (0, 1))
    side = recording.read(io.BytesIO(stereo), rate_hz, channel=recording.SIDE)
    np.testing.assert_allclose(side, (one - other) / 2, atol=1e-6)
    assert not recording.read(io.BytesIO(encoded(left)), rate_hz, channel=recording.SIDE).any()


def test_too_many_channels_are_refused():
    assert seconds(encoded(np.zeros((100, 64)))) > 0
    with pytest.raises(UserError, match="65 channels; wanted at most 64"):
        seconds(encoded(np.zeros((100, 65))))


@pytest.mark.parametrize(
    "container", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "VOC", "MAT4", "FLAC", "OGG", "MP3"]
)
def test_a_corrupted_header_ends_in_a_recording_or_a_refusal(container, rng):
    whole = encoded(SPEECH[:4000], RATE_HZ, container, soundfile.default_subtype(container))
    for _ in range(40):
        at, value = (
            int(rng.integers(min(200, len(whole) - 4))),
            rng.choice([0, 1, 127, 128, 255], int(rng.integers(1, 5))),
        )
        try:
            assert seconds(patched(whole, (at, bytes(value.tolist()))), 8000) < 60
        except UserError:
            pass


def test_chunks_of_no_size_come_to_an_end():
    assert list(containers._chunks(io.BytesIO(bytes(10**6)), 0, 10**6)) == [
        (bytes(4), 8 * n + 8, 0) for n in range(4096)
    ]


def test_the_endings_are_those_of_readable_files():
    assert {".wav", ".flac", ".mp3", ".ogg", ".opus", ".w64", ".caf", ".sph", ".aiff", ".au"} <= set(recording.SUFFIXES)
    assert not {".raw", ".txt", ".mp4", ".webm"} & set(recording.SUFFIXES)
    assert all(ending == ending.lower() and ending.startswith(".") for ending in recording.SUFFIXES)


def test_the_duration_by_the_header_comes_before_those_of_what_is_decoded():
    soundfile.write(file := io.BytesIO(), np.zeros((100_000, 2)), 16000, format="FLAC")
    assert list(recording.durations(file)) == [6.25, 4.096, 6.25]  # blocks of 65,536 samples
    joined = io.BytesIO(2 * file.getvalue())
    assert list(recording.durations(joined)) == [12.5, 4.096, 6.25, 10.346, 12.5]


@pytest.mark.parametrize(("stated", "announced"), [(1000, 1000), (2**31, 2**31), (2**32 - 1, 0), (0, 0)])
def test_the_size_by_the_header_is_read_true_or_not(stated, announced):
    soundfile.write(file := io.BytesIO(), np.zeros(500), 8000, format="WAV")
    file.seek(40)
    file.write(struct.pack("<I", stated))
    assert containers.stated_bytes(file) == announced
    assert containers.stated_bytes(io.BytesIO(b"no header")) == 0
