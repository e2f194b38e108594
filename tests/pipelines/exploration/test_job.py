"""Exploration jobs: options that every job refuses."""

import pytest


def test_one_end_given_twice_and_a_file_for_a_folder_are_refused(explored, tmp_path):
    with pytest.raises(ValueError, match="--between=low was given twice"):
        explored("interpolate", "speech", between=("low", "low"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="--output_dir=.*taken is a file"):
        explored("sample", "pictures", output_dir=str(tmp_path / "taken"))


@pytest.mark.parametrize("job", ["sample", "outliers"])
def test_the_training_split_is_refused(explored, job):
    with pytest.raises(ValueError, match="--split=train: .*; wanted val or test"):
        explored(job, "pictures", split="train")
