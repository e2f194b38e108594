"""Folders through an exported model."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil

import numpy as np
import PIL.Image
import pytest
import soundfile
import store
from absl import flags
from hypothesis import given
from hypothesis import strategies as st
from testbed import DATAFLOW, HANG, VOICES_HZ, laws, poison, poisoned_environment, script, voice, write_pictures

from models.features import audio, f0_tracking, inversion, recording, stats
from pipelines import config, isolation
from pipelines import translate as translate_script
from pipelines.beam import filesystem, rows
from pipelines.data import fingerprint, part_names
from pipelines.data.file_table import FileEntry
from pipelines.data.ignored_files import TRANSLATIONS
from pipelines.inference import exported_model, file_translator, result_formats, speech_translator
from pipelines.jobs import translate_folder, translate_job, translation_plan
from pipelines.jobs.foreign_files import FAILURES

RATE_HZ = 8000


def translate(run_dir, folder, out, target="high", **options):
    return translate_folder.translate(
        run_dir=run_dir, pattern=str(folder), output_dir=str(out), target=target, **options
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def odd_folder(tmp_path):
    """What people really have in their folders, good and bad."""
    folder = tmp_path / "odd"
    (folder / "deeper").mkdir(parents=True)
    y = voice(110.0, 0.8, RATE_HZ, seed=3)
    soundfile.write(folder / "naïve café.wav", y, RATE_HZ)
    stereo = np.stack([voice(110.0, 0.5, 44100, seed=4)] * 2, axis=1)
    soundfile.write(folder / "deeper" / "stereo.wav", stereo, 44100, subtype="PCM_24")
    soundfile.write(folder / "short.wav", y[2000:2160], RATE_HZ)
    soundfile.write(folder / "zeros.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(folder / "same.flac", y, RATE_HZ)
    soundfile.write(folder / "same.wav", y, RATE_HZ)
    (folder / "text.wav").write_text("not a recording")
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "cut.flac", np.random.default_rng(0).normal(size=20000) * 0.1, RATE_HZ)
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(("form", "suffix"), [("zip", ".zip"), ("gztar", ".tar.gz")])
def test_an_archive_is_translated_as_the_folder_in_it(speech_run, odd_folder, tmp_path, form, suffix):
    archive = shutil.make_archive(str(tmp_path / "odd"), form, odd_folder)
    assert archive.endswith(suffix)
    for source, out in ((odd_folder, "a"), (archive, "b"), (f"{tmp_path}/*{suffix}", "c")):
        assert translate(speech_run, source, tmp_path / out) == {"translations": 6, "failures": 3, "reused": 0}
    files = {
        out: {str(p.relative_to(tmp_path / out)): p.read_bytes() for p in (tmp_path / out).rglob("*.wav")}
        for out in "abc"
    }
    assert files["a"] == files["b"] == {name.removeprefix(f"odd{suffix}/"): file for name, file in files["c"].items()}
    assert {row["path"] for row in lines(tmp_path / "b" / "failures.jsonl")} == {
        f"{archive}/{name}" for name in ("text.wav", "empty.wav", "cut.flac")
    }
    assert translate(speech_run, archive, tmp_path / "b")["reused"] == 6


def test_good_files_are_converted_and_bad_ones_named(speech_run, odd_folder, tmp_path):
    out = tmp_path / "out"
    assert translate(speech_run, odd_folder, out) == {"translations": 6, "failures": 3, "reused": 0}
    failures = {row["path"].rpartition("/")[2]: row["reason"] for row in lines(out / "failures.jsonl")}
    assert set(failures) == {"text.wav", "empty.wav", "cut.flac"} and all(failures.values())
    rows = {row["path"].removeprefix(f"{odd_folder}/"): row for row in lines(out / "translations.jsonl")}
    assert rows["deeper/stereo.wav"]["output"] == "deeper/stereo.wav"
    assert [rows[name]["output"] for name in ("same.wav", "same.flac")] == ["same.wav", "same.flac.wav"]
    for name, row in rows.items():
        source = recording.read(str(odd_folder / name), RATE_HZ)
        made, rate_hz = soundfile.read(out / row["output"])
        assert rate_hz == RATE_HZ and len(made) == len(source)
        assert np.isfinite(made).all() and np.abs(made).max() <= 1
        levels = [10 * np.log10(audio.active_power(audio.block_powers(y, RATE_HZ)) + 1e-9) for y in (source, made)]
        assert abs(levels[0] - levels[1]) < 3, name
    assert not soundfile.read(out / "zeros.wav")[0].any()


@pytest.mark.parametrize("name", ["000.wav", "translations.jsonl", "failures.jsonl"])
def test_a_file_that_no_translate_wrote_is_not_replaced(speech_run, tmp_path, name):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "000.wav", voice(110.0, 0.5, RATE_HZ, seed=0), RATE_HZ)
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("somebody's")
    with pytest.raises(ValueError, match=f"{name} exists and was not written by translate"):
        translate(speech_run, tmp_path / "in", out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {name: "somebody's"}
    (out / name).unlink()
    for _ in range(2):  # results of an earlier command are replaced
        assert translate(speech_run, tmp_path / "in", out)["translations"] == 1
    with (
        filesystem.folder_lock("output_dir", str(out)),
        pytest.raises(ValueError, match="another command is writing there"),
    ):
        translate(speech_run, tmp_path / "in", out)


def test_results_of_an_attempt_that_did_not_end_are_replaced(speech_run, tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "000.wav", voice(110.0, 0.5, RATE_HZ, seed=0), RATE_HZ)
    translate(speech_run, tmp_path / "in", tmp_path / "out", inverter="source_phase")
    (tmp_path / "out" / TRANSLATIONS).unlink()
    rows.write_ownership(str(tmp_path / "out"), [])
    assert translate(speech_run, tmp_path / "in", tmp_path / "out") == {"translations": 1, "failures": 0, "reused": 0}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.wav", FAILURES, TRANSLATIONS]


@pytest.fixture(scope="module")
def converted(speech_run):
    """A function of samples and their rate: what they become, or why not."""
    converter = file_translator.FileTranslator(file_translator.TranslationOptions(speech_run, "high"))

    def convert(samples, rate_hz):
        made = io.BytesIO()
        held = file_translator.Item(_wav(samples, rate_hz), lambda: contextlib.nullcontext(made))
        (outcome,) = converter.translate_files([held])
        made.seek(0)
        return outcome if isinstance(outcome, Exception) else soundfile.read(made)[0]

    return convert


SOUNDS = {
    "noise": lambda n: np.random.default_rng(0).uniform(-1, 1, n),
    "silence": np.zeros,
    "constant": np.ones,
    "square": lambda n: np.sign(np.sin(0.7 * np.arange(n) + 0.1)),
    "one sample": lambda n: np.float64(np.arange(n) == n // 2),
}


@laws
@given(
    sound=st.sampled_from(sorted(SOUNDS)),
    samples=st.one_of(st.integers(1, 9), st.integers(1, 9000)),
    channels=st.integers(1, 6),
    rate_hz=st.integers(4000, 192000),
)
def test_any_recording_becomes_one_as_long_that_is_not_clipped(converted, sound, samples, channels, rate_hz):
    x = np.stack([SOUNDS[sound](samples)] * channels, axis=1)
    made = converted(x, rate_hz)
    assert len(made) == len(recording.read(_wav(x, rate_hz), RATE_HZ)) == max(1, int(samples * RATE_HZ / rate_hz + 0.5))
    assert np.isfinite(made).all() and np.abs(made).max() <= 1
    assert sound != "silence" or not made.any()


def _wav(samples, rate_hz):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="FLOAT")
    file.seek(0)
    return file


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_recording_with_samples_that_are_no_numbers_is_refused(converted, value):
    x = voice(110.0, 0.5, RATE_HZ, seed=1)
    x[2000] = value
    assert "not a number" in str(converted(x, RATE_HZ))


def test_a_folder_of_nothing_good_says_why(speech_run, tmp_path):
    (tmp_path / "text.wav").write_text("not a recording")
    with pytest.raises(ValueError, match="no file could be translated; the first failure: .*text.wav"):
        translate(speech_run, tmp_path, tmp_path / "out")
    assert len(lines(tmp_path / "out" / "failures.jsonl")) == 1


def test_a_long_recording_in_chunks_equals_the_whole(speech_run, tmp_path, monkeypatch):
    y = np.concatenate([voice(110.0, 2.0, RATE_HZ, seed=n) for n in range(4)])
    soundfile.write(tmp_path / "long.wav", y, RATE_HZ)
    translate(speech_run, tmp_path / "long.wav", tmp_path / "whole")
    monkeypatch.setattr(inversion, "CHUNK_FRAMES", 128)
    translate(speech_run, tmp_path / "long.wav", tmp_path / "chunks")
    spec = exported_model.Model(speech_run).spec.features
    found, wanted = (
        audio.log_mel(np.float32(soundfile.read(tmp_path / name / "long.wav")[0]), spec) for name in ("chunks", "whole")
    )
    sounds = audio.active_frames(wanted, spec)
    assert np.abs(found - wanted)[sounds].mean() < 0.1


def test_a_result_depends_on_its_file_alone(speech_run, tmp_path, monkeypatch):
    monkeypatch.setattr(inversion, "CHUNK_FRAMES", 64)
    for n, seconds in enumerate((0.3, 0.9, 1.5)):
        soundfile.write(tmp_path / f"{n}.wav", voice(110.0, seconds, RATE_HZ, seed=n), RATE_HZ)
    translate(speech_run, tmp_path / "*.wav", tmp_path / "together")
    for n in range(3):
        translate(speech_run, tmp_path / f"{n}.wav", tmp_path / "alone")
        together, alone = ((tmp_path / name / f"{n}.wav").read_bytes() for name in ("together", "alone"))
        assert together == alone


def test_results_that_are_up_to_date_are_left_and_others_made_again(speech_run, tmp_path, monkeypatch):
    # TensorFlow is configured in another way in a child process than here, and gives other last bits
    monkeypatch.setattr(isolation, "start", lambda factory, *arguments, **_: factory(*arguments))
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for n in range(4):
        soundfile.write(source / f"{n}.wav", voice(110.0, 0.4, RATE_HZ, seed=n), RATE_HZ)
    assert translate(speech_run, source, out) == {"translations": 4, "failures": 0, "reused": 0}
    listed, wanted = (out / TRANSLATIONS).read_bytes(), {path.name: path.read_bytes() for path in out.glob("*.wav")}
    written = {path.name: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert translate(speech_run, source, out)["reused"] == 4
    assert (out / TRANSLATIONS).read_bytes() == listed
    (out / "0.wav").unlink()
    soundfile.write(out / "1.wav", np.zeros(100), RATE_HZ)  # somebody's edit, without provenance
    (out / "2.wav").write_bytes(wanted["2.wav"][:500])
    rows.write_ownership(str(out), [])  # as after a job that was killed
    assert translate(speech_run, source, out) == {"translations": 4, "failures": 0, "reused": 1}
    assert {path.name: path.read_bytes() for path in out.glob("*.wav")} == wanted
    assert (out / TRANSLATIONS).read_bytes() == listed
    assert (out / "3.wav").stat().st_mtime_ns == written["3.wav"]
    soundfile.write(source / "3.wav", voice(110.0, 0.4, RATE_HZ, seed=9), RATE_HZ)
    assert translate(speech_run, source, out)["reused"] == 3
    assert translate(speech_run, source, out, reuse=False)["reused"] == 0
    assert translate(speech_run, source, out, inverter="source_phase")["reused"] == 0


def test_another_model_makes_results_anew(speech_run, tmp_path):
    soundfile.write(tmp_path / "0.wav", voice(110.0, 0.4, RATE_HZ, seed=0), RATE_HZ)
    translate(speech_run, tmp_path / "0.wav", tmp_path / "out")
    copy = shutil.copytree(speech_run, tmp_path / "run")
    assert translate(copy, tmp_path / "0.wav", tmp_path / "out")["reused"] == 1, "a copy of the run is the same model"
    index = copy / "export" / "variables" / "variables.index"
    before = index.read_bytes()
    translator = file_translator.FileTranslator(file_translator.TranslationOptions(str(copy), "high"))
    index.write_bytes(before + b"\0")
    assert fingerprint.model_hash(str(copy)) != translator.settings["model"]


@pytest.mark.parametrize("name", ["wav", "flac", "ogg"])
def test_recordings_are_written_in_the_format_that_is_asked_for_with_their_provenance(speech_run, tmp_path, name):
    soundfile.write(tmp_path / "a.mp3", voice(110.0, 0.9, RATE_HZ, seed=0), RATE_HZ, format="MP3")
    for out in ("first", "second"):
        translate(speech_run, tmp_path / "a.mp3", tmp_path / out, file_format=name)
    first, second = (tmp_path / out / f"a.{name}" for out in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    (row,) = lines(tmp_path / "first" / TRANSLATIONS)
    info = soundfile.info(first)
    assert (info.format, info.subtype) == result_formats.SOUND_FORMATS[name] and info.samplerate == RATE_HZ
    with open(first, "rb") as file:
        origin = result_formats.read_provenance(file, "audio")
    assert origin["options"]["target"] == "high" and origin["options"]["inverter"] == "auto: griffin_lim"
    assert (origin["hash"], origin["model"]) == (row["hash"], row["model"]) and len(row["options"]) == 16
    assert translate(speech_run, tmp_path / "a.mp3", tmp_path / "first", file_format=name)["reused"] == 1


@pytest.mark.parametrize("rate_hz", [6000, 22050, 44100])
def test_rate_and_channels_of_the_source_may_be_kept(speech_run, tmp_path, rate_hz):
    left = voice(110.0, 0.777, rate_hz, seed=1)
    stereo = np.stack([left, 0.25 * voice(130.0, 0.777, rate_hz, seed=2), np.zeros(len(left))], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, rate_hz, subtype="FLOAT")
    soundfile.write(tmp_path / "left.wav", left, rate_hz, subtype="FLOAT")
    keep = {"keep_rate": True, "keep_channels": "each", "inverter": "griffin_lim"}
    assert translate(speech_run, tmp_path / "*.wav", tmp_path / "out", **keep)["translations"] == 2
    made, made_rate_hz = soundfile.read(tmp_path / "out" / "a.wav")
    assert made.shape == stereo.shape and made_rate_hz == rate_hz
    assert not made[:, 2].any() and np.abs(made).max() <= 1
    alone = soundfile.read(tmp_path / "out" / "left.wav")[0]
    np.testing.assert_allclose(made[:, 0], alone, atol=2**-14)
    powers = [[audio.active_power(audio.block_powers(y[:, n], rate_hz)) for n in (0, 1)] for y in (stereo, made)]
    assert powers[1][0] / powers[1][1] == pytest.approx(powers[0][0] / powers[0][1], rel=0.2)
    row = next(row for row in lines(tmp_path / "out" / TRANSLATIONS) if row["output"] == "a.wav")
    assert row["sample_rate_hz"] == rate_hz and row["channels"] == 3


@pytest.fixture
def identity(monkeypatch):
    """The model changes nothing, and phases come from the source."""
    monkeypatch.setattr(exported_model.Model, "_translate_function", lambda *_: lambda features: features)
    return {"inverter": "source_phase", "keep_channels": "mid_side"}


@pytest.mark.parametrize("keep_rate", [False, True])
def test_the_middle_is_translated_and_the_side_stays(speech_run, tmp_path, identity, keep_rate):
    rate_hz = 16000
    mid = 0.5 * voice(110.0, 1.2, rate_hz, seed=1)
    side = 0.2 * np.roll(mid, 300) * np.linspace(0, 1, len(mid))
    soundfile.write(tmp_path / "a.wav", np.stack([mid + side, mid - side], axis=1), rate_hz, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", np.stack([mid, mid], axis=1), rate_hz, subtype="FLOAT")
    assert translate(speech_run, tmp_path / "*.wav", tmp_path / "out", keep_rate=keep_rate, **identity)
    translate(speech_run, tmp_path / "b.wav", tmp_path / "mono", keep_rate=keep_rate, inverter="source_phase")
    (wide, made_rate_hz), (narrow, _) = (soundfile.read(tmp_path / "out" / f"{name}.wav") for name in "ab")
    (mono, _) = soundfile.read(tmp_path / "mono" / "b.wav")
    assert made_rate_hz == (rate_hz if keep_rate else RATE_HZ) and wide.shape == narrow.shape == (len(mono), 2)
    np.testing.assert_array_equal(narrow, np.stack([mono, mono], axis=1))
    expected = recording.read(str(tmp_path / "a.wav"), made_rate_hz, channel=recording.SIDE)
    np.testing.assert_allclose((wide[:, 0] - wide[:, 1]) / 2, expected, atol=2e-3)
    np.testing.assert_allclose(wide.mean(axis=1), mono, atol=1e-3)
    with open(tmp_path / "out" / "a.wav", "rb") as file:
        assert result_formats.read_provenance(file, "audio")["options"]["keep_channels"] == "mid_side"


def test_channels_are_translated_each_where_there_is_no_side_to_keep(speech_run, tmp_path, identity):
    y = 0.5 * voice(110.0, 0.6, RATE_HZ, seed=1)
    for name, channels in (("opposite", [y, -y]), ("three", [y, 0.5 * y, y]), ("one", [y])):
        soundfile.write(tmp_path / f"{name}.wav", np.stack(channels, axis=1), RATE_HZ, subtype="FLOAT")
    translate(speech_run, tmp_path / "*.wav", tmp_path / "mid_side", **identity)
    translate(speech_run, tmp_path / "*.wav", tmp_path / "each", **(identity | {"keep_channels": "each"}))
    for name in ("opposite", "three", "one"):
        one, other = (soundfile.read(tmp_path / rule / f"{name}.wav")[0] for rule in ("mid_side", "each"))
        np.testing.assert_array_equal(one, other)


def test_the_phases_of_the_source_may_be_kept(speech_run, speech_folder, tmp_path):
    inputs = speech_folder / "low" / "clip_0[0-3].wav"
    translate(speech_run, inputs, tmp_path / "own", inverter="source_phase")
    translate(speech_run, inputs, tmp_path / "table")
    own, table = (soundfile.read(tmp_path / name / "clip_00.wav")[0] for name in ("own", "table"))
    assert len(own) == len(table) and not np.allclose(own, table, atol=1e-3)


def test_pitch_is_moved_to_the_targets_before_the_model_hears_it(speech_run, speech_folder, tmp_path, monkeypatch):
    of_voices = {name: stats.Moments.of(np.log([[0.93 * f0], [1.07 * f0]])) for name, f0 in VOICES_HZ.items()}
    read = config.spec_from_json
    monkeypatch.setattr(config, "spec_from_json", lambda fields: dataclasses.replace(read(fields), pitch=of_voices))
    monkeypatch.setattr(exported_model.Model, "_translate_function", lambda *_: lambda features: features)
    source = speech_folder / "low" / "clip_01.wav"
    translate(speech_run, source, tmp_path / "out", pitch="mean_variance", inverter="source_phase")
    here, there = (soundfile.read(path)[0] for path in (source, tmp_path / "out" / source.name))
    moved = f0_tracking.track_f0(there, RATE_HZ) / f0_tracking.track_f0(here, RATE_HZ)
    assert len(there) == len(here) and abs(np.nanmedian(moved) / VOICES_HZ["high"] * VOICES_HZ["low"] - 1) < 0.03


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"target": "hihg"}, "did you mean high"),
        ({"target": "high", "source": "high"}, "both high"),
        ({"target": "high", "inverter": "griffin"}, "--inverter=griffin; wanted one of"),
        ({"target": "high", "file_format": "png"}, "--format=png: .*wanted one of wav, flac, ogg"),
        (
            {"target": "high", "image_size": "tiles"},
            "--image_size=tiles: the run was trained on files of",
        ),
        ({"target": "high", "pitch": "mean_variance"}, "records have no pitch of low; preprocess with --pitch"),
    ],
)
def test_what_the_model_cannot_do_is_refused_at_once(speech_run, speech_folder, tmp_path, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        translate(speech_run, speech_folder / "low", tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_translate_says_what_it_can(autoencoder_run, speech_folder, tmp_path):
    with pytest.raises(ValueError, match="plugin ae does not translate; it offers .*encode"):
        translate(autoencoder_run, speech_folder / "low", tmp_path / "out")


def test_a_run_without_export_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a run: it has no config.json"):
        exported_model.Model(str(tmp_path))
    (tmp_path / "config.json").touch()
    with pytest.raises(ValueError, match="no export.* repeat the train command to finish"):
        exported_model.Model(str(tmp_path))


def test_nobodys_recordings_are_overwritten(speech_run, speech_folder, tmp_path):
    shutil.copytree(speech_folder / "low", tmp_path / "in")
    for out, why in (("in", "in/clip_00.wav would be overwritten"), ("in/clip_00.wav", "is a file")):
        with pytest.raises(ValueError, match=why):
            translate(speech_run, tmp_path / "in", tmp_path / out)
    assert sorted(os.listdir(tmp_path / "in")) == sorted(os.listdir(speech_folder / "low"))


def test_archives_are_not_translated_into_the_folder_where_they_are(picture_run, tmp_path):
    write_pictures(tmp_path, 2)
    for name in ("a", "b"):
        shutil.make_archive(tmp_path / "in" / name, "zip", tmp_path / "plain")
    before = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    with pytest.raises(ValueError, match=r"in: a\.zip is an archive there.*wanted another folder"):
        translate(picture_run, tmp_path / "in" / "*.zip", tmp_path / "in", "tinted")
    assert {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()} == before
    done = translate(picture_run, tmp_path / "in" / "a.zip", tmp_path / "in", "tinted")
    assert (done["translations"], done["failures"]) == (2, 0)


def test_files_of_another_kind_are_told_from_none(speech_run, picture_folder, tmp_path):
    with pytest.raises(ValueError, match=r"no audio file, the kind this run was trained on"):
        translate(speech_run, picture_folder / "plain", tmp_path / "out")


def test_a_glob_that_matches_nothing_is_refused(speech_run, tmp_path):
    with pytest.raises(ValueError, match="no file matches"):
        translate(speech_run, tmp_path / "*.wav", tmp_path / "out")


def test_pictures_of_any_size_and_a_bad_one(picture_run, picture_folder, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(picture_folder / "plain", folder)
    PIL.Image.new("L", (50, 31), 128).save(folder / "grey.jpg")
    (folder / "bad.png").write_text("no picture")
    PIL.Image.fromarray(np.float32([[0, 0.5], [1, np.nan]])).save(folder / "odd.tif")
    done = translate(picture_run, folder, tmp_path / "out", target="tinted")
    assert done == {"translations": 18, "failures": 1, "reused": 0}
    said = lines(tmp_path / "out" / "translations.jsonl")
    notes = {os.path.basename(row["path"]): row.get("notes") for row in said}
    assert notes.pop("odd.tif") == ["1 of 4 samples are not a number or infinite: read as black"]
    assert set(notes.values()) == {None}
    with PIL.Image.open(tmp_path / "out" / "grey.png") as made:
        assert made.size == (16, 16) and made.mode == "RGB"


@pytest.mark.parametrize("size", ["residual", "tiles"])
def test_images_may_keep_their_size(picture_run, tmp_path, size, monkeypatch):
    monkeypatch.setattr(exported_model.Model, "_translate_function", lambda *_: lambda pixels: pixels + np.float32(0.2))
    x = np.random.default_rng(0).integers(0, 200, (75, 41, 3)).astype(np.uint8)
    for name, pixels in (("large", x), ("small", x[:9, :12])):
        PIL.Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    translate(picture_run, tmp_path / "*.png", tmp_path / "out", target="tinted", image_size=size, file_format="png")
    for name, pixels in (("large", x), ("small", x[:9, :12])):
        with PIL.Image.open(tmp_path / "out" / f"{name}.png") as made:
            np.testing.assert_allclose(np.float32(made), pixels + 25.5, atol=0.51)


def test_images_are_written_as_jpeg_with_their_provenance(picture_run, picture_folder, tmp_path):
    for expected in (0, 16):
        done = translate(picture_run, picture_folder / "plain", tmp_path / "out", target="tinted", file_format="jpg")
        assert done == {"translations": 16, "failures": 0, "reused": expected}
    with PIL.Image.open(next((tmp_path / "out").glob("*.jpg"))) as made:
        assert made.format == "JPEG" and json.loads(made.info["comment"])["options"]["target"] == "tinted"


def test_a_store_is_not_asked_for_each_result_and_has_what_a_folder_has(
    picture_run, picture_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(part_names, "MAX_LINES", 6)
    inputs = {f"store://bucket/in/{path.name}": path.read_bytes() for path in (picture_folder / "plain").iterdir()}
    monkeypatch.setattr(store, "OBJECTS", dict(inputs))
    requests = []
    monkeypatch.setattr(store.Store, "exists", lambda self, path: requests.append(path) or path in store.OBJECTS)
    for removed, reused in ((0, 0), (0, 16), (1, 15)):
        for name in sorted(path for path in store.OBJECTS if path.endswith(".png") and "/out/" in path)[:removed]:
            del store.OBJECTS[name]
        done = translate(picture_run, "store://bucket/in", "store://bucket/out", target="tinted")
        assert done == {"translations": 16, "failures": 0, "reused": reused}
    assert not [path for path in requests if path.endswith(".png")]
    translate(picture_run, picture_folder / "plain", tmp_path / "out", target="tinted")
    results = {
        path.removeprefix("store://bucket/out/"): data for path, data in store.OBJECTS.items() if "/out/" in path
    }
    text = {
        name: data.decode().replace("store://bucket/in", str(picture_folder / "plain"))
        for name, data in results.items()
        if name.endswith(".jsonl")
    }
    assert results | text == {
        path.name: path.read_text() if path.suffix == ".jsonl" else path.read_bytes()
        for path in (tmp_path / "out").iterdir()
    }
    assert set(text) == {*part_names.names_of(TRANSLATIONS, 3), FAILURES}


def test_the_job_is_built_for_dataflow_without_a_network(speech_run, speech_folder, tmp_path, dataflow_jobs):
    assert translate(speech_run, speech_folder / "low", tmp_path / "out", beam_arguments=DATAFLOW) is None
    (built,) = dataflow_jobs
    names = {transform.unique_name for transform in built.components.transforms.values()}
    assert {"plan rows", "Convert", "translations out", "failures out"} <= names
    assert not (tmp_path / "out").exists()


def test_batches_follow_from_the_files_alone():
    sizes = {f"in/{n:03}": (n * 7919) % 1000 for n in range(100)} | {"in/long": translate_job.BATCH_BYTES}

    def batches(paths):
        plan = translation_plan.TranslationPlan((FileEntry(path, sizes[path]) for path in paths), "in/", ".wav", "out")
        return list(translate_job.make_batches(plan.rows_by_size()))

    made = batches(sizes)
    assert made == batches(reversed(sizes))
    assert sorted(row["path"] for batch in made for row in batch["files"]) == sorted(sizes)
    assert [len(batch["files"]) for batch in made] == [16] * 6 + [4, 1]


def test_a_file_that_cannot_be_written_is_a_failure_and_its_neighbours_are_not(picture_run, picture_folder, tmp_path):
    inputs, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(picture_folder / "plain", inputs / "plain")
    shutil.copytree(picture_folder / "plain", inputs / "other")
    out.mkdir()
    (out / "other").write_text("a file where a folder of results would be")
    done = translate(picture_run, inputs, out, target="tinted")
    count = len(list((picture_folder / "plain").iterdir()))
    assert done == {"translations": count, "failures": count, "reused": 0}
    assert all("/other/" in row["path"] and row["reason"] for row in lines(out / "failures.jsonl"))
    assert (out / "other").read_text().startswith("a file")


def test_a_file_on_which_the_model_fails_fails_alone(speech_run, speech_folder, tmp_path, monkeypatch):
    translated = speech_translator.SpeechTranslator._translated

    def spoilt(self, opened):
        if opened.samples == 4000:
            raise RuntimeError("out of memory")
        return translated(self, opened)

    monkeypatch.setattr(speech_translator.SpeechTranslator, "_translated", spoilt)
    shutil.copytree(speech_folder / "low", tmp_path / "in")
    soundfile.write(tmp_path / "in" / "bad.wav", voice(110.0, 0.5, RATE_HZ, seed=1), RATE_HZ)
    count = len(list((speech_folder / "low").iterdir()))
    done = translate(speech_run, tmp_path / "in", tmp_path / "out")
    assert done == {"translations": count, "failures": 1, "reused": 0}
    (failure,) = lines(tmp_path / "out" / "failures.jsonl")
    assert failure["path"].endswith("bad.wav") and failure["reason"] == "RuntimeError: out of memory"


def test_results_inside_the_input_folder_are_no_input_the_next_time(picture_run, picture_folder, tmp_path):
    shutil.copytree(picture_folder / "plain", tmp_path / "photos")
    first, again = (
        translate(picture_run, tmp_path / "photos", tmp_path / "photos" / "new", "tinted") for _ in range(2)
    )
    assert again == {**first, "reused": first["translations"]}
    other = translate(picture_run, tmp_path / "photos", tmp_path / "other", "tinted")
    assert other == first, "nor of another command"


def test_a_remote_job_that_left_nothing_here_says_so(tmp_path):
    with pytest.raises(ValueError, match="the workers wrote no results there; do all workers see the same folder?"):
        translate_folder._write_results(str(tmp_path))


def test_local_paths_are_refused_where_workers_run_elsewhere(speech_run, speech_folder, tmp_path):
    beam = ["--runner=PortableRunner", "--job_endpoint=localhost:1"]
    with pytest.raises(ValueError, match="--run_dir=.*--input=.*--output_dir=.*vocoder:RUN=v: local"):
        translate(speech_run, speech_folder, tmp_path / "out", inverter="vocoder:v", beam_arguments=beam)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_files_that_crash_or_hang_the_process_fail_alone_after_an_unfinished_job(picture_run, tmp_path, monkeypatch):
    write_pictures(tmp_path, 4)
    poison(tmp_path / "plain" / "picture_02.png")
    poison(tmp_path / "plain" / "picture_03.png", HANG)
    for name, value in poisoned_environment(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    rows.write_ownership(str(tmp_path / "out"), [])  # as a job leaves it that was killed
    done = translate(picture_run, tmp_path / "plain", tmp_path / "out", "tinted", file_timeout_s=20.0)
    assert (done["translations"], done["failures"]) == (2, 2)
    crash, hang = lines(tmp_path / "out" / FAILURES)
    assert crash["path"].endswith("picture_02.png") and hang["path"].endswith("picture_03.png")
    assert crash["reason"] == "the worker process died while reading this file (signal 11)"
    assert hang["reason"].startswith("no result within 20 s, the limit of --file_timeout_s")


@pytest.mark.slow
def test_after_a_crash_the_same_command_says_what_it_does_and_completes_the_results(picture_run, tmp_path):
    write_pictures(tmp_path, 4)
    folder = tmp_path / "plain"
    shutil.copytree(folder, tmp_path / "good")
    os.remove(tmp_path / "good" / "picture_02.png")
    poison(folder / "picture_02.png")
    environment = poisoned_environment(tmp_path / "site")
    command = ["translate", f"--run_dir={picture_run}", "--target=tinted"]
    here = [*command, f"--input={folder}", f"--output_dir={tmp_path}/out"]
    assert script(*here, **environment).returncode == -11
    again = script(*here, **environment)
    assert again.returncode == 0, again.stderr
    assert re.fullmatch(r"3 translated to tinted( \(\d of them were up to date\))?, 1 failures in .*\n", again.stdout)
    assert again.stderr.count("the last job there did not finish; files are now read in child processes") == 1
    undisturbed = script(*command, f"--input={tmp_path}/good", f"--output_dir={tmp_path}/wanted", **environment)
    assert undisturbed.returncode == 0 and "did not finish" not in undisturbed.stderr
    found, wanted = (
        {path.name: path.read_bytes() for path in (tmp_path / out).glob("*.png")} for out in ("out", "wanted")
    )
    assert len(found) == 3 and found == wanted
    assert [row["output"] for row in lines(tmp_path / "out" / TRANSLATIONS)] == sorted(found)
    assert not list((tmp_path / "out").glob(".*")), "nothing is left of the job that crashed"


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ([], ""),
        (["--keep_channels", "--keep_rate"], "each"),
        (["--keep_channels=true"], "each"),
        (["--keep_channels=mid_side"], "mid_side"),
        (["--keep_channels=each", "--nokeep_channels"], ""),
    ],
)
def test_the_flag_for_channels_needs_no_value(arguments, value):
    script_flags = flags.FlagValues()
    flag = translate_script.ChannelsFlag(name="keep_channels", default="", help_string="Channels.")
    flags.DEFINE_flag(flag, script_flags, "pipelines.toy")
    flags.DEFINE_bool("keep_rate", False, "Rate.", script_flags)
    assert script_flags(["translate", *arguments]) == ["translate"] and script_flags.keep_channels == value
    with pytest.raises(flags.IllegalFlagValueError, match="each.mid_side"):
        script_flags(["translate", "--keep_channels=side"])


def test_a_job_in_this_process_loads_the_model_once(picture_run, picture_folder, tmp_path, monkeypatch):
    loads = []
    load = exported_model._load_saved_model
    monkeypatch.setattr(exported_model, "_load_saved_model", lambda path: loads.append(path) or load(path))
    folders = {"pattern": str(picture_folder / "plain"), "output_dir": str(tmp_path / "out")}
    translate_folder.translate(run_dir=str(picture_run), target="tinted", **folders)
    assert len(loads) == 1 and not translate_job._LOADED
