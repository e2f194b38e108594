"""The latent model: units of files, their codes, sampling of files, and runs that do not encode."""

import numpy as np
import pytest

from pipelines.exploration import job as findings
from pipelines.exploration import latent_model

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_units_are_what_sounds_and_codes_come_back_file_by_file(bench, kind):
    made = bench(kind)
    files = made.files("train")
    codes = made.codes(files)
    assert [len(each) for each in codes] == [len(file.x) for file in files]
    for file, each in zip(files[:3], codes, strict=False):
        np.testing.assert_allclose(made.codes([file])[0], each, atol=1e-5)
        for start, unit in zip(file.starts, file.x, strict=True):
            if kind == "speech":
                np.testing.assert_array_equal(unit[: len(file.whole) - start], file.whole[start : start + made.frames])
    assert made.decoded(codes[0]).shape == files[0].x.shape


def test_a_part_of_the_files_is_not_the_first_of_them(bench):
    everyone = [file.id for file in bench("pictures").files("train")]
    few, more = ([file.id for file in bench("pictures").files("train", most=n)] for n in (8, 16))
    assert len(few) == 8 and set(few) < set(more) < set(everyone)
    assert few == sorted(few) and few[-1] > everyone[len(everyone) // 2]


def test_some_are_chosen_from_everywhere_and_in_order(bench):
    made = bench("pictures")
    chosen = made.some(np.arange(1000), 100)
    assert len(chosen) == 100 and np.all(np.diff(chosen) > 0) and 350 < chosen.mean() < 650
    assert made.some([1, 2], 3) == [1, 2]


def test_a_run_that_does_not_encode_is_refused(picture_run, picture_records):
    asked = findings.Asked(do="sample", run_dir=picture_run, data_dir=picture_records, output_dir="")
    with pytest.raises(ValueError, match="plugin cyclegan does not encode"):
        latent_model.Lab(asked)


def test_records_of_another_front_end_are_refused(runs):
    asked = findings.Asked(do="sample", run_dir=runs["speech"][0], data_dir=runs["pictures"][1], output_dir="")
    with pytest.raises(ValueError, match="another front end"):
        latent_model.Lab(asked)
