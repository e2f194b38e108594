"""Preprocessing of folders: odd files, interrupted jobs, and equal bytes on every runner."""

import errno
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import types

import archive_files
import numpy as np
import PIL.Image
import pytest
import soundfile
import store
import tensorflow_datasets
from preprocessing import RATE_HZ, assert_whole, contents, examples, prepare, rows, text
from testbed import DATAFLOW, script, voice, write_voices

from models.errors import UserError
from models.features import audio, image
from pipelines import cli, isolation
from pipelines import preprocess as preprocess_script
from pipelines.beam import filesystem, runner
from pipelines.data import (
    dataset,
    feature_extraction,
    feature_file,
    local_walk,
    source_features,
    tfrecord,
    work_rows,
)
from pipelines.data.domains import Domain
from pipelines.data.file_table import FileEntry
from pipelines.data.splits import SPLITS
from pipelines.jobs import dataset_writer


@pytest.mark.parametrize("kind", ["speech", "picture"])
def test_a_finished_directory_holds_what_its_json_says_and_nothing_else(kind, request):
    assert_whole(request.getfixturevalue(f"{kind}_records"))


@pytest.mark.parametrize(("form", "suffix"), [("zip", ".zip"), ("tar", ".tar"), ("xztar", ".tar.xz")])
def test_an_archive_has_the_records_of_the_folder_in_it(tmp_path, form, suffix):
    write_voices(tmp_path / "in", 3)
    archive = shutil.make_archive(tmp_path / "in", form, tmp_path / "in")
    assert archive == f"{tmp_path}/in{suffix}"
    for folder, out in ((tmp_path / "in", "a"), (archive, "b")):
        prepare(tmp_path / out, low=f"{folder}/low", high=f"{folder}/high")
    found = contents(tmp_path / "b")
    found["manifest.jsonl"] = found["manifest.jsonl"].replace(f"in{suffix}/".encode(), b"in/")
    assert found == contents(tmp_path / "a")


def test_bad_members_of_an_archive_are_listed_with_their_reasons_and_the_others_are_read(tmp_path):
    write_voices(tmp_path / "in", 3)
    members = {f"{n}.wav": (tmp_path / "in" / "low" / f"clip_0{n}.wav").read_bytes() for n in range(3)}
    path = archive_files.write_zip(tmp_path / "x.zip", {**members, "n\u00e9.wav": members["0.wav"]})
    content = bytearray((tmp_path / "x.zip").read_bytes().replace("n\u00e9.wav".encode(), b"n\xff\xfe.wav"))
    struct.pack_into("<H", content, content.rindex(b"1.wav") - 46 + 8, 1)  # flags in the table of contents
    struct.pack_into("<H", content, content.rindex(b"2.wav") - 46 + 10, 93)  # compression
    (tmp_path / "x.zip").write_bytes(content)
    done = prepare(tmp_path / "out", a=path, b=tmp_path / "in" / "high")
    assert (done["sources"], done["failures"]) == (4, 3)
    assert {
        row["path"].removeprefix(f"{path}/"): row["reason"] for row in rows(tmp_path / "out", "failures.jsonl")
    } == {
        "1.wav": "encrypted in the archive; unpack it first",
        "2.wav": "compressed by method 93 in the archive; only deflate is supported, so unpack it first",
        "n\\xff\\xfe.wav": "its name is not UTF-8; rename the file",
    }


def test_the_manifest_has_a_line_for_each_file(speech_records, speech_folder):
    found = {row["path"]: row for row in rows(speech_records, "manifest.jsonl")}
    spec = dataset.open_records(speech_records).spec.features
    assert set(found) == {str(path) for path in speech_folder.rglob("*.wav")}
    assert list(found) == sorted(found, key=lambda path: found[path]["id"])
    for path, row in found.items():
        y = audio.read(path, spec)
        with open(path, "rb") as file:
            assert row["hash"] == hashlib.blake2b(file.read(), digest_size=8).hexdigest()
        assert row["length"] == len(y) / spec.sample_rate_hz and row["frames"] == spec.frames(len(y))
        assert row["gain"] == audio.level_gain(audio.block_powers(y, spec.sample_rate_hz), spec.level_db)
        assert 0 < sum(row["active"]) <= row["frames"]


def test_features_are_those_of_the_file_at_its_level(speech_records):
    data = dataset.open_records(speech_records)
    for source, log_mels in source_features.read_sources(data, "train", "low"):
        y = source.gain * audio.read(source.path, data.spec.features)
        np.testing.assert_allclose(log_mels, audio.log_mel(y, data.spec.features), atol=0.01)


def test_pixels_are_those_of_the_file(picture_records):
    data = dataset.open_records(picture_records)
    for name in data.spec.domains:
        for source, unit in source_features.read_sources(data, "train", name):
            np.testing.assert_array_equal(image.to_pixels(unit), image.read(source.path, data.spec.features))


@pytest.mark.parametrize("kind", ["speech", "picture"])
def test_statistics_are_those_of_the_training_split_where_it_sounds(kind, request):
    data = dataset.open_records(request.getfixturevalue(f"{kind}_records"))
    for name, moments in data.spec.moments.items():
        seen = []
        for _, x in source_features.read_sources(data, "train", name):
            seen.append(x[audio.active_frames(x, data.spec.features)] if kind == "speech" else x.reshape(-1, 3))
        seen = np.concatenate(seen).astype(np.float64)
        assert moments.count == len(seen)
        np.testing.assert_allclose(moments.mean, seen.mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(moments.std, np.maximum(seen.std(axis=0), 1e-3), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(moments.highest, seen.max(axis=0), atol=0.01)


def test_a_long_recording_becomes_several_records_that_join_to_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecord, "SEGMENT_FRAMES", 50)
    write_voices(tmp_path / "in", 4)
    done = prepare(tmp_path / "out", a=tmp_path / "in" / "low")
    data = dataset.open_records(str(tmp_path / "out"))
    assert done["sources"] == 4 and done["examples"] == sum(len(source.active) for source in data.sources) > 8
    assert_whole(tmp_path / "out")
    for split in SPLITS:
        for source, log_mels in source_features.read_sources(data, split, "a"):
            y = source.gain * audio.read(source.path, data.spec.features)
            assert log_mels.shape == (source.frames, 32) and len(source.active) == -(-source.frames // 50)
            np.testing.assert_allclose(log_mels, audio.log_mel(y, data.spec.features), atol=0.01)


SOUNDING = voice(110.0, 0.8, RATE_HZ, seed=3)


GOOD = {
    "naïve café 1.wav": (SOUNDING, RATE_HZ, "PCM_16"),
    "a folder/[x] {1}*?.wav": (SOUNDING[:4000], RATE_HZ, "PCM_16"),
    "same/1.wav": (SOUNDING[:5000], RATE_HZ, "FLOAT"),
    "other/1.wav": (SOUNDING[1000:], RATE_HZ, "PCM_16"),
    "other/1.FLAC": (SOUNDING[2000:], RATE_HZ, "PCM_16"),
    "LOUD.WAV": (np.clip(20 * SOUNDING, -1, 1), RATE_HZ, "PCM_U8"),
    "stereo.wav": (np.stack([voice(110.0, 0.5, 44100, seed=4)] * 2, axis=1), 44100, "PCM_24"),
    "short.wav": (SOUNDING[2000:2160], RATE_HZ, "PCM_16"),
    "sample.wav": (SOUNDING[2000:2001], RATE_HZ, "PCM_16"),
    "zeros.wav": (np.zeros(RATE_HZ), RATE_HZ, "PCM_16"),
}


BAD = {
    "text.wav": "not readable as audio",
    "nothing.wav": "not readable as audio",
    "empty.wav": "empty: the header states no samples",
    "cut.flac": "",
    "nan.wav": "not a number",
}


def write_odd(folder):
    for name, (y, rate_hz, subtype) in GOOD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, y, rate_hz, subtype=subtype, format=name[-4:].strip(".").upper())
    (folder / "text.wav").write_text("not a recording")
    (folder / "nothing.wav").write_bytes(b"")
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE_HZ)
    soundfile.write(folder / "nan.wav", np.full(100, np.nan), RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "cut.flac", np.random.default_rng(0).normal(size=20000) * 0.1, RATE_HZ)
    os.truncate(folder / "cut.flac", (folder / "cut.flac").stat().st_size // 2)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of odd files, good and bad, beside a domain of good ones, and their records."""
    folder = tmp_path_factory.mktemp("odd")
    write_odd(folder / "odd [1]")
    write_voices(folder, 3)
    done = prepare(folder / "out [x]", a=folder / "odd [1]", b=folder / "low")
    return folder, done


def test_good_files_go_through_whatever_is_beside_them(odd):
    folder, done = odd
    assert done == {"sources": len(GOOD) + 3, "examples": len(GOOD) + 3, "failures": len(BAD)}
    assert_whole(folder / "out [x]")
    found = {row["id"]: row for row in rows(folder / "out [x]", "manifest.jsonl") if row["domain"] == "a"}
    assert set(found) == {f"a/{name}" for name in GOOD}
    for name, (y, rate_hz, _) in GOOD.items():
        assert found[f"a/{name}"]["length"] == pytest.approx(len(y) / rate_hz, abs=1 / RATE_HZ)


def test_bad_files_are_listed_with_the_reason(odd):
    folder, _ = odd
    found = rows(folder / "out [x]", "failures.jsonl")
    assert [row["path"] for row in found] == sorted(f"{folder}/odd [1]/{name}" for name in BAD)
    for row in found:
        assert row["domain"] == "a" and row["reason"] and BAD[os.path.basename(row["path"])] in row["reason"]


def test_silence_is_kept_but_does_not_count(odd):
    folder, _ = odd
    data = dataset.open_records(str(folder / "out [x]"))
    (silent,) = (source for source in data.sources if source.id == "a/zeros.wav")
    assert (silent.active, silent.gain) == ((0,), 1.0)
    (log_mels,) = (x for source, x in source_features.read_sources(data, silent.split, "a") if source.id == silent.id)
    np.testing.assert_array_equal(log_mels, np.float16(data.spec.features.log_floor))


def test_labels_are_the_names_of_the_folders(odd):
    folder, _ = odd
    data = dataset.open_records(str(folder / "out [x]"))
    found = [example for split in SPLITS for example in examples(data, data.shards(split, "a"))]
    labels = {text(example["id"]): text(example["label"]) for example in found}
    assert labels == {f"a/{name}": os.path.basename(os.path.dirname(name)) or "odd [1]" for name in GOOD}


def test_files_of_one_name_but_the_ending_share_a_split(odd):
    """A recording and its copy in another format are one source."""
    folder, _ = odd
    found = {row["id"]: row["split"] for row in rows(folder / "out [x]", "manifest.jsonl")}
    assert found["a/other/1.wav"] == found["a/other/1.FLAC"]


def test_a_name_that_is_no_utf_8_is_a_failure_and_no_fault(tmp_path):
    write_voices(tmp_path, 2)
    shutil.copy(tmp_path / "low" / "clip_00.wav", os.fsencode(tmp_path / "low") + b"/caf\xe9.wav")
    assert prepare(tmp_path / "out", a=tmp_path / "low") == {"sources": 2, "examples": 2, "failures": 1}
    (failure,) = rows(tmp_path / "out", "failures.jsonl")
    assert failure["path"].endswith("/caf\\xe9.wav") and "not UTF-8" in failure["reason"]


def test_pictures_of_many_formats_become_one(tmp_path, rng):
    pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
    for n, mode in enumerate(["RGB", "RGB", "RGBA", "L", "P", "1", "CMYK"]):
        PIL.Image.fromarray(pixels).convert(mode).save(tmp_path / f"{n}.{'jpg' if mode == 'CMYK' else 'png'}")
    PIL.Image.fromarray(pixels).resize((50, 31)).save(tmp_path / "large.JPEG")
    (tmp_path / "bad.png").write_text("no picture")
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert prepare(tmp_path / "out", pairs=(), a=tmp_path) == {"sources": 8, "examples": 8, "failures": 2}
    assert_whole(tmp_path / "out")
    assert dataset.open_records(str(tmp_path / "out")).spec.features == image.ImageSpec(height=16, width=16)


@pytest.mark.parametrize(("mode", "workers"), [("in_memory", 1), ("multi_threading", 2), ("multi_processing", 2)])
def test_every_run_on_every_runner_gives_the_same_bytes(speech_folder, speech_records, tmp_path, mode, workers):
    beam = [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    prepare(tmp_path / "out", *beam, low=speech_folder / "low", high=speech_folder / "high")
    assert contents(tmp_path / "out") == contents(speech_records)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_in_which_files_are_listed_and_handed_out_changes_no_byte(
    speech_folder, speech_records, tmp_path, monkeypatch, seed
):
    shuffled = np.random.default_rng(seed).permutation
    walk, hand_out = local_walk.walk_files, work_rows.work_rows

    def walk_in_other_order(*arguments):
        files = list(walk(*arguments))
        return (files[n] for n in shuffled(len(files)))

    def hand_out_in_other_order(*arguments, **options):
        rows = list(hand_out(*arguments, **options))
        return (rows[n] for n in shuffled(len(rows)))

    monkeypatch.setattr(local_walk, "walk_files", walk_in_other_order)
    monkeypatch.setattr(work_rows, "work_rows", hand_out_in_other_order)
    prepare(tmp_path / "out", low=speech_folder / "low", high=speech_folder / "high")
    assert contents(tmp_path / "out") == contents(speech_records)


def test_a_rerun_with_fewer_files_leaves_nothing_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecord, "SHARD_BYTES", 4 * 2 * 32 * tfrecord.SEGMENT_FRAMES)
    write_voices(tmp_path / "in", 12)
    names = {"low": tmp_path / "in" / "low", "high": tmp_path / "in" / "high"}
    prepare(tmp_path / "out", **names)
    many = set(os.listdir(tmp_path / "out"))
    assert any("-of-00002" in name for name in many)
    assert_whole(tmp_path / "out")
    builder = tensorflow_datasets.builder_from_directory(str(tmp_path / "out"))
    assert builder.info.splits.total_num_examples == 24
    for path in sorted((tmp_path / "in" / "low").iterdir())[1:]:
        path.unlink()
    (tmp_path / "out" / f"{filesystem.PART_PREFIX}0123").write_bytes(b"left by a worker that died")
    prepare(tmp_path / "out", low=names["low"])
    assert_whole(tmp_path / "out")


def test_what_a_worker_that_died_left_is_not_read(speech_records, tmp_path):
    shutil.copytree(speech_records, tmp_path / "out")
    (shard,) = (tmp_path / "out").glob("low-train.*")
    shutil.copy(shard, f"{shard}.part-123")
    data = dataset.open_records(str(tmp_path / "out"))
    assert data.shards("train", "low") == [str(shard)]


def test_a_killed_job_leaves_nothing_that_opens_and_the_next_one_mends_it(tmp_path, in_new_process):
    write_voices(tmp_path, 6)
    out = tmp_path / "out"
    names = {"low": tmp_path / "low", "high": tmp_path / "high"}
    prepare(out, **names)
    before = contents(out)
    code = f"""
import os, signal, sys
from pipelines.beam import runner
from pipelines.data import front_end, feature_extraction
from pipelines.data.domains import read_domains
from pipelines.jobs import dataset_writer, preprocess_job
files = read_domains([{", ".join(repr(f"{n}={p}") for n, p in names.items())}])
spec = front_end.infer_spec("audio", files, ["n_fft=256", "n_mels=32"])
left, examples = iter(range(3)), feature_extraction.serialized_examples
def deadly(*arguments):
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return examples(*arguments)
feature_extraction.serialized_examples = deadly
job = preprocess_job.PreprocessJob(
    kind="audio", spec=spec, domains=files, data_dir={str(out)!r}, fractions=(0.2, 0.2), split_by="file")
dataset_writer.write_dataset(job, runner.parse_options([]))
"""
    with pytest.raises(AssertionError):
        in_new_process(code)
    assert any("-part-" in name for name in os.listdir(out))
    with pytest.raises(ValueError, match="incomplete"):
        dataset.open_records(str(out))
    prepare(out, **names)
    assert contents(out) == before and prepare.reused == 12, "the survey goes on from where it was"


@pytest.mark.parametrize("moment", ["after the job", "in the job"])
def test_a_directory_opens_only_when_all_is_done(tmp_path, monkeypatch, moment):
    write_voices(tmp_path, 2)
    prepare(tmp_path / "out", a=tmp_path / "low")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        *((dataset_writer, "finish_dataset") if moment == "after the job" else (runner, "run")), interrupted
    )
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "out", a=tmp_path / "low")
    with pytest.raises(ValueError, match="incomplete"):
        dataset.open_records(str(tmp_path / "out"))


def test_features_that_are_gone_between_the_passes_are_a_failure(tmp_path, monkeypatch):
    write_voices(tmp_path, 3)
    survey = feature_extraction.survey

    def surveyed(parts, row, spec, identity):
        found = list(survey(parts, row, spec, identity))
        if row["path"].endswith("clip_01.wav"):
            (path,) = (tmp_path / "cache").rglob(f"{identity['hash']}-*")
            path.unlink()
        return found

    monkeypatch.setattr(feature_extraction, "survey", surveyed)
    done = prepare(tmp_path / "out", a=tmp_path / "low", cache_dir=tmp_path / "cache")
    assert done == {"sources": 2, "examples": 2, "failures": 1}
    assert_whole(tmp_path / "out")
    (failure,) = rows(tmp_path / "out", "failures.jsonl")
    assert "clip_01.wav" in failure["path"] and "No such file" in failure["reason"]


@pytest.mark.parametrize("kind", ["audio", "image"])
def test_a_cache_gives_the_same_bytes_and_only_new_or_changed_files_are_decoded(tmp_path, kind, picture_folder):
    folder, cache = tmp_path / "low", tmp_path / "cache"
    if kind == "audio":
        write_voices(tmp_path, 5)
    else:
        shutil.copytree(picture_folder / "plain", folder)
    options = {"pairs": () if kind == "audio" else ("height=16", "width=16")}
    count, changed = len(list(folder.iterdir())), sorted(folder.iterdir())[-2:]
    late = changed[1].read_bytes()
    changed[1].unlink()
    prepare(tmp_path / "out", a=folder, cache_dir=cache, **options)
    assert prepare.reused == 0
    changed[1].write_bytes(late)
    changed[0].write_bytes(sorted(folder.iterdir())[0].read_bytes())  # bytes that are known under another name
    prepare(tmp_path / "out", a=folder, cache_dir=cache, **options)
    assert prepare.reused == count - 1
    prepare(tmp_path / "new", a=folder, **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")
    for other in ("height=20", "n_mels=40"):
        if other.startswith("height") == (kind == "image"):
            prepare(tmp_path / "out", a=folder, cache_dir=cache, pairs=(*options["pairs"], other))
            assert prepare.reused <= 1, "another front end"  # the copy, if its source was first


@pytest.mark.parametrize("where", ["features", "temporary"])
def test_a_full_disk_ends_the_job_and_is_no_fault_of_a_source(tmp_path, monkeypatch, where):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_voices(tmp_path, 3)
    place = (feature_file.shutil, "copyfileobj") if where == "features" else (feature_file, "_write_part")
    monkeypatch.setattr(*place, full)
    with pytest.raises(UserError, match="No space left on device"):
        prepare(tmp_path / "out", a=tmp_path / "low")
    monkeypatch.undo()
    assert prepare(tmp_path / "out", a=tmp_path / "low")["failures"] == 0


def test_a_broken_file_of_the_cache_is_a_failure_that_names_it(tmp_path):
    write_voices(tmp_path, 3)
    prepare(tmp_path / "out", a=tmp_path / "low", cache_dir=tmp_path / "cache")
    broken, cut, _ = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    broken.write_bytes(b"{")
    cut.write_bytes(cut.read_bytes()[:-100])
    assert prepare(tmp_path / "out", a=tmp_path / "low", cache_dir=tmp_path / "cache")["failures"] == 2
    reasons = {row["reason"] for row in rows(tmp_path / "out", "failures.jsonl")}
    assert reasons == {f"{broken} is broken; delete it", f"{cut} is cut short; delete it"}


def test_a_domain_of_which_nothing_can_be_read_ends_the_job_unfinished(tmp_path, capsys):
    write_odd(tmp_path / "odd")
    write_voices(tmp_path, 2)
    prepare(tmp_path / "out", a=tmp_path / "low", b=tmp_path / "high")
    with pytest.raises(SystemExit) as stopped:
        unreadable = {"a": tmp_path / "low", "b": tmp_path / "odd" / "cut.flac"}
        cli.handle_errors(lambda argv: prepare(tmp_path / "out", **unreadable))(["preprocess"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match("error: domain b: no file could be read; the first failure: .*cut.flac: .", said)
    assert [row["path"] for row in rows(tmp_path / "out", "failures.jsonl")] == [f"{tmp_path}/odd/cut.flac"]
    with pytest.raises(ValueError, match="incomplete"):
        dataset.open_records(str(tmp_path / "out"))


def test_the_job_is_built_for_dataflow_without_a_network(speech_folder, tmp_path, dataflow_jobs):
    assert prepare(tmp_path / "out", *DATAFLOW, a=speech_folder / "low") is None
    (built,) = dataflow_jobs
    names = {transform.unique_name for transform in built.components.transforms.values()}
    assert {"listing rows", "Survey", "Statistics", "Write", "sources out", "failures out"} <= names
    assert not (tmp_path / "out").exists()


def test_the_script_builds_the_job_for_dataflow(speech_folder, tmp_path):
    domain = f"--domain=a={speech_folder}/low"
    done = script("preprocess", domain, f"--data_dir={tmp_path}/out", "--", *DATAFLOW)
    assert (done.returncode, done.stdout) == (0, "dry run: the job was built and not submitted\n"), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_store_without_folders_holds_the_same(speech_folder, speech_records, monkeypatch):
    objects = {f"store://bucket/in/{name}": data for name, data in contents(speech_folder).items()}
    objects["store://bucket/out/.crossfade-work/owned"] = b'["low"]'
    objects["store://bucket/out/.crossfade-work/sources-00000"] = b"left by a job that was killed"
    objects["store://bucket/out/low-train.tfrecord-00007-of-00009"] = b"the same"
    monkeypatch.setattr(store, "OBJECTS", objects)  # of this process only, so files are not read in a child of it
    monkeypatch.setattr(isolation, "start", lambda factory, *arguments, **_: factory(*arguments))
    for _ in range(2):
        prepare("store://bucket/out", low="store://bucket/in/low/*.wav", high="store://bucket/in/high/**.wav")
    out = {name.removeprefix("store://bucket/out/"): data for name, data in objects.items() if "/out/" in name}
    wanted = contents(speech_records)
    manifest = wanted.pop("manifest.jsonl").decode().replace(str(speech_folder), "store://bucket/in")
    assert out.pop("manifest.jsonl").decode() == manifest
    assert out == wanted


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--data_dri=out"], "no flag is called --data_dri; did you mean --data_dir?"),
        (["--data_dir=out"], "--domain is missing"),
        (["--domain=a=x.wav", "--data_dir=out", "--", "--runer=x"], "Beam has no option --runer; did you mean runner?"),
    ],
    ids=["unknown", "missing", "beam"],
)
def test_preprocess_refuses_what_it_does_not_know(tmp_path, arguments, complaint):
    done = script("preprocess", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_preprocess_help_shows_its_flags_and_an_example():
    done = script("preprocess", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m pipelines.preprocess --domain=" in done.stdout and "tfds:DATASET/SPLIT" in done.stdout
    shown = re.findall(r"^  --(\w+)", done.stdout, re.MULTILINE)
    assert {"domain", "data_dir", "kind", "set", "val_fraction", "split_by", "seed"} <= set(shown)
    assert not {"runner", "verbosity", "pdb"} & set(shown)


def test_the_number_of_threads_changes_no_byte(tmp_path):
    for n in range(2):
        soundfile.write(tmp_path / f"{n}.wav", voice(120.0, 4.0, 22050, seed=n), 22050)
    flags = [f"--domain=voice={tmp_path}/*.wav", "--val_fraction=0", "--test_fraction=0"]
    for threads in (1, 2):
        command = [sys.executable, "-m", "pipelines.preprocess", *flags, f"--data_dir={tmp_path / str(threads)}"]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("order", [1, -1])
def test_every_local_path_of_a_domain_is_refused_where_workers_run_elsewhere(order):
    globs = [f"--domain=a={pattern}" for pattern in ("here/*.wav", "gs://bucket/*.wav")][::order]
    beam = ["--", "--runner=PortableRunner", "--job_endpoint=localhost:1"]
    done = script("preprocess", *globs, "--data_dir=gs://bucket/out", *beam)
    assert done.returncode == 2
    assert "--domain=a=here/*.wav: local paths, but workers of PortableRunner" in done.stderr


def test_a_local_file_in_a_remote_list_is_named(monkeypatch):
    monkeypatch.setattr(preprocess_script, "FLAGS", types.SimpleNamespace(domain=["b=here/*.wav"]))
    remote, local = FileEntry("gs://bucket/1.wav", 0), FileEntry("/here/2.wav", 0)
    domains = [Domain("a", "", (remote, local, local)), Domain("b", "", (local,)), Domain("c", "", (remote,))]
    paths = list(preprocess_script._listed_paths(domains))
    assert paths == [("a row of --list, domain a", "/here/2.wav")]
