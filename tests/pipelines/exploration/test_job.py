"""Exploration jobs: options that every job refuses."""

import importlib

import pytest

from pipelines.exploration import job


def test_one_end_given_twice_and_a_file_for_a_folder_are_refused(run_job, tmp_path):
    with pytest.raises(ValueError, match="--between=low was given twice"):
        run_job("interpolate", "speech", between=("low", "low"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="--output_dir=.*taken is a file"):
        run_job("sample", "pictures", output_dir=str(tmp_path / "taken"))


@pytest.mark.parametrize("do", job.JOBS)
def test_an_output_folder_that_cannot_be_created_is_refused_before_the_job(do, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail("the job has begun"))
    options = {"run_dir": "", "data_dir": "", "output_dir": str(tmp_path / "file" / "out")}
    with pytest.raises(ValueError, match="--output_dir=.*file/out cannot be created"):
        job.explore(job.JobConfig(do=do, **options))


@pytest.mark.parametrize("do", ["sample", "outliers", "debias"])
def test_the_training_split_is_refused(run_job, do):
    with pytest.raises(ValueError, match="--split=train: .*; wanted val or test"):
        run_job(do, "pictures", split="train")


@pytest.mark.parametrize("do", [do for do in job.JOBS if do != "disentangle"])
def test_all_splits_together_are_refused_by_jobs_of_one_split(do):
    with pytest.raises(ValueError, match="--split=all is for --do=disentangle only; wanted train, val or test"):
        job.explore(job.JobConfig(do=do, run_dir="", data_dir="", output_dir="", split="all"))
