"""Files that crash the process which reads them."""

import dataclasses
import os
import time

import pytest
from preprocessing import contents, job, prepare, rows
from testbed import HANG, poison, poisoned_environment, script, write_voices

from models.errors import UserError
from pipelines import isolation
from pipelines.beam import filesystem, runner
from pipelines.beam import rows as job_rows
from pipelines.data.feature_file import Features
from pipelines.jobs import dataset_writer, preprocess_job

PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
DIED = "the worker process died while reading this file (signal 11)"


def write_poisoned_voices(folder, count, *names):
    write_voices(folder, count)
    for name in names:
        poison(folder / f"{name}.wav")
    return {name: folder / name for name in ("low", "high")}


def test_a_file_that_crashes_the_process_fails_alone_after_an_unfinished_job(tmp_path, monkeypatch, capfd):
    domains = write_poisoned_voices(tmp_path, 5, "low/clip_03")
    for name, value in poisoned_environment(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(isolation, "TRIES_ALONE", 1)
    job_rows.write_ownership(str(tmp_path / "out"), ["low"])  # as a job leaves it that was killed
    assert prepare(tmp_path / "out", **domains)["failures"] == 1
    assert rows(tmp_path / "out", "failures.jsonl") == [
        {"domain": "low", "path": str(tmp_path / "low" / "clip_03.wav"), "reason": DIED}
    ]
    assert len(rows(tmp_path / "out", "manifest.jsonl")) == 9
    printed = capfd.readouterr().err
    assert "Warning" not in printed and printed.count("the last job there did not finish; files are now read in") == 1


def test_a_file_that_hangs_fails_alone_at_its_time_limit_after_an_unfinished_job(tmp_path, monkeypatch):
    domains = write_poisoned_voices(tmp_path, 5)
    poison(tmp_path / "low" / "clip_03.wav", HANG)
    for name, value in poisoned_environment(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    job_rows.write_ownership(str(tmp_path / "out"), ["low"])
    done = prepare(tmp_path / "out", changes={"file_timeout_s": 5.0}, **domains)
    assert (done["sources"], done["failures"]) == (9, 1)
    (failure,) = rows(tmp_path / "out", "failures.jsonl")
    assert failure["path"] == str(tmp_path / "low" / "clip_03.wav")
    assert failure["reason"].startswith("no result within 5 s, the limit of --file_timeout_s")


def test_a_job_that_another_one_replaced_writes_nothing(tmp_path):
    write_voices(tmp_path, 2)
    prepared = job(tmp_path / "out", low=tmp_path / "low")
    job_rows.write_work(prepared.data_dir, preprocess_job.WORK_NAME, dataset_writer._work_rows(prepared))
    earlier = dataclasses.replace(prepared, token=job_rows.begin_job(prepared.data_dir))
    job_rows.clear(prepared.data_dir)
    job_rows.write_work(prepared.data_dir, preprocess_job.WORK_NAME, dataset_writer._work_rows(prepared))
    job_rows.begin_job(prepared.data_dir)
    before = contents(prepared.data_dir)
    with pytest.raises(UserError, match="another command writes there now"):
        runner.run(earlier.build, runner.parse_options([]))
    shard = preprocess_job._WriteShard(earlier)
    with pytest.raises(UserError, match="another command writes there now"):
        list(shard.process((("low", "train", 0, 1), [])))
    assert contents(prepared.data_dir) == before


def test_a_job_deletes_the_partial_files_that_killed_workers_left_in_its_cache_a_day_ago(tmp_path, monkeypatch):
    def die(*_):
        raise OSError("as if the worker was killed")

    write_voices(tmp_path, 2)
    cache = {"low": tmp_path / "low", "cache_dir": tmp_path / "cache"}
    with monkeypatch.context() as patch, pytest.raises(UserError, match="killed"):
        patch.setattr(Features, "copy_to", die)
        patch.setattr(filesystem, "delete", lambda paths: None)
        prepare(tmp_path / "out", **cache)
    left = list((tmp_path / "cache").rglob(f"{filesystem.PART_PREFIX}*"))
    assert left
    for path in left:
        os.utime(path, 2 * (time.time() - 100_000,))
    recent = left[0].with_name(f"{filesystem.PART_PREFIX}recent")
    recent.write_text("of another job")
    prepare(tmp_path / "out", **cache)
    assert list((tmp_path / "cache").rglob(f"{filesystem.PART_PREFIX}*")) == [recent]


@pytest.mark.slow
def test_files_that_crash_workers_fail_alone(tmp_path):
    names = "high/clip_09", "low/clip_03", "low/clip_17"
    domains = write_poisoned_voices(tmp_path, 20, *names)
    arguments = [f"--domain={name}={folder}" for name, folder in domains.items()]
    environment = poisoned_environment(tmp_path / "site")
    in_workers = script("preprocess", *arguments, f"--data_dir={tmp_path}/workers", "--", *PROCESSES, **environment)
    assert in_workers.returncode == 0, in_workers.stderr
    assert "Traceback" not in in_workers.stderr
    failures = rows(tmp_path / "workers", "failures.jsonl")
    assert [(row["path"], row["reason"]) for row in failures] == [(f"{tmp_path}/{name}.wav", DIED) for name in names]
    assert len(rows(tmp_path / "workers", "manifest.jsonl")) == 37
    here = [*arguments, f"--data_dir={tmp_path}/here"]
    assert script("preprocess", *here, **environment).returncode == -11, "the only process crashes"
    again = script("preprocess", *here, **environment)
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "here") == contents(tmp_path / "workers")
