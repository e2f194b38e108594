"""Exploration jobs: options that every job refuses."""

import pytest


def test_one_end_given_twice_and_a_file_for_a_folder_are_refused(run_job, tmp_path):
    with pytest.raises(ValueError, match="--between=low was given twice"):
        run_job("interpolate", "speech", between=("low", "low"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="--output_dir=.*taken is a file"):
        run_job("sample", "pictures", output_dir=str(tmp_path / "taken"))


@pytest.mark.parametrize("job", ["sample", "outliers"])
def test_the_training_split_is_refused(run_job, job):
    with pytest.raises(ValueError, match="--split=train: .*; wanted val or test"):
        run_job(job, "pictures", split="train")
