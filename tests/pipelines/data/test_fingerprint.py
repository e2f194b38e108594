"""A run knows what it was trained on, wherever the records are and whatever became of them."""

import dataclasses
import os
import random
import shutil

import numpy as np
import pytest
from testbed import preprocess, script, write_voices

from models.errors import UserError
from models.features import stats
from models.features.audio import AudioSpec
from models.features.spec import Spec
from pipelines import run_directory
from pipelines.data import dataset, fingerprint, source_files
from pipelines.evaluation import translation_quality
from pipelines.training import resume

FRONT_END = ["n_fft=256", "n_mels=32"]


def source(name, split="train", part=(), **changes):
    fields = {"id": f"a/{name}", "path": f"/x/{name}", "domain": "a", "split": split, "hash": name, "part": part}
    return source_files.Source(**{**fields, "length": 1.0, "gain": 1.0, "frames": 9, "active": (5,), **changes})


SOURCES = [source("one"), source("two", "val"), source("three", "test"), source("four", part=(0.0, 4.0))]


@pytest.fixture
def spec(rng):
    return Spec(AudioSpec.at(8000), ("a",), {"a": stats.Moments.of(rng.normal(-5, 1, (50, 80)))})


def test_the_fingerprint_depends_on_neither_paths_nor_order_nor_notes(spec):
    moved = [dataclasses.replace(s, path=f"/elsewhere/{n}", notes=("odd",), shard=n) for n, s in enumerate(SOURCES)]
    random.Random(0).shuffle(moved)
    assert fingerprint.records_fingerprint(spec, moved) == fingerprint.records_fingerprint(spec, SOURCES)


@pytest.mark.parametrize(
    ("n", "changes", "said"),
    [
        (0, {"hash": "other"}, "other training files: 2 then, 2 now"),
        (0, {"id": "a/other"}, "other training files: 2 then, 2 now"),
        (0, {"active": (6,)}, "other training files: 2 then, 2 now"),
        (3, {"part": (0.0, 5.0)}, "other training files: 2 then, 2 now"),
        (0, {"split": "val"}, "other training files: 2 then, 1 now"),
        (2, {"hash": "other"}, "other test files: 1 then, 1 now"),
    ],
)
def test_what_counts_of_a_file_changes_the_fingerprint(spec, n, changes, said):
    now = [*SOURCES[:n], dataclasses.replace(SOURCES[n], **changes), *SOURCES[n + 1 :]]
    found = fingerprint.differences(
        fingerprint.records_fingerprint(spec, SOURCES), fingerprint.records_fingerprint(spec, now)
    )
    assert found[0] == said


def test_statistics_may_differ_by_rounding_and_by_no_more(spec):
    def moved(by):
        m = spec.moments["a"]
        lead = m.lead + np.eye(1, 80) * by * m.count
        return fingerprint.records_fingerprint(
            dataclasses.replace(spec, moments={"a": dataclasses.replace(m, lead=lead)}), []
        )

    assert not fingerprint.differences(moved(0), moved(1e-6))
    assert fingerprint.differences(moved(0), moved(0.1)) == ["other statistics of a"]


@pytest.mark.parametrize(
    ("trained", "asked", "known"),
    [
        ((), (), True),
        ((), (0.0, 5.0), True),
        ((0.0, 5.0), (), True),
        ((0.0, 5.0), (4.0, 6.0), True),
        ((0.0, 5.0), (5.0, 6.0), False),
        ((7.0, 9.0), (5.0, 7.0), False),
    ],
)
def test_a_part_is_known_where_it_overlaps_one_that_was_trained_on(trained, asked, known, tmp_path):
    fingerprint.write_training_files(str(tmp_path), [source("x", part=trained), source("y", "test")])
    found = [source("x", "test", part=asked), source("y", "test")]
    of_run = fingerprint.TrainingParts.from_run(str(tmp_path), "gone", found)
    assert [each in of_run for each in found] == [known, False]


def test_a_run_knows_the_files_of_the_run_it_began_with(tmp_path):
    fingerprint.write_training_files(str(tmp_path / "first"), [source("x")])
    fingerprint.write_training_files(str(tmp_path / "second"), [source("y")], initial_run_dir=str(tmp_path / "first"))
    assert (tmp_path / "second" / fingerprint.TRAINING_FILES).read_text() == "y\nx\n"


def listed(run_dir):
    return (run_dir / fingerprint.TRAINING_FILES).read_text().split("\n")[:-1]


def test_a_resumed_run_forgets_no_file_of_the_run_it_started_from(tmp_path, capsys):
    write, first, second = fingerprint.write_training_files, tmp_path / "first", tmp_path / "second"
    write(str(first), [source("x", part=(0.0, 1.5))])
    write(str(second), [source("y")], str(first))
    before = listed(second)
    write(str(second), [source("y")], str(first), is_resumed=True)
    assert listed(second) == before == ["y", "x 0.0 1.5"]
    shutil.rmtree(first)
    write(str(second), [source("y"), source("z")], str(first), is_resumed=True)
    assert sorted(listed(second)) == ["x 0.0 1.5", "y", "z"] and not capsys.readouterr().err
    (second / fingerprint.TRAINING_FILES).unlink()  # as in runs of older versions
    write(str(second), [source("y")], str(first), is_resumed=True)
    assert listed(second) == ["y"] and "warning: " in capsys.readouterr().err


def test_a_run_that_starts_anew_lists_no_file_of_the_one_before(tmp_path):
    for name in "xy":
        fingerprint.write_training_files(str(tmp_path), [source(name)])
    assert listed(tmp_path) == ["y"]


@pytest.fixture
def unlisted_run(picture_records, tmp_path):
    """A run without a list whose records have not changed."""
    data = dataset.open_records(str(picture_records))
    run = run_directory.Run(
        plugin="ae",
        preset="small",
        config={},
        data_dir=str(picture_records),
        spec={},
        records=fingerprint.records_fingerprint(data.spec, data.sources),
    )
    run_directory.write_run(str(tmp_path / "first"), run)
    return tmp_path / "first", run, {source.hash for source in data.sources if source.split == "train"}


@pytest.mark.parametrize("is_old", [False, True])
def test_the_records_of_a_run_without_a_list_replace_it(unlisted_run, tmp_path, is_old):
    folder, run, hashes = unlisted_run
    fingerprint.write_training_files(str(tmp_path / "base"), [source("x")])
    records = {} if is_old else run.records
    run_directory.write_run(str(folder), dataclasses.replace(run, records=records, warm_start=str(tmp_path / "base")))
    fingerprint.write_training_files(str(tmp_path / "second"), [source("y")], str(folder))
    assert set(listed(tmp_path / "second")) == {"x", "y", *hashes}


def test_a_start_from_a_run_whose_training_files_are_unknown_is_refused(unlisted_run, tmp_path):
    folder, run, _ = unlisted_run
    others = {**run.records, "train": {"files": 1, "hash": "other"}}
    for changes, state in (({"records": others}, "holds other training files now"), ({"data_dir": "x"}, "is gone")):
        run_directory.write_run(str(folder), dataclasses.replace(run, **changes))
        with pytest.raises(UserError, match=f"first has no {fingerprint.TRAINING_FILES}, and .*, {state}; wanted"):
            fingerprint.write_training_files(str(tmp_path / "second"), [source("y")], str(folder))
    with pytest.raises(UserError, match="nowhere has neither .* nor config.json; wanted the directory of a run"):
        fingerprint.write_training_files(str(tmp_path / "second"), [source("y")], str(tmp_path / "nowhere"))
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe x\n", b"x zero\n"])
def test_a_broken_list_of_training_files_is_named(tmp_path, content):
    (tmp_path / fingerprint.TRAINING_FILES).write_bytes(content)
    with pytest.raises(UserError, match=f"{fingerprint.TRAINING_FILES} is broken .* train again"):
        fingerprint.TrainingParts.from_run(str(tmp_path), "", [source("x")])


@pytest.fixture(scope="module")
def cut_anew(tmp_path_factory):
    """A run whose records were made anew of other files since, in the same place, and the script that trained it."""
    root = tmp_path_factory.mktemp("anew")
    write_voices(root / "voices", 8)
    os.makedirs(root / "rec")
    command = ["train", f"--data_dir={root}/rec", "--plugin=ae", f"--run_dir={root}/run", "--batch_size=2"]
    command += ["--set=crop_frames=16", "--set=channels=8"]
    preprocess(root / "voices", root / "rec", ("low", "high"), pairs=FRONT_END)
    done = script(*command, "--steps=1")
    assert done.returncode == 0, done.stderr[-2000:]
    trained = dataset.open_records(str(root / "rec"))
    shutil.rmtree(root / "rec")
    preprocess(root / "voices", root / "rec", ("low", "high"), pairs=FRONT_END, seed=5)
    return root, command, trained


def test_the_same_command_on_other_records_is_refused(cut_anew):
    root, command, _ = cut_anew
    done = script(*command, "--steps=2")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "was trained on other records than" in done.stderr and "other training files: " in done.stderr
    preprocess(root / "voices", root / "same", ("low", "high"), pairs=FRONT_END)
    run = run_directory.read_run(str(root / "run"))
    data = dataset.open_records(str(root / "same"))
    again = dataclasses.replace(run, records=fingerprint.records_fingerprint(data.spec, data.sources))
    assert resume.resolve_resume(str(root / "run"), again) == again
    old = dataclasses.replace(run, records={})
    run_directory.write_run(str(root / "run"), old)
    assert resume.resolve_resume(str(root / "run"), again) == again
    run_directory.write_run(str(root / "run"), run)


def test_files_that_a_run_was_trained_on_are_known_though_its_records_are_others(cut_anew, capsys):
    root, _, trained = cut_anew
    now = dataset.open_records(str(root / "rec"))
    made = translation_quality.Evaluator(str(root / "run"), str(root / "rec"))
    said = capsys.readouterr().err
    for name in ("low", "high"):
        hashes = {s.hash for s in trained.sources_of("train", name)}
        seen = [s for s in now.sources_of("test", name) if s.hash in hashes]
        assert seen and f"{len(seen)} test files of {name} are left out" in said
        assert not {s.id for s in seen} & {x.id for x in made.test[name]}
    tested = {s.hash for s in now.sources if s.split == "test"}
    by_id = {s.id: s.hash for s in now.sources}
    for found in made.training_examples.values():
        assert found and not {by_id[x.id] for x in found} & tested


def test_a_run_of_before_is_known_by_its_records(speech_records, tmp_path):
    assert not (tmp_path / fingerprint.TRAINING_FILES).exists()
    data = dataset.open_records(speech_records)
    known = fingerprint.TrainingParts.from_run(str(tmp_path), speech_records, data.sources)
    assert [s in known for s in data.sources] == [s.split == "train" for s in data.sources]


def test_other_weights_of_the_run_that_mels_come_from_are_another_run(autoencoder_run, spec):
    before = fingerprint.records_fingerprint(spec, SOURCES, autoencoder_run)
    assert before["mels_from"] == fingerprint.export_hash(autoencoder_run)
    found = fingerprint.differences(before, {**before, "mels_from": "others"})
    assert found == ["other weights of the run that mels_from names"]
    with pytest.raises(ValueError, match="nowhere has no export"):
        fingerprint.records_fingerprint(spec, SOURCES, "nowhere")


def test_the_script_forgets_no_file_though_the_run_it_started_from_is_gone(cut_anew, tmp_path):
    root, command, trained = cut_anew
    shutil.copytree(root / "run", tmp_path / "base")
    command = [*command, f"--run_dir={tmp_path}/new", f"--warm_start={tmp_path}/base"]
    for steps in (1, 2):
        done = script(*command, f"--steps={steps}")
        assert done.returncode == 0, done.stderr[-2000:]
        now = {s.hash for s in dataset.open_records(str(root / "rec")).sources if s.split == "train"}
        assert set(listed(tmp_path / "new")) == now | {s.hash for s in trained.sources if s.split == "train"} > now
        shutil.rmtree(tmp_path / "base", ignore_errors=True)
