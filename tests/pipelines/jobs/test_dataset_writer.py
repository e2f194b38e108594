"""The directory of records: nobody else's files are touched, small corpora train, and what is odd is said."""

import json
import os
import shutil

import numpy as np
import pytest
import soundfile
from preprocessing import contents, prepare, rows, survey_file
from testbed import DATAFLOW, script, voice, write_pictures, write_voices

from models.features.audio import AudioSpec
from pipelines.beam import filesystem, runner, runner_checks
from pipelines.beam import rows as job_rows
from pipelines.data import dataset, domains, part_names, recording_parts, source_features, work_rows
from pipelines.data.splits import SPLITS
from pipelines.jobs import dataset_writer, preprocess_job

RATE_HZ = 8000


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    write_voices(folder, 3)
    return folder


FOREIGN = {
    "dataset_info.json": '{"name": "mnist"}',
    "features.json": "{}",
    "mnist-train.tfrecord-00000-of-00001": "somebody's",
    "manifest.jsonl": "{}",
    "manifest-00001-of-00002.jsonl": "{}",
    "failures.jsonl": "",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_directory_of_somebody_elses_dataset_is_refused_and_stays(voices, tmp_path, name):
    (tmp_path / name).write_text(FOREIGN[name])
    (tmp_path / "incomplete").mkdir()
    (tmp_path / "incomplete" / "thesis.txt").write_text("somebody's")
    before = contents(tmp_path)
    with pytest.raises(
        ValueError, match=f"{name} exists and was not written by preprocess; wanted a new or empty folder"
    ):
        prepare(tmp_path, low=voices / "low")
    assert contents(tmp_path) == before


def test_a_directory_of_somebody_elses_dataset_gets_no_drawn_files_either(tmp_path):
    (tmp_path / "manifest.jsonl").write_text("{}")
    done = script("preprocess", "--domain=a=factors:pictures/2", f"--data_dir={tmp_path}")
    assert done.returncode == 2 and "not written by preprocess" in done.stderr
    assert contents(tmp_path).keys() == {"manifest.jsonl"}


def test_a_second_command_on_a_directory_that_one_is_writing_is_refused(voices, tmp_path):
    prepare(tmp_path, low=voices / "low")
    before = contents(tmp_path)
    with (
        filesystem.folder_lock("data_dir", str(tmp_path)),
        pytest.raises(ValueError, match="another command is writing there"),
    ):
        prepare(tmp_path, low=voices / "high")
    assert contents(tmp_path) == before
    prepare(tmp_path, low=voices / "high")
    assert contents(tmp_path) != before


def test_files_that_are_no_dataset_survive_every_run(voices, tmp_path):
    mine = {"notes.txt": "mine", "incomplete/thesis.txt": "mine", ".crossfade-work/mine.txt": "mine"}
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for _ in range(2):
        prepare(tmp_path, low=voices / "low")
        (tmp_path / "other-train.tfrecord-00000-of-00001").write_text("put there later")
        mine["other-train.tfrecord-00000-of-00001"] = "put there later"
    found = contents(tmp_path)
    assert {name: found[name].decode() for name in mine} == mine
    assert not [name for name in found if filesystem.PART_PREFIX in name]


def test_a_directory_that_an_unfinished_job_left_is_taken_over(voices, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare(out, low=voices / "low", high=voices / "high")
    wanted = contents(out)
    run = runner.run

    def killed(*arguments, **options):
        run(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(out, low=voices / "low")
    monkeypatch.undo()
    assert not (out / "dataset_info.json").exists() and (out / "high-train.tfrecord-00000-of-00001").exists() is False
    prepare(out, low=voices / "low", high=voices / "high")
    assert contents(out) == wanted


# ------------------------------------------------------------------ small corpora


def test_one_long_recording_beside_clips_is_cut_up_so_that_it_trains(tmp_path):
    (tmp_path / "long").mkdir()
    y = np.concatenate([voice(110.0, 10.0, RATE_HZ, seed=n) for n in range(4)])
    soundfile.write(tmp_path / "long" / "interview.wav", y, RATE_HZ)
    write_voices(tmp_path, 12)
    prepare(tmp_path / "out", pairs=(), long=tmp_path / "long", high=tmp_path / "high")
    data = dataset.open_records(str(tmp_path / "out"))
    parts = {source.split: source for source in data.sources if source.domain == "long"}
    assert set(parts) == set(SPLITS) and len({source.hash for source in parts.values()}) == 1
    assert [parts[split].id for split in SPLITS] == [f"long/interview.wav#{s}" for s in SPLITS]
    ends = [parts[split].part for split in SPLITS]
    assert ends[0][0] == 0 and ends[2][1] == pytest.approx(40.0)
    for before, after in zip(ends, ends[1:], strict=False):
        assert recording_parts.MARGIN_S <= after[0] - before[1] < recording_parts.MARGIN_S + 0.1
    spec = data.spec.features
    for split, source in parts.items():
        ((_, log_mels),) = list(source_features.read_sources(data, split, "long"))
        seconds = source.part[1] - source.part[0]
        assert source.length == pytest.approx(seconds) and len(log_mels) == spec.frames(round(seconds * RATE_HZ))


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_ends_with_two_passes_for_each_file(tmp_path, capsys, processes):
    (tmp_path / "long").mkdir()
    y = np.concatenate([voice(110.0, 10.0, RATE_HZ, seed=n) for n in range(4)])
    soundfile.write(tmp_path / "long" / "interview.wav", y, RATE_HZ)  # divided among the splits
    (tmp_path / "long" / "broken.wav").write_text("")  # read once only
    write_voices(tmp_path, 3)
    beam = ["--direct_running_mode=multi_processing", f"--direct_num_workers={processes}"] if processes > 1 else []
    prepare(tmp_path / "out", *beam, long=tmp_path / "long", high=tmp_path / "high")
    (last,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("preprocess")][-1:]
    assert last.startswith("preprocess audio: 10/10 file passes")


@pytest.mark.parametrize(
    ("count", "seconds", "options", "cut"),
    [
        (1, 30, {}, True),
        (9, 13, {}, True),
        (9, 3, {}, False),
        (10, 13, {}, False),
        (1, 30, {"split_by": "parent"}, False),
        (1, 30, {"shares": (0.0, 0.0)}, False),
    ],
)
def test_what_is_cut_up_follows_from_the_size_of_the_domain(tmp_path, count, seconds, options, cut):
    for n in range(count):
        soundfile.write(tmp_path / f"{n}.wav", voice(110.0, seconds, RATE_HZ, seed=n), RATE_HZ)
    found, spec = domains.read_domains([f"a={tmp_path}"]), AudioSpec.at(RATE_HZ)
    shares = options.get("shares", (0.1, 0.1))
    parts = []
    for row in work_rows.work_rows(found, "audio", shares, split_by=options.get("split_by", "file"), seed=0):
        with open(row["path"], "rb") as file:
            parts += [source.part for source, *_ in survey_file(file, row, spec, shares)]
    assert len(parts) == (3 * count if cut else count) and all(map(bool, parts)) is cut


def test_one_recording_that_outweighs_a_larger_domain_is_cut_up_and_its_clips_are_not(tmp_path):
    write_voices(tmp_path, 12)
    soundfile.write(tmp_path / "low" / "hour.wav", voice(110.0, 60.0, RATE_HZ, seed=0), RATE_HZ)
    found = domains.read_domains([f"a={tmp_path / 'low'}"])
    cut = [
        row["id"] for row in work_rows.work_rows(found, "audio", (0.05, 0.05), split_by="file", seed=0) if "cut" in row
    ]
    assert cut == ["a/hour.wav"]


def test_long_lists_are_written_in_several_files_and_replaced_as_one(voices, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare(out, low=voices / "low", high=voices / "high")
    expected = dataset.read_manifest(str(out))
    monkeypatch.setattr(part_names, "MAX_LINES", 4)
    prepare(out, low=voices / "low", high=voices / "high")
    assert dataset.open_records(str(out)).sources == expected and len(expected) > 4
    parts = part_names.names_of("manifest.jsonl", -(-len(expected) // 4))
    assert {name for name in contents(out) if name.startswith("manifest")} == set(parts)
    monkeypatch.undo()
    prepare(out, low=voices / "low", high=voices / "high")
    assert {name for name in contents(out) if name.startswith("manifest")} == {"manifest.jsonl"}


def test_an_empty_split_is_named_before_training(voices, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(voices / "low" / "clip_00.wav", tmp_path / "one")
    prepare(tmp_path / "out", low=tmp_path / "one")
    splits = {row["split"] for row in rows(tmp_path / "out", "manifest.jsonl")}
    empty = [split for split in SPLITS if split not in splits]
    assert empty
    for split in empty:
        assert any(f"low has no file in the {split} split" in warning for warning in prepare.warnings)


def test_names_that_differ_in_how_accents_are_encoded_are_one_name(tmp_path):
    for name, form in (("a", "é.wav"), ("b", "e\u0301.wav")):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / form, voice(110.0, 1.0, RATE_HZ, seed=1), RATE_HZ)
    found = domains.read_domains([f"{name}={tmp_path / name}" for name in "ab"])
    made = list(work_rows.work_rows(found, "audio", (0.3, 0.3), split_by="file", seed=0))
    assert [row["id"] for row in made] == ["a/é.wav", "b/é.wav"] and made[0]["split"] == made[1]["split"]
    shutil.copy(tmp_path / "a" / "é.wav", tmp_path / "b" / "é.wav")
    both = work_rows.work_rows(
        domains.read_domains([f"b={tmp_path / 'b'}"]), "audio", (0.3, 0.3), split_by="file", seed=0
    )
    assert {row["id"] for row in both} == {"b/é.wav", "b/e\u0301.wav"}, "two files need two ids"


def test_the_same_bytes_in_two_domains_or_two_splits_are_said(tmp_path):
    write_voices(tmp_path, 12)
    shutil.copy(tmp_path / "low" / "clip_03.wav", tmp_path / "high" / "clip_03.wav")
    prepare(tmp_path / "out", low=tmp_path / "low", high=tmp_path / "high")
    (warning,) = (text for text in prepare.warnings if "same bytes" in text)
    assert warning.startswith(
        "1 files have the same bytes in two domains, such as high/clip_03.wav and low/clip_03.wav"
    )
    for n in range(30):
        shutil.copy(tmp_path / "low" / "clip_00.wav", tmp_path / "low" / f"copy_{n}.wav")
    prepare(tmp_path / "out", low=tmp_path / "low")
    assert any("same bytes in two splits" in warning for warning in prepare.warnings)


# ------------------------------------------------------------------ rows of workers


def test_rows_come_back_sorted_and_one_at_a_time(tmp_path):
    folder = str(tmp_path)
    made = [{"id": f"{n * 7919 % 1000:04}", "n": n} for n in range(1000)]
    for number in range(4):
        mine = sorted(made[number::4], key=lambda row: row["id"])
        text = "".join(f"{json.dumps(row)}\n" for row in mine)
        filesystem.write_text(os.path.join(job_rows.work_folder(folder), f"sources-{number:05d}"), text)
    found = job_rows.read_rows(folder, "sources", order=("id",))
    assert next(found)["id"] == "0000"
    assert [row["id"] for row in found] == sorted(row["id"] for row in made)[1:]
    job_rows.clear(folder)
    assert os.listdir(folder) == []


def test_a_job_that_left_nothing_here_says_so(voices, tmp_path):
    found = domains.read_domains([f"low={voices / 'low'}"])
    job = preprocess_job.PreprocessJob("audio", AudioSpec.at(RATE_HZ), found, str(tmp_path), (0.1, 0.1), "file")
    with pytest.raises(ValueError, match="the workers wrote no results there; do all workers see the same folder?"):
        dataset_writer.finish_dataset(job)


# ------------------------------------------------------------------ before anything starts

PORTABLE = ["--runner=PortableRunner", "--job_endpoint=localhost:1"]
FLINK = ["--runner=FlinkRunner", "--flink_master=cluster:8081"]


@pytest.mark.parametrize("beam", [PORTABLE, FLINK, DATAFLOW[:1] + DATAFLOW[2:]], ids=lambda beam: beam[0])
def test_local_paths_are_refused_where_workers_run_elsewhere(beam):
    parsed = runner.parse_options(beam)
    with pytest.raises(
        ValueError, match="--data_dir=out: local paths, but workers of .*Runner may run on other machines"
    ):
        runner_checks.check_paths(
            parsed, [("--data_dir", "out"), ("--domain=a", "gs://bucket/a"), ("--reject", "")], shared=False
        )
    for paths, shared in (([("--data_dir", "out")], True), ([("--data_dir", "gs://bucket/out"), ("-", "")], False)):
        assert runner_checks.check_paths(parsed, paths, shared=shared) == []


LOCAL = [[], *([f"--runner={name}"] for name in ("DirectRunner", "directrunner", "direct", "fnapirunner"))]


@pytest.mark.parametrize("beam", [*LOCAL, [*FLINK, "--environment_type=LOOPBACK"]])
def test_local_paths_serve_workers_of_this_machine(beam):
    assert runner_checks.check_paths(runner.parse_options(beam), [("--data_dir", "out")], shared=False) == []


@pytest.mark.parametrize(
    ("beam", "complaint"),
    [
        (PORTABLE, "--job_endpoint=localhost:1: no job service answers there"),
        (["--runner=PortableRunner"], "wanted --job_endpoint=HOST:PORT"),
        (["--runner=PortableRunner", "--job_endpoint=nowhere"], "wanted HOST:PORT"),
        (["--runner=FlinkRunner", "--flink_job_server_jar=/no.jar"], "/no.jar: no such file"),
        (["--runner=flink", "--flink_job_server_jar=/no.jar"], "/no.jar: no such file"),
        (["--runner=DirctRunner"], r"Beam has no runner DirctRunner; did you mean DirectRunner\?"),
        (["--runner=DataflowRunner"], "Missing required option: project"),
    ],
)
def test_a_runner_that_could_not_start_is_refused_before_anything_is_deleted(voices, tmp_path, beam, complaint):
    out = tmp_path / "out"
    prepare(out, low=voices / "low")
    before = contents(out)
    with pytest.raises(ValueError, match=complaint):
        prepare(out, *beam, low=voices / "low")
    assert contents(out) == before


@pytest.mark.parametrize("beam", LOCAL[:2])
def test_a_dry_run_on_this_machine_builds_the_job_and_touches_nothing(voices, tmp_path, beam):
    prepare(tmp_path / "out", low=voices / "low")
    before = contents(tmp_path)
    assert prepare(tmp_path / "out", *beam, "--dry_run=yes", low=voices / "high") is None
    assert prepare(tmp_path / "new", *beam, "--dry_run=True", low=voices / "high") is None
    assert contents(tmp_path) == before
    with pytest.raises(ValueError, match="--dry_run=maybe; wanted true or false"):
        prepare(tmp_path / "out", *beam, "--dry_run=maybe", low=voices / "high")
    assert not runner.is_dry_run(runner.parse_options([*DATAFLOW[:1], "--dry_run=False"]))


def test_the_scripts_refuse_what_cannot_be_a_directory_of_results_in_one_line(voices, tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", "/proc/records"):
        done = script("preprocess", f"--domain=low={voices}/low", f"--data_dir={path}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_full_disk_is_one_line(voices, tmp_path, monkeypatch, capfd):
    replace, free = os.replace, iter(range(3))

    def full(*arguments):
        if next(free, None) is None:
            raise OSError(28, "No space left on device")
        return replace(*arguments)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match="No space left on device: '.*out/"):
        prepare(tmp_path / "out", low=voices / "low")
    assert "Traceback" not in capfd.readouterr().err


def test_pictures_left_out_are_said_by_the_script(tmp_path):
    write_pictures(tmp_path, 12)
    (tmp_path / "plain" / "more.xyz").write_text("?")
    done = script("preprocess", f"--domain=plain={tmp_path}/plain", f"--data_dir={tmp_path}/out")
    assert done.returncode == 0 and "warning: ignored in plain: 1 files with other extensions (1 .xyz)" in done.stderr
