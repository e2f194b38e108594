"""The vocoder: what its parts say, what they cost, and that a file is converted with it as a whole or in parts."""

import contextlib
import dataclasses
import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from testbed import SMALL, train, voice

from models import layers, spectral
from models.features import audio, inversion
from models.losses import waveform
from models.networks import vocoder as vocoder_networks
from pipelines import config
from pipelines.data import dataset, input_pipeline, source_features
from pipelines.evaluation import translation_quality
from pipelines.inference import exported_model, file_translator
from pipelines.training import round_trip_mels
from plugins import vocoder

FRAMES = 24
SCALES = waveform.resolutions(SMALL)
TERMS = {
    "mel": lambda x, y: waveform.mel(x, y, SMALL),
    "stft": lambda x, y: waveform.multi_resolution_stft(x, y, SCALES),
    "said": lambda x, y: waveform.said(x, spectral.stft(y, SMALL), SMALL),
}
each_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)


@pytest.fixture(scope="module")
def speech():
    """Waveforms `[2, samples]` of whole frames."""
    samples = (FRAMES - 1) * SMALL.hop_length
    return tf.constant(np.stack([voice(hz, 1.0, 8000, 0)[:samples] for hz in (110.0, 220.0)]))


# ------------------------------------------------------------------ from frames to a waveform


def test_what_is_said_is_heard_by_one_inverse_transform(rng):
    said = tf.complex(*(tf.constant(rng.normal(size=(2, FRAMES, 129)), tf.float32) for _ in range(2)))
    made = vocoder_networks.waveform(said, tf.zeros([2, FRAMES, 32]), SMALL, projections=0)
    np.testing.assert_array_equal(made, spectral.istft(said, SMALL))
    assert made.shape == (2, (FRAMES - 1) * SMALL.hop_length)


def test_frames_have_the_phases_and_magnitudes_that_the_network_says(speech, rng):
    log_mels = spectral.log_mel(speech, SMALL)
    said = tf.constant(0.3 * rng.normal(size=(2, FRAMES, 2 * 129)), tf.float32)
    found = vocoder_networks.frames(said, log_mels, SMALL)
    silent = vocoder_networks.frames(tf.zeros_like(said), log_mels, SMALL)
    np.testing.assert_allclose(tf.math.angle(found), said[..., 129:], atol=1e-4)
    np.testing.assert_allclose(tf.math.log(tf.abs(found) / tf.abs(silent)), said[..., :129], atol=1e-4)


def test_a_network_that_says_nothing_has_the_magnitudes_of_the_mels(speech):
    log_mels = spectral.log_mel(speech, SMALL)
    found = tf.abs(vocoder_networks.frames(tf.zeros([2, FRAMES, 2 * 129]), log_mels, SMALL))
    again = tf.math.log(tf.maximum(found @ audio.mel_matrix(SMALL).T, SMALL.floor))
    assert np.mean(np.abs(again - log_mels)) < 0.05


def test_no_bin_is_louder_than_any_recording_could_be():
    shout = vocoder_networks.frames(tf.fill([1, 4, 2 * 129], 99.0), tf.zeros([1, 4, 32]), SMALL)
    assert np.abs(shout).max() <= SMALL.n_fft * 1.001


def test_projections_bring_a_waveform_to_its_mels_and_leave_one_that_has_them(speech, rng):
    log_mels, true = spectral.log_mel(speech, SMALL), spectral.stft(speech, SMALL)
    again = vocoder_networks.waveform(true, log_mels, SMALL, projections=3)
    inside = slice(SMALL.hop_length, -SMALL.hop_length)  # the recording begins with a leap, which mels do not hold
    assert apart(again, log_mels) < 0.02 and np.max(np.abs(again - speech)[:, inside]) < 0.02
    phase = tf.constant(rng.uniform(-np.pi, np.pi, true.shape), tf.float32)
    said = tf.cast(tf.abs(true), tf.complex64) * tf.exp(tf.complex(0.0, phase))
    found = [apart(vocoder_networks.waveform(said, log_mels, SMALL, projections=n), log_mels) for n in (0, 4, 16)]
    assert found[0] > 2 * found[1] > 3 * found[2]


def apart(waveforms, log_mels):
    """Mean absolute difference of their log-mels from those."""
    return float(np.mean(np.abs(spectral.log_mel(waveforms, SMALL) - log_mels)))


def test_projections_leave_silence_silent(rng):
    floor = tf.fill([1, FRAMES, 32], SMALL.log_floor)
    said = tf.complex(*(tf.constant(1e-5 * rng.normal(size=(1, FRAMES, 129)), tf.float32) for _ in range(2)))
    made = vocoder_networks.waveform(said, floor, SMALL, projections=8)
    assert np.abs(made).max() < 1e-4 and np.isfinite(made).all()


# ------------------------------------------------------------------ losses


@each_term
def test_a_perfect_waveform_costs_nothing(term, speech):
    assert np.max(np.abs(term(speech, speech))) < 1e-4


@each_term
def test_what_is_further_away_costs_more_and_each_example_counts_for_itself(term, speech, rng):
    noise = tf.constant(rng.normal(size=speech.shape), tf.float32)
    costs = [term(speech, speech + level * noise).numpy() for level in (0.001, 0.01, 0.1)]
    assert (costs[0] < costs[1]).all() and (costs[1] < costs[2]).all()
    one = term(speech[:1], speech[:1] + 0.01 * noise[:1]).numpy()
    np.testing.assert_allclose(one[0], costs[1][0], rtol=1e-4)


@each_term
def test_slopes_are_finite_where_all_is_silent(term):
    y = tf.Variable(tf.zeros([1, 20 * SMALL.hop_length]))
    with tf.GradientTape() as tape:
        cost = term(tf.zeros_like(y), y)
    assert np.isfinite(tape.gradient(cost, y)).all() and np.isfinite(cost).all()


def test_resolutions_are_half_once_and_twice_the_front_ends():
    assert [(s.n_fft, s.win_length, s.hop_length) for s in SCALES] == [(128, 128, 32), (256, 256, 64), (512, 512, 128)]


def test_features_that_are_equal_match():
    x = [tf.ones([2, 3]), tf.zeros([2, 4, 5])]
    np.testing.assert_array_equal(waveform.feature_matching(x, x), [0, 0])
    np.testing.assert_array_equal(waveform.feature_matching(x, [tf.zeros([2, 3]), x[1]]), [0.5, 0.5])


# ------------------------------------------------------------------ discriminators


@pytest.mark.parametrize("samples", [1, 29, 30, 31, 1001])
@pytest.mark.parametrize("period", [2, 7])
def test_periods_are_seen_at_any_length(period, samples):
    judge = vocoder_networks.period_discriminator(period, channels=2)
    judged = judge(tf.ones([2, samples]))
    assert judged.shape[0] == 2 and judged.shape[2:] == (period, 1) and np.isfinite(judged).all()
    assert len(layers.tapped(judge)(tf.ones([2, samples]))) == 5


def test_a_period_puts_samples_that_far_apart_into_one_column():
    folded = vocoder_networks.Folded(3)(tf.range(8.0)[None])[0, ..., 0]
    np.testing.assert_array_equal(folded, [[0, 1, 2], [3, 4, 5], [6, 7, 0]])


@pytest.mark.parametrize("samples", [1, 640, 1001])
def test_spectra_are_seen_at_any_length(samples):
    judge = vocoder_networks.resolution_discriminator(SMALL, channels=2)
    judged = judge(tf.ones([2, samples]))
    assert judged.shape[:2] == (2, SMALL.frames(samples)) and np.isfinite(judged).all()


# ------------------------------------------------------------------ the plugin


def test_without_weight_there_are_no_discriminators(waveform_records, monkeypatch):
    data = dataset.open_records(waveform_records)
    spec = data.spec
    sizes = {"channels": 8, "blocks": 1, "critic_channels": 2, "crop_frames": 16}
    alone = vocoder.Vocoder(vocoder.Config(**sizes, adversarial=0.0, mel=0.0, magnitude=1.0), spec)
    judged = vocoder.Vocoder(vocoder.Config(**sizes, adversarial=1.0), spec)
    assert len(alone.networks()) == 1 and len(alone.players()) == 1
    assert len(judged.players()) == 1 + 5 + 3
    monkeypatch.setattr(vocoder_networks, "waveform", None)  # nor is a waveform made that no term asks for
    batch = next(iter(input_pipeline.batches(data, vocoder.Vocoder, alone.config, batch_size=2)))
    assert set(alone.eval_step(batch, 2)) == {"magnitude"}


@pytest.mark.parametrize("changes", [{"kernel": 4}, {"periods": 6}, {"augment": True}, {"crop_frames": 1}])
def test_configurations_that_mean_nothing_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        vocoder.Config(**changes)


def test_records_without_waveforms_are_refused_with_what_to_do(speech_records, tmp_path):
    with pytest.raises(ValueError, match="has no waveforms; run preprocess with --keep_waveforms"):
        train(str(tmp_path / "run"), speech_records, "vocoder")


# ------------------------------------------------------------------ a translator's own outputs


def test_mels_may_be_those_of_a_translator_there_and_back(waveform_records, speech_run, tmp_path):
    data = dataset.open_records(waveform_records)
    shown = round_trip_mels.with_round_trip_mels(data, vocoder.Config(mels_from=speech_run))
    model, small = exported_model.Model(speech_run), vocoder.Config(crop_frames=16, adversarial=0.0)
    assert shown.imitate.margin == 2 * model.context
    pair = [next(iter(input_pipeline.batches(each, vocoder.Vocoder, small, batch_size=2))) for each in (data, shown)]
    np.testing.assert_array_equal(pair[0]["waveform"], pair[1]["waveform"])
    source, log_mels = next(source_features.read_sources(data, "train", "low"))
    margin = np.pad(log_mels, ((shown.imitate.margin,) * 2, (0, 0)), constant_values=SMALL.log_floor)
    there = model.call("translate_ab", features=margin[None])
    back = model.call("translate_ba", features=there)[0, shown.imitate.margin :][: len(log_mels)]
    np.testing.assert_allclose(shown.imitate(tf.constant(margin), tf.constant(0), tf.constant(4)), back, atol=1e-5)
    with pytest.raises(ValueError, match="nowhere is no run"):
        train(str(tmp_path / "run"), waveform_records, "vocoder", mels_from="nowhere")


def test_a_run_that_does_not_know_a_domain_is_refused(waveform_records, speech_run):
    spec = dataclasses.replace(dataset.open_records(waveform_records).spec, domains=("lowest",))
    with pytest.raises(ValueError, match="the model has no domain lowest; did you mean low?"):
        round_trip_mels.RoundTrip(speech_run, spec)


# ------------------------------------------------------------------ files


@pytest.fixture(scope="module")
def vocoder_run(waveform_records, tmp_path_factory):
    """A run of `vocoder`, two steps long, exported."""
    run_dir = str(tmp_path_factory.mktemp("vocoder"))
    train(run_dir, waveform_records, "vocoder", projections=1).fit()
    return run_dir


@pytest.fixture(scope="module")
def converter(speech_run, vocoder_run):
    return file_translator.Converter(file_translator.Conversion(speech_run, "high", inverter=f"vocoder:{vocoder_run}"))


def converted(converter, recordings):
    """What becomes of recordings that are given together."""
    results = [io.BytesIO() for _ in recordings]
    items = []
    for y, result in zip(recordings, results, strict=True):
        soundfile.write(file := io.BytesIO(), y, 8000, format="WAV", subtype="FLOAT")
        items.append(file_translator.Item(file, lambda result=result: contextlib.nullcontext(result)))
    assert all(isinstance(outcome, dict) for outcome in converter.convert(items))
    return [soundfile.read(io.BytesIO(result.getvalue()))[0] for result in results]


def test_a_long_recording_in_chunks_is_vocoded_as_the_whole(converter, monkeypatch):
    y, found = voice(110.0, 6.0, 8000, 3), []
    for chunk in (4096, 100):
        monkeypatch.setattr(inversion, "CHUNK_FRAMES", chunk)
        found += converted(converter, [y])
    assert len(found[0]) == len(found[1]) == len(y)
    np.testing.assert_allclose(found[1], found[0], atol=2**-14)


def test_recordings_keep_length_and_level_and_silence_whatever_is_beside_them(converter):
    recordings = [voice(110.0, seconds, 8000, 1) for seconds in (0.1, 0.45, 0.9)] + [np.zeros(3000, np.float32)]
    together = converted(converter, recordings)
    (alone,) = converted(converter, recordings[1:2])
    np.testing.assert_allclose(together[1], alone, atol=2**-14)
    assert [len(y) for y in together] == [len(y) for y in recordings]
    assert not together[3].any() and max(np.abs(y).max() for y in together) <= 1
    levels = [audio.active_power(audio.block_powers(y, 8000)) for pair in (recordings, together) for y in pair[1:3]]
    np.testing.assert_allclose(levels[2:], levels[:2], rtol=0.05)


def test_a_recording_is_converted_alike_whatever_its_offset_scale_and_channels_and_what_was_odd_is_said(converter):
    y = voice(110.0, 0.9, 8000, 1)
    plain, offset, scaled, inverted = y, y + 0.3, y * 20000, np.stack([y, -y], 1)
    wanted, *others = converted(converter, [plain, offset, scaled, inverted])
    level = audio.active_power(audio.block_powers(wanted, 8000))
    assert level == pytest.approx(audio.active_power(audio.block_powers(y, 8000)), rel=0.05)
    for n, made in enumerate(others):
        scale = 20000 / 32768 if n == 1 else 1
        np.testing.assert_allclose(made, wanted * scale, atol=5e-3)


def test_what_is_odd_about_a_recording_is_said_of_its_conversion(converter):
    y, items = voice(110.0, 0.5, 8000, 1), []
    for samples in (y, np.stack([y, -y], 1), y * 30000):
        soundfile.write(file := io.BytesIO(), samples, 8000, format="WAV", subtype="FLOAT")
        items.append(file_translator.Item(file, lambda: contextlib.nullcontext(io.BytesIO())))
    plain, inverted, scaled = converter.convert(items)
    assert "notes" not in plain
    assert inverted["notes"] == ["channels cancel out when averaged: channel 1 is used"]
    assert len(scaled["notes"]) == 1 and scaled["notes"][0].endswith("read as 16-bit integers")


def test_a_run_that_is_no_vocoder_is_refused(converter, speech_run):
    with pytest.raises(ValueError, match="--inverter=vocoder:.*: plugin cyclegan has no signature vocode"):
        converter._inverter(f"vocoder:{speech_run}")


def test_another_front_end_is_refused_and_what_is_different_said():
    with pytest.raises(ValueError, match=r"vocoder:run: the run has another front end .*: n_mels: 32 -> 40$"):
        config.check_same_front_end("--inverter=vocoder:run", SMALL, dataclasses.replace(SMALL, n_mels=40))


def test_a_vocoder_gives_a_recording_of_the_same_length(vocoder_run, speech):
    made = exported_model.Model(vocoder_run).vocoded(list(spectral.log_mel(speech, SMALL).numpy()))
    assert np.shape(made) == speech.shape and np.isfinite(made).all()


def test_the_report_holds_a_vocoder_against_the_other_inverters(vocoder_run, waveform_records):
    found = {}
    (section,) = translation_quality.Evaluator(vocoder_run, waveform_records).remade(found)
    rows = [f"{domain}, {way}" for domain in ("low", "high") for way in ("griffin_lim", "source_phase", "vocoder")]
    table = found["copy_synthesis"]
    assert [row[0] for row in section.table] == list(table) == rows
    lsd = [table[row]["lsd_db"] for row in rows]
    assert lsd[2] > max(lsd[:2]) and lsd[5] > max(lsd[3:5])  # this one has learnt nothing yet


def test_an_evaluation_hears_through_the_vocoder_that_it_is_given(speech_run, vocoder_run, waveform_records):
    plain, vocoded = (
        translation_quality.Evaluator(speech_run, waveform_records, inverter)
        for inverter in ("griffin_lim", f"vocoder:{vocoder_run}")
    )
    example = plain.test["low"][0]
    (heard,), (again,) = plain.heard([example]), vocoded.heard([example])
    (alone,) = exported_model.Model(vocoder_run).vocoded([example.features])
    np.testing.assert_allclose(again.waveform / np.abs(again.waveform).max(), alone / np.abs(alone).max(), atol=1e-5)
    assert np.abs(heard.waveform - again.waveform).max() > 0.01
    with pytest.raises(ValueError, match="have no source"):
        translation_quality.Evaluator(speech_run, waveform_records, "source_phase")
