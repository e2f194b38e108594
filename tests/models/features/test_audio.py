"""The NumPy front end: any recording in, the same log-mels out, whole or in parts."""

import dataclasses
import io
from unittest import mock

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, SPECS, each_spec, laws, voice

from models.features import audio, recording
from models.features.audio import AudioSpec

FORMATS = [  # container, subtype, largest error of a sample
    ("WAV", "PCM_U8", 2**-7),
    ("WAV", "PCM_16", 2**-15),
    ("WAV", "PCM_24", 2**-23),
    ("WAV", "PCM_32", 2**-23),
    ("WAV", "FLOAT", 0),
    ("WAV", "DOUBLE", 0),
    ("AIFF", "PCM_16", 2**-15),
    ("AIFF", "PCM_24", 2**-23),
    ("FLAC", "PCM_16", 2**-15),
    ("FLAC", "PCM_24", 2**-23),
    ("OGG", "VORBIS", None),
    ("MP3", "MPEG_LAYER_III", None),
]
CONTAINERS = [(*row, channels) for row in FORMATS for channels in (1, 2, 5) if row[0] != "MP3" or channels < 5]

seeds = st.integers(0, 2**32 - 1)


def tone(hz, samples, rate_hz):
    return np.float32(0.5 * np.sin(2 * np.pi * hz * np.arange(samples) / rate_hz))


def loudest_hz(y, rate_hz):
    spectrum = np.abs(np.fft.rfft(y * np.hanning(len(y)), 1 << 16))
    return np.argmax(spectrum) * rate_hz / (1 << 16)


def encoded(y, rate_hz, container="WAV", subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, y, rate_hz, format=container, subtype=subtype)
    file.seek(0)
    return file


def parts_of(y, cuts):
    """`y` in parts, cut at these places modulo its length; some may be empty."""
    return np.split(y, sorted(cut % (len(y) + 1) for cut in cuts))


# ------------------------------------------------------------------ the specification


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz=0"),
        ({"n_fft": -512}, "n_fft=-512"),
        ({"n_fft": 1023}, "n_fft=1023"),
        ({"hop_length": 0}, "hop_length=0"),
        ({"hop_length": 513}, "hop_length=513"),
        ({"win_length": 0}, "win_length=0"),
        ({"win_length": 2048}, "win_length=2048"),
        ({"n_mels": 0}, "n_mels=0"),
        ({"n_mels": 400}, "n_mels=400"),
        ({"floor": 0.0}, "floor=0.0"),
        ({"floor": float("nan")}, "floor=nan"),
        ({"floor": float("inf")}, "floor=inf"),
        ({"level_db": float("nan")}, "level_db=nan"),
        ({"level_db": 3.0}, "level_db=3.0"),
        ({"fmin_hz": -1.0}, "fmin_hz=-1.0"),
        ({"fmin_hz": 7600.0}, "fmin_hz=7600.0"),
        ({"fmin_hz": float("nan")}, "fmin_hz=nan"),
        ({"fmax_hz": 8001.0}, "fmax_hz=8001.0"),
    ],
    ids=str,
)
def test_a_front_end_that_cannot_work_is_refused_naming_what_was_given(changes, named):
    with pytest.raises(ValueError, match=f"{named}.*wanted"):
        AudioSpec(**changes)


@pytest.mark.parametrize("window", ["hahn", "", "kaiser"])
def test_a_window_that_scipy_cannot_make_from_its_name_is_refused(window):
    with pytest.raises(ValueError, match=f"window.*{window}"):
        AudioSpec(window=window)


@laws
@given(rate_hz=st.integers(8000, 48000))
def test_the_default_front_end_fits_every_rate_of_speech(rate_hz):
    spec = AudioSpec.at(rate_hz)
    assert spec.n_fft & (spec.n_fft - 1) == 0 and spec.win_length == spec.n_fft == 4 * spec.hop_length
    assert 0.032 * (1 - 1e-4) < spec.n_fft / rate_hz <= 0.064
    assert 0.9 < spec.fmax_hz / (rate_hz / 2) < 1


@pytest.mark.parametrize(
    "changes", [{"n_fft": 256, "n_mels": 32}, {"hop_length": 100}, {"win_length": 400}, {"fmax_hz": 3000.0}], ids=str
)
def test_what_is_asked_for_overrules_the_default_at_a_rate(changes):
    spec = dataclasses.asdict(AudioSpec.at(8000, **changes))
    assert {name: spec[name] for name in changes} == changes
    if "n_fft" in changes:
        assert (spec["win_length"], spec["hop_length"]) == (256, 64)


@laws
@given(rates=st.lists(st.integers(2000, 192000), min_size=1, max_size=60), shuffled=st.randoms(use_true_random=False))
def test_nine_in_ten_files_hold_the_suggested_rate(rates, shuffled):
    rate_hz = recording.suggested_rate(rates)
    assert 8000 <= rate_hz <= 22050
    assert rate_hz == 8000 or sum(rate >= rate_hz for rate in rates) >= 0.9 * len(rates)
    shuffled.shuffle(rates)
    assert recording.suggested_rate(rates) == rate_hz


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 48000])
@pytest.mark.parametrize(("container", "subtype", "error", "channels"), CONTAINERS)
def test_a_tone_keeps_its_length_pitch_and_level_whatever_holds_it(container, subtype, error, channels, rate_hz):
    y = tone(1000, int(0.3 * rate_hz) + 3, rate_hz)
    file = encoded(np.repeat(y[:, None], channels, axis=1), rate_hz, container, subtype)
    for wanted_hz in (8000, 22050, rate_hz):
        file.seek(0)
        x = recording.read(file, wanted_hz)
        assert x.dtype == np.float32 and abs(len(x) - len(y) * wanted_hz / rate_hz) <= 1
        assert loudest_hz(x, wanted_hz) == pytest.approx(1000, abs=2)
        assert np.std(x[200:-200]) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    if error is not None:  # the last one read was at the rate it has
        np.testing.assert_allclose(x, y, atol=error + 1e-7)


@laws
@given(samples=st.integers(1, 3000), rate_hz=st.integers(4000, 96000), wanted_hz=st.sampled_from([8000, 16000, 22050]))
def test_any_length_from_one_sample_is_read_and_analysed(samples, rate_hz, wanted_hz):
    y = np.random.default_rng(samples).normal(size=samples) * 0.1
    x = recording.read(encoded(y, rate_hz), wanted_hz)
    assert abs(len(x) - samples * wanted_hz / rate_hz) <= 1 and np.isfinite(x).all()
    log_mels = audio.log_mel(x, SMALL)
    assert log_mels.shape == (SMALL.frames(len(x)), SMALL.n_mels) and np.isfinite(log_mels).all()


def test_channels_are_averaged(rng):
    y = rng.uniform(-1, 1, (500, 3)).astype(np.float32)
    np.testing.assert_allclose(recording.read(encoded(y, 8000), 8000), y.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("wanted_hz", [8000, 16000, 22050])
@pytest.mark.parametrize(("container", "subtype"), [row[:2] for row in FORMATS])
def test_the_blocks_a_file_is_read_in_leave_no_seams(container, subtype, wanted_hz):
    file = encoded(voice(120, 0.5, 16000, 0), 16000, container, subtype)
    with mock.patch.object(recording, "BLOCK_FRAMES", 10**6):
        (whole, *rest) = recording.blocks(file, wanted_hz)
    file.seek(0)
    with mock.patch.object(recording, "BLOCK_FRAMES", 333):
        parts = list(recording.blocks(file, wanted_hz))
    assert len(parts) > 20
    np.testing.assert_allclose(np.concatenate(parts), np.concatenate([whole, *rest]), atol=1e-6)


def test_a_path_and_an_open_file_are_read_alike(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(300, 900, 8000), 8000)
    with path.open("rb") as file:
        np.testing.assert_array_equal(recording.read(file, 16000), recording.read(str(path), 16000))


def test_a_file_whose_length_is_estimated_is_read_to_its_end(tmp_path):
    path = tmp_path / "without_index.mp3"
    options = {"bitrate_mode": "CONSTANT", "compression_level": 0.9}  # so small that it has no index
    soundfile.write(path, tone(300, 100000, 22050), 22050, **options)
    held, _ = soundfile.read(path, dtype="float32")
    assert 0.99 < len(held) / soundfile.info(path).frames < 1
    with mock.patch.object(recording, "BLOCK_FRAMES", 7000):
        found = recording.read(str(path), 22050)
    np.testing.assert_allclose(found, held[len(held) - len(found) :], atol=1e-6)
    assert 0 <= len(held) - len(found) <= 529  # the decoder's delay


@pytest.mark.parametrize(("container", "rate_hz"), [("WAV", 8000), ("FLAC", 96000), ("OGG", 44100), ("MP3", 22050)])
def test_the_header_tells_the_rate(container, rate_hz):
    file = encoded(tone(300, 900, rate_hz), rate_hz, container, soundfile.default_subtype(container))
    assert recording.probe(file) == rate_hz


def not_recordings():
    y = voice(120, 1.0, 8000, 0)
    flac, mp3 = (encoded(y, 8000, name, soundfile.default_subtype(name)).getvalue() for name in ("FLAC", "MP3"))
    yield "text.wav", b"this is no recording, whatever its name says", "not readable as audio"
    yield "nothing.wav", b"", "not readable as audio"
    yield "header.wav", encoded(np.zeros(0), 8000).getvalue(), "empty"
    yield "truncated.flac", flac[: len(flac) // 2], "not readable as audio|cut short"
    for name in ("WAV", "AIFF"):
        whole = encoded(y, 8000, name, "PCM_24").getvalue()
        yield f"truncated.{name.lower()}", whole[: len(whole) // 2], "cut short: .* bytes are there"
    yield "headless.raw", bytes(1000), "samples without a header"
    yield "truncated.mp3", mp3[: len(mp3) // 2], "cut short"
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        y = tone(300, 900, 8000)
        y[700] = value
        yield f"{name}.wav", encoded(y, 8000).getvalue(), "infinite or not a number"


NOT_RECORDINGS = list(not_recordings())


@pytest.mark.parametrize("wanted_hz", [8000, 16000])
@pytest.mark.parametrize(("name", "content", "complaint"), NOT_RECORDINGS, ids=[row[0] for row in NOT_RECORDINGS])
def test_what_is_no_whole_recording_is_refused(name, content, complaint, wanted_hz, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        recording.read(str(path), wanted_hz)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_what_was_written_into_a_pipe_knows_no_length(size, tmp_path):
    whole = bytearray(encoded(tone(300, 900, 8000), 8000).getvalue())
    whole[4:8] = size.to_bytes(4, "little")
    (tmp_path / "piped.wav").write_bytes(whole)
    assert len(recording.read(str(tmp_path / "piped.wav"), 8000)) == len(tone(300, 900, 8000))


@pytest.mark.parametrize("look", [recording.probe, lambda path: recording.read(path, 8000)], ids=["probe", "read"])
def test_a_file_that_is_not_there_is_refused(look, tmp_path):
    with pytest.raises(ValueError, match="not readable as audio"):
        look(str(tmp_path / "none.wav"))


# ------------------------------------------------------------------ level


@laws
@given(seed=seeds, gain_db=st.floats(-50, 15), pause=st.integers(0, 4000))
def test_levelling_brings_speech_to_the_level_once_and_pauses_do_not_count(seed, gain_db, pause):
    y = np.random.default_rng(seed).normal(size=4000) * 10 ** (gain_db / 20)  # within reach of the largest gain
    hiss = 1e-3 * np.resize(y, pause - pause % 160)
    y = np.concatenate([y, hiss])
    gain = audio.level_gain(audio.block_powers(y, 8000), -23.0)
    assert 10 * np.log10(audio.active_power(audio.block_powers(gain * y, 8000))) == pytest.approx(-23, abs=1e-6)
    assert audio.level_gain(audio.block_powers(gain * y, 8000), -23.0) == pytest.approx(1, abs=1e-6)
    assert gain == pytest.approx(audio.level_gain(audio.block_powers(y[:4000], 8000), -23.0))


@pytest.mark.parametrize(("scale", "gain_db"), [(0.0, 0.0), (1e-9, 40.0), (1e9, -40.0)])
def test_silence_keeps_its_level_and_noise_is_not_blown_up_without_end(scale, gain_db):
    powers = audio.block_powers(scale * np.ones(1000), 8000)
    assert 20 * np.log10(audio.level_gain(powers, -23.0)) == pytest.approx(gain_db)


@laws
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_the_power_of_speech_rises_with_the_square_of_its_samples(seed, factor):
    y = np.random.default_rng(seed).normal(size=8000)
    power = audio.active_power(audio.block_powers(y, 8000))
    assert power == pytest.approx(np.mean(y**2))
    assert audio.active_power(audio.block_powers(factor * y, 8000)) == pytest.approx(factor**2 * power)


def test_beside_a_click_speech_still_counts(rng):
    y = np.concatenate([0.05 * rng.normal(size=8000), [100.0], np.zeros(159)])
    powers = audio.block_powers(y, 8000)
    assert audio.active_power(powers) == pytest.approx(powers.mean())


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 1000])
def test_block_powers_hold_the_energy_of_all_samples(samples, rng):
    y = rng.normal(size=samples)
    powers = audio.block_powers(y, 8000)
    lengths = np.diff([*range(0, samples, 160), samples])
    assert len(powers) == len(lengths) and powers @ lengths == pytest.approx(np.sum(y**2))


@laws
@given(samples=st.integers(1, 3000), cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_a_recording_measured_in_parts_has_the_level_of_the_whole(samples, cuts):
    y = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    meter = audio.LevelMeter(SMALL)
    for part in parts_of(y, cuts):
        meter.add(part)
    assert (meter.samples, meter.peak) == (samples, np.abs(y).max())
    powers = audio.block_powers(y, 8000)
    assert meter.gain() == pytest.approx(audio.level_gain(powers, SMALL.level_db))
    assert meter.power() == pytest.approx(audio.active_power(powers))


def test_a_survey_measures_what_reading_gives():
    y = voice(120, 0.4, 16000, 0)
    found, read = audio.measure_level(encoded(y, 16000), SMALL), audio.read(encoded(y, 16000), SMALL)
    assert (found.samples, found.peak) == (len(read), np.abs(read).max())
    assert found.gain() == pytest.approx(audio.level_gain(audio.block_powers(read, 8000), SMALL.level_db))


# ------------------------------------------------------------------ spectrograms


@each_spec
def test_log_mels_are_those_of_librosa(spec):
    y = voice(150, 0.5, spec.sample_rate_hz, 3)
    framing = {"n_fft": spec.n_fft, "hop_length": spec.hop_length, "win_length": spec.win_length}
    bands = {"n_mels": spec.n_mels, "fmin": spec.fmin_hz, "fmax": spec.fmax_hz}
    options = {"window": spec.window, "center": True, "pad_mode": "constant", "power": 1.0}
    mels = librosa.feature.melspectrogram(y=y, sr=spec.sample_rate_hz, **framing, **bands, **options).T
    wanted = np.log(np.maximum(mels, spec.floor))
    found = audio.log_mel(y, spec)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@each_spec
@pytest.mark.parametrize("hops", [0, 1, 7])
@pytest.mark.parametrize("more", [0, 1, -1])
def test_a_spectrogram_has_as_many_frames_as_the_spec_says(spec, hops, more):
    y = np.ones(max(1, hops * spec.hop_length + more), np.float32)
    assert audio.stft(y, spec).shape == (spec.frames(len(y)), spec.n_fft // 2 + 1)


@each_spec
def test_louder_samples_raise_every_log_mel_by_the_logarithm(spec):
    y = voice(150, 0.3, spec.sample_rate_hz, 1)
    quiet, loud = audio.log_mel(y, spec), audio.log_mel(3 * y, spec)
    heard = quiet > spec.log_floor
    assert 0.2 < heard.mean() < 1
    np.testing.assert_allclose((loud - quiet)[heard], np.log(3), atol=1e-4)


@each_spec
def test_silence_lies_on_the_floor(spec):
    log_mels = audio.log_mel(np.zeros(3000, np.float32), spec)
    np.testing.assert_allclose(log_mels, spec.log_floor, rtol=1e-6)
    assert not audio.active_frames(log_mels, spec).any()


@pytest.mark.parametrize("hz", [200, 1000, 3000])
@each_spec
def test_a_tone_sounds_in_the_band_that_holds_it(spec, hz):
    log_mels = audio.log_mel(tone(hz, 4000, spec.sample_rate_hz), spec)
    edges = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin_hz, fmax=spec.fmax_hz)
    band = np.argmax(log_mels[3:-3].mean(axis=0))
    half_bin_hz = spec.sample_rate_hz / spec.n_fft / 2
    assert edges[band] - half_bin_hz <= hz <= edges[band + 2] + half_bin_hz


@laws
@given(
    samples=st.integers(1, 2500),
    cuts=st.lists(st.integers(0, 2500), max_size=8),
    gain=st.floats(0.1, 10),
    spec=st.sampled_from([SMALL, SPECS["short window"]]),
)
def test_a_spectrogram_made_in_parts_is_that_of_the_whole(samples, cuts, gain, spec):
    y = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    found = np.concatenate(list(audio.stft_stream(parts_of(y, cuts), spec, gain)))
    np.testing.assert_allclose(found, audio.stft(np.float32(gain) * y, spec), atol=1e-3)


@pytest.mark.parametrize("frames", [1, 7, 50, 1000])
@pytest.mark.parametrize("samples", [1, 4096, 9999])
def test_segments_of_a_file_join_to_its_log_mels(frames, samples, rng):
    y = rng.normal(size=samples).astype(np.float32) * 0.1
    with mock.patch.object(recording, "BLOCK_FRAMES", 1000):
        parts = list(audio.segments(encoded(y, 8000), SMALL, 2.0, frames))
    assert {len(part) for part in parts[:-1]} <= {frames} and 0 < len(parts[-1]) <= frames
    wanted = audio.log_mel(2 * audio.read(encoded(y, 8000), SMALL), SMALL)
    np.testing.assert_allclose(np.concatenate(parts), wanted, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 7, 50])
@pytest.mark.parametrize("samples", [1, 64 * 50 - 1, 64 * 50, 9999])
def test_the_samples_of_segments_are_the_recording_and_each_begins_at_its_first_frame(frames, samples, rng):
    y = rng.normal(size=samples).astype(np.float32) * 0.1
    with mock.patch.object(recording, "BLOCK_FRAMES", 1000):
        with audio.analysis(encoded(y, 8000), SMALL) as (meter, segments_of):
            parts, gain = list(segments_of(frames)), meter.gain()
        alone = list(audio.segments(encoded(y, 8000), SMALL, gain, frames))
    assert all(len(wave) == len(mels) * SMALL.hop_length for mels, wave in parts)
    whole = np.concatenate([wave for _, wave in parts])
    np.testing.assert_allclose(whole[:samples], gain * audio.read(encoded(y, 8000), SMALL), atol=1e-4)
    assert not whole[samples:].any()
    for (mels, _), found in zip(parts, alone, strict=True):
        np.testing.assert_allclose(mels, found, atol=1e-4)


@each_spec
def test_frames_of_a_tone_are_active_and_those_of_the_pause_after_it_are_not(spec):
    half = 40 * spec.hop_length
    y = np.concatenate([tone(500, half, spec.sample_rate_hz), np.zeros(half, np.float32)])
    edge = spec.n_fft // (2 * spec.hop_length) + 1
    for gain in (1, 0.1, 10):
        active = audio.active_frames(audio.log_mel(gain * y, spec), spec)
        assert active[: 40 - edge].all() and not active[40 + edge :].any()


@pytest.mark.parametrize("channels", [1, 2, -2])
@pytest.mark.parametrize("frames", [5, 1000])
def test_an_analysis_decodes_once_what_level_and_segments_decode_twice(channels, frames, monkeypatch):
    y = 0.1 * voice(110.0, 1.3, 8000, seed=0) + 0.2
    y = np.stack([y, np.sign(channels) * y], axis=1) if abs(channels) == 2 else y
    meter, file, calls = audio.measure_level(encoded(y, 8000), SMALL), encoded(y, 8000), []
    expected = list(audio.segments(file, SMALL, meter.gain(), frames, channel=meter.channel))
    whole = meter.gain() * np.concatenate(list(audio.blocks(file, SMALL, channel=meter.channel)))
    blocks = recording.blocks
    monkeypatch.setattr(recording, "blocks", lambda *args, **options: calls.append(1) or blocks(*args, **options))
    with audio.analysis(encoded(y, 8000), SMALL) as (same_meter, segments_of):
        assert same_meter.gain() == meter.gain() and same_meter.notes == meter.notes
        assert (same_meter.samples, same_meter.channel) == (meter.samples, meter.channel)
        decoded = len(calls)
        segments = list(segments_of(frames))
        for (log_mels, _), log_mels_0 in zip(segments, expected, strict=True):
            np.testing.assert_allclose(log_mels, log_mels_0, atol=1e-4)
        samples = np.concatenate([samples for _, samples in segments])
        np.testing.assert_allclose(samples[: len(whole)], whole, rtol=1e-6)
        assert not samples[len(whole) :].any() and len(calls) == decoded
    assert decoded == (2 if channels == -2 else 1)
