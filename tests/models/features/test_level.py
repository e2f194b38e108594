"""What does not count as level: offsets, rumble, units of integers, channels that cancel."""

import io

import numpy as np
import preprocessing
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from testbed import SMALL, SPECS, each_spec, laws, voice

from models import spectral
from models.features import audio, pitch, recording
from models.features.highpass import decimation, highpass
from pipelines.export import waveform_signatures

SPEECH = voice(110, 2.0, 8000, 0)
INTEGERS = [(8, 100.0), (16, 9830.0), (16, 32768.0), (24, 2.0**22), (32, 2.0**31)]


def file_of(y, rate_hz=8000, subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, y, rate_hz, format="WAV", subtype=subtype)
    return file


def filtered(y, rate_hz=8000):
    return np.concatenate(list(highpass([y], rate_hz)))


def mels(y):
    file = file_of(y)
    meter = audio.measure_level(file, SMALL)
    return np.concatenate(list(audio.segments(file, SMALL, meter.gain(), 1000, channel=meter.channel)))


# ------------------------------------------------------------------ offset and rumble


@each_spec
@pytest.mark.parametrize(
    ("hz", "least", "most"), [(1, 0.0, 0.01), (5, 0.0, 0.01), (12, 0.0, 0.01), (20, 0.99, 1.01), (40, 0.99, 1.01)]
)
def test_what_is_below_hearing_is_taken_out_and_nothing_above(spec, hz, least, most):
    rate_hz = spec.sample_rate_hz
    y = np.sin(2 * np.pi * hz * np.arange(2 * rate_hz) / rate_hz)
    inside = slice(rate_hz // 4, -(rate_hz // 4))
    assert least <= np.std(filtered(y, rate_hz)[inside]) / np.std(y[inside]) <= most


@each_spec
def test_a_tone_at_the_low_rate_leaves_hardly_anything_below_hearing(spec):
    rate_hz = spec.sample_rate_hz
    hz = rate_hz / decimation(rate_hz) - 15
    y = np.sin(2 * np.pi * hz * np.arange(2 * rate_hz) / rate_hz)
    added = (filtered(y, rate_hz) - y)[rate_hz // 4 : -(rate_hz // 4)]
    assert 20 * np.log10(np.std(added) / np.std(y)) < -59


@laws
@given(
    samples=st.integers(1, 6000),
    cuts=st.lists(st.integers(0, 6000), max_size=6),
    spec=st.sampled_from(list(SPECS.values())),
)
def test_filtered_in_parts_a_recording_is_the_filtered_whole_and_the_twins(samples, cuts, spec):
    y = (np.random.default_rng(samples).normal(size=samples) + 0.3).astype(np.float32)
    whole = filtered(y, spec.sample_rate_hz)
    parts = np.split(y, sorted(cut % (samples + 1) for cut in cuts))
    assert len(whole) == samples
    np.testing.assert_allclose(np.concatenate(list(highpass(parts, spec.sample_rate_hz))), whole, atol=1e-6)
    both = spectral.highpass(np.stack([y, 0 * y + 0.3]), spec)
    np.testing.assert_allclose(both[0], whole, atol=1e-5)
    assert not np.any(both[1])


@pytest.mark.parametrize("value", [0.0, 0.3, -1.0])
@pytest.mark.parametrize("samples", [1, 100, 8000, 200000])
def test_a_constant_is_silence(value, samples):
    meter = audio.measure_level(file_of(np.full(samples, value)), SMALL)
    assert (meter.samples, meter.peak, meter.power(), meter.gain()) == (samples, 0, 0, 1)


@pytest.mark.parametrize("below", [0.3, -0.9, lambda t: 0.05 * np.sin(2 * np.pi * 8 * t), lambda t: 0.05 * t])
def test_an_offset_changes_neither_level_nor_features(below):
    t = np.arange(len(SPEECH)) / 8000
    plain = audio.measure_level(file_of(0.1 * SPEECH), SMALL)
    odd = 0.1 * SPEECH + (below(t) if callable(below) else below)
    found = audio.measure_level(file_of(odd), SMALL)
    assert found.gain() == pytest.approx(plain.gain(), rel=0.03) and found.power() == pytest.approx(
        plain.power(), rel=0.06
    )
    inside = slice(8, -8)  # of frames: at its ends a wave is reflected
    sounds = mels(0.1 * SPEECH)[inside] > -5
    np.testing.assert_allclose(mels(odd)[inside][sounds], mels(0.1 * SPEECH)[inside][sounds], atol=0.2)


@each_spec
def test_analysed_in_the_graph_an_offset_counts_as_little(spec):
    y = voice(110, 0.5, spec.sample_rate_hz, 0)
    analyse = waveform_signatures.analyse(spec)
    plain, odd = analyse(y[None]), analyse(y[None] + 0.3)
    np.testing.assert_allclose(odd["gain"], plain["gain"], rtol=1e-4)
    np.testing.assert_allclose(odd["features"], plain["features"], atol=0.02)


def test_a_recording_begun_in_mid_wave_gains_no_bump():
    y = 0.5 * np.cos(2 * np.pi * 110 * np.arange(1600) / 8000)
    assert np.sum(filtered(y) ** 2) == pytest.approx(np.sum(y**2), rel=0.01)


# ------------------------------------------------------------------ scale


@pytest.mark.parametrize(("bits", "peak"), INTEGERS)
def test_floats_in_units_of_integers_are_scaled_and_it_is_said(bits, peak):
    unit = SPEECH / np.abs(SPEECH).max()
    found = audio.measure_level(file_of(peak * unit), SMALL)
    wanted = audio.measure_level(file_of(peak / 2 ** (bits - 1) * unit), SMALL)
    assert found.power() == pytest.approx(wanted.power(), rel=1e-4)
    assert found.peak == pytest.approx(wanted.peak, rel=1e-4)
    assert found.gain() * 2 ** (bits - 1) == pytest.approx(wanted.gain(), rel=1e-4)
    assert found.notes == (f"float samples reach {peak:.0f}: read as {bits}-bit integers",) and not wanted.notes


def test_floats_of_no_integers_are_scaled_to_full_scale():
    unit = np.float64(SPEECH) / np.abs(SPEECH).max()
    found = audio.measure_level(file_of(1e12 * unit), SMALL)
    assert 0.1 < found.peak <= 1 and "scaled down" in found.notes[0]
    with pytest.raises(ValueError, match="holds samples of .*damaged"):
        audio.measure_level(file_of(1e16 * unit), SMALL)


@pytest.mark.parametrize("peak", [0.01, 1.0, 1.5, 7.9])
def test_floats_a_little_above_one_stay_as_they_are(peak):
    unit = SPEECH / np.abs(SPEECH).max()
    found = audio.measure_level(file_of(peak * unit), SMALL)
    assert found.peak == pytest.approx(peak, rel=0.1) and not found.notes


@pytest.mark.parametrize(("factor", "said"), [(1e-5, "too quiet"), (0.0, "nothing sounds"), (1e-2, "")])
def test_what_no_gain_brings_to_its_level_is_named(factor, said):
    notes = audio.measure_level(file_of(factor * SPEECH + 0.1), SMALL).notes
    assert len(notes) == bool(said) and said in "".join(notes)


# ------------------------------------------------------------------ channels


@pytest.mark.parametrize("others", [[-1.0], [-0.8], [-1.0, 0.0], [-1.1, 0.05]], ids=str)
def test_of_channels_that_cancel_the_loudest_is_taken_and_it_is_said(others, rng):
    y = np.stack([SPEECH * factor for factor in (1.0, *others)], 1) + 0.2  # and an offset that does not cancel
    file = file_of(y + 1e-4 * rng.normal(size=y.shape))
    meter, loudest = audio.measure_level(file, SMALL), int(np.argmax(np.abs([1.0, *others])))
    assert meter.channel == loudest
    assert meter.notes == (f"channels cancel out when averaged: channel {loudest + 1} is used",)
    assert meter.power() == pytest.approx(audio.measure_level(file_of(y[:, loudest]), SMALL).power(), rel=0.01)
    found = np.concatenate(list(audio.segments(file, SMALL, meter.gain(), 1000, channel=meter.channel)))
    sounds = mels(SPEECH) > -5
    np.testing.assert_allclose(found[sounds], mels(SPEECH)[sounds], atol=0.2)


def test_channels_that_do_not_cancel_are_averaged(rng):
    noise = rng.normal(size=len(SPEECH)) * 0.05
    for stereo in ([SPEECH, SPEECH], [SPEECH, 0 * SPEECH], [SPEECH, noise], [SPEECH + noise, noise - 0.3 * SPEECH]):
        meter = audio.measure_level(file_of(np.stack(stereo, 1)), SMALL)
        assert (meter.channel, meter.notes) == (-1, ())


@pytest.mark.parametrize("part", [slice(0, 0.5), slice(0.4, 0.8)], ids=str)
def test_of_channels_that_cancel_in_a_part_of_the_recording_no_part_is_lost(part):
    sign = np.ones(len(SPEECH))
    sign[int(part.start * len(sign)) : int(part.stop * len(sign))] = -1
    file = file_of(np.stack([SPEECH, 0.9 * sign * SPEECH], 1))
    meter = audio.measure_level(file, SMALL)
    assert meter.channel == 0 and "cancel" in meter.notes[0]
    found = np.concatenate(list(audio.segments(file, SMALL, meter.gain(), 1000, channel=meter.channel)))
    np.testing.assert_allclose(found, mels(SPEECH), atol=0.05)


def test_an_ordinary_file_is_read_once_and_an_odd_one_twice(monkeypatch):
    calls, blocks = [], recording.blocks
    monkeypatch.setattr(recording, "blocks", lambda *args, **given: calls.append(given) or blocks(*args, **given))
    audio.measure_level(file_of(np.stack([SPEECH, SPEECH], 1)), SMALL)
    assert len(calls) == 1
    audio.measure_level(file_of(np.stack([SPEECH, -SPEECH], 1)), SMALL)
    assert len(calls) == 3


def test_the_manifest_holds_channel_and_notes_and_its_examples_are_of_that_channel():
    names, row = [], {"id": "a/y.wav", "path": "/x/y.wav", "domain": "a", "split": "train"}
    for y in (np.stack([SPEECH, -SPEECH], 1), SPEECH):
        file = file_of(y)
        ((source, moments, examples),) = preprocessing.survey_file(file, row, SMALL, (0.1, 0.1), waveforms=True)
        names.append((source.channel, len(source.notes), moments.mean, examples))
    assert [row[:2] for row in names] == [(0, 1), (-1, 0)]
    np.testing.assert_allclose(names[0][2], names[1][2])
    assert names[0][3] == names[1][3]


def test_the_pitch_is_that_of_the_channel():
    file = file_of(np.stack([SPEECH, -SPEECH], 1))
    assert pitch.log_f0_moments(file, 8000, channel=0).mean == pytest.approx(
        pitch.log_f0_moments(file_of(SPEECH), 8000).mean
    )


# ------------------------------------------------------------------ spans


@pytest.mark.parametrize("span", [(0, None), (0, 5000), (3000, 9000), (12345, None), (0, 10**6)])
def test_a_span_of_a_recording_is_analysed_as_a_recording_of_its_own(span):
    file, wanted = file_of(SPEECH), filtered(SPEECH)[slice(*span)]
    found = np.concatenate(list(audio.segments(file, SMALL, 2.0, 7, span=span)))
    np.testing.assert_allclose(found, audio.log_mel(2 * wanted, SMALL), atol=1e-4)
    with audio.analysis(file, SMALL) as (meter, segments_of):
        wanted = meter.gain() * wanted
        log_mels, samples = map(np.concatenate, zip(*segments_of(7, span), strict=True))
    np.testing.assert_allclose(log_mels, audio.log_mel(wanted, SMALL), atol=1e-4)
    np.testing.assert_allclose(samples[: len(wanted)], wanted, atol=1e-5)
